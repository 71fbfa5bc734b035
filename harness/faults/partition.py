"""`partition`: frames between nodes are dropped on the wire, one way or both.

By nft rules in the bridge family's forward hook, on the ports that lead to the nodes. Four forms: the targets from
all others (`sides`); the targets, and as many more as make a half, from the other half (`halves`); two halves that
only the targets still speak to (`bridge`); and `ring`, in which every node sees a majority and no two the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, Field

from harness.faults import _wire
from harness.faults._rights import wire_of
from harness.faults._tuned import Params, Tuned
from harness.model.errors import UsageError
from harness.model.plan import Demand
from harness.ports import Cluster, Felt, Right

Form = Literal["sides", "halves", "bridge", "ring"]
#: Nodes that cannot send to nodes.
Cut = tuple[Sequence[str], Sequence[str]]


class PartitionParams(Params):
    form: Form = Field(
        "sides",
        description="sides: the targets from all others; halves: filled up to a half; bridge: two halves that "
        "only the targets still reach; ring: every node sees a majority, no two the same",
    )


@dataclass(frozen=True)
class Partition(Tuned):
    name: str = "partition"
    rights: frozenset[Right] = frozenset({"wire"})
    form: Form = "sides"
    params: type[BaseModel] = PartitionParams

    def demands(self) -> list[Demand]:
        return [Demand("nft-bridge", "fault partition")]

    def inject(self, cluster: Cluster, targets: Sequence[str], direction: str, *, timeout_s: float) -> None:
        paths = cuts(list(cluster.hosts), targets, self.form, direction)
        _wire.drop(cluster, self.name, table(cluster), paths, "", needed=targets, timeout_s=timeout_s)

    def felt(self, cluster: Cluster, targets: Sequence[str], direction: str, *, timeout_s: float) -> Felt:
        """Frames were dropped, and a node cannot reach another (nor be reached: a ping needs both ways)."""
        wire = wire_of(cluster, self.name)
        source, target = _pair(cuts(list(cluster.hosts), targets, self.form, direction), targets[0])
        cut = not _wire.pinged(cluster, source, target, timeout_s)
        dropped = _wire.dropped(wire.host, table(cluster), timeout_s)
        answer = "no answer" if cut else "an answer"
        return Felt(cut and dropped > 0, f"{dropped} frames dropped; ping {source} to {target}: {answer}")

    def heal(self, cluster: Cluster, *, timeout_s: float) -> list[str]:
        return _wire.remove_table(wire_of(cluster, self.name).host, table(cluster), timeout_s)


def table(cluster: Cluster) -> str:
    """The first fault there was: its table is called as the cluster alone."""
    return cluster.name


def cuts(nodes: Sequence[str], targets: Sequence[str], form: Form, direction: str) -> list[Cut]:
    """Who cannot send to whom, in the order of `nodes`. `direction` is seen from the targets, or from the half
    that they are in; bridges and rings are cut both ways. Raises UsageError where nobody would be cut off.
    """
    others = [node for node in nodes if node not in targets]
    match form:
        case "ring":
            found = _ring(nodes)
        case "bridge":
            left, right = others[: len(others) // 2], others[len(others) // 2 :]
            found = [(left, right), (right, left)]
        case _:
            more = max(0, len(nodes) // 2 - len(targets)) if form == "halves" else 0
            inner = [*targets, *others[:more]]
            found = _sides(inner, others[more:], direction)
    found = [(sources, sinks) for sources, sinks in found if sources and sinks]
    if not found:
        wanted = {"ring": "4 nodes", "bridge": "2 nodes beside its target"}.get(form, "a node that is no target")
        raise UsageError(f"a partition of the form {form} needs {wanted}: there are {len(nodes)} nodes")
    return found


def paths_of(cluster: Cluster, targets: Sequence[str], direction: str) -> list[Cut]:
    """Between the targets and all others; where all are targets, between all of them."""
    nodes = list(cluster.hosts)
    return [(nodes, nodes)] if len(targets) == len(nodes) else cuts(nodes, targets, "sides", direction)


def _sides(inner: Sequence[str], outer: Sequence[str], direction: str) -> list[Cut]:
    out = [(inner, outer)] if direction in ("both", "out") else []
    return out + ([(outer, inner)] if direction in ("both", "in") else [])


def _ring(nodes: Sequence[str]) -> list[Cut]:
    """Each node keeps its nearest neighbours on both sides, as few as make a majority with it."""
    count = len(nodes)
    near = (count // 2 + 1) // 2
    return [
        ([node], [nodes[(i + step) % count] for step in range(near + 1, count - near)])
        for i, node in enumerate(nodes)
    ]


def _pair(found: Sequence[Cut], wanted: str) -> tuple[str, str]:
    """Two nodes that are cut from each other, the first target among them if it is."""
    for sources, sinks in found:
        if wanted in sources:
            return wanted, sinks[0]
        if wanted in sinks:
            return wanted, sources[0]
    return found[0][0][0], found[0][1][0]


FAULT = Partition()
