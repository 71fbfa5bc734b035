"""`latency`: packets to and from the targets take longer, by tc-netem(8). There is no stand-in: without netem
in the kernel a check with it is skipped by that name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, Field

from harness.faults import _tc
from harness.faults._tuned import Params, Tuned
from harness.model.plan import Demand
from harness.ports import Cluster, Felt, Right

PINGS = 5


class LatencyParams(Params):
    delay_ms: float = Field(100.0, gt=0, le=60_000, description="Added to every packet, each way")
    jitter_ms: float = Field(0.0, ge=0, le=60_000, description="By which it varies")


@dataclass(frozen=True)
class Latency(Tuned):
    name: str = "latency"
    rights: frozenset[Right] = frozenset({"wire", "shell"})
    delay_ms: float = 100.0
    jitter_ms: float = 0.0
    params: type[BaseModel] = LatencyParams

    def demands(self) -> list[Demand]:
        return [Demand("netem", "fault latency")]

    def inject(self, cluster: Cluster, targets: Sequence[str], direction: str, *, timeout_s: float) -> None:
        jitter = [f"{self.jitter_ms:g}ms"] if self.jitter_ms else []
        netem = ["netem", "delay", f"{self.delay_ms:g}ms", *jitter]
        _tc.inject(cluster, self.name, targets, direction, netem, timeout_s)

    def felt(self, cluster: Cluster, targets: Sequence[str], direction: str, *, timeout_s: float) -> Felt:
        """The slowest of a few round trips took as long as one way must, less the jitter."""
        del direction
        told = _tc.pings(cluster, self.name, targets, PINGS, timeout_s)
        times = [float(text) for text in re.findall(r"time=([\d.]+)", told)]
        slowest = max(times, default=0.0)
        wanted = max(0.5, self.delay_ms - self.jitter_ms)
        return Felt(slowest >= wanted, f"round trips of {targets[0]} take {slowest:g} ms, of {len(times)} pings")

    def heal(self, cluster: Cluster, *, timeout_s: float) -> list[str]:
        return _tc.heal(cluster, self.name, timeout_s)


FAULT = Latency()
