"""Faults that netem does to a share of the packets, and that pings show: duplicate, reorder, corrupt."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from pydantic import BaseModel, Field

from harness.faults import _tc
from harness.faults._tuned import Params, Tuned
from harness.model.plan import Demand
from harness.ports import Cluster, Felt, Right

PINGS = 100


class ShareParams(Params):
    percent: float = Field(25.0, gt=0, le=100, description="Share of packets that are struck, each way")


@dataclass(frozen=True)
class Shared(Tuned):
    """`discipline` makes netem's words of a share; `shown` counts in ping's output what shows the fault."""

    name: str
    discipline: Callable[[str], Sequence[str]]
    shown: Callable[[str], int]
    what: str
    rights: frozenset[Right] = frozenset({"wire", "shell"})
    percent: float = 25.0
    params: type[BaseModel] = ShareParams

    def demands(self) -> list[Demand]:
        return [Demand("netem", f"fault {self.name}")]

    def inject(self, cluster: Cluster, targets: Sequence[str], direction: str, *, timeout_s: float) -> None:
        netem = ["netem", *self.discipline(f"{self.percent:g}%")]
        _tc.inject(cluster, self.name, targets, direction, netem, timeout_s)

    def felt(self, cluster: Cluster, targets: Sequence[str], direction: str, *, timeout_s: float) -> Felt:
        del direction
        count = self.shown(_tc.pings(cluster, self.name, targets, PINGS, timeout_s))
        return Felt(count > 0, f"of {PINGS} pings from {targets[0]} {count} were {self.what}")

    def heal(self, cluster: Cluster, *, timeout_s: float) -> list[str]:
        return _tc.heal(cluster, self.name, timeout_s)


def answered(output: str) -> list[int]:
    """The numbers of the answers, in the order in which they came."""
    return [int(text) for text in re.findall(r"icmp_seq=(\d+) ttl", output)]


def doubled(output: str) -> int:
    return output.count("(DUP!)")


def out_of_order(output: str) -> int:
    numbers = answered(output)
    return sum(1 for before, after in pairwise(numbers) if after < before)


def unanswered(output: str) -> int:
    """A packet whose checksum is wrong is dropped by who receives it. Nothing, where ping said nothing."""
    return PINGS - len(set(answered(output))) if "packets transmitted" in output else 0
