"""`pause`: every process of a node is stopped (SIGSTOP); its kernel still answers ping, its engine nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.faults._rights import lifecycle_of
from harness.model.plan import Demand
from harness.ports import Cluster, Felt, Right


@dataclass(frozen=True)
class Pause:
    name: str = "pause"
    rights: frozenset[Right] = frozenset({"lifecycle"})

    def demands(self) -> list[Demand]:
        return []

    def inject(self, cluster: Cluster, targets: Sequence[str], direction: str, *, timeout_s: float) -> None:
        del direction  # a stopped node neither sends nor receives
        for target in targets:
            lifecycle_of(cluster, self.name).freeze(target, timeout_s=timeout_s)

    def felt(self, cluster: Cluster, targets: Sequence[str], direction: str, *, timeout_s: float) -> Felt:
        del direction
        lifecycle = lifecycle_of(cluster, self.name)
        states = {target: lifecycle.state(target, timeout_s=timeout_s) for target in targets}
        told = ", ".join(f"{node} is {state}" for node, state in states.items())
        return Felt(all(state == "frozen" for state in states.values()), told)

    def heal(self, cluster: Cluster, *, timeout_s: float) -> list[str]:
        lifecycle = lifecycle_of(cluster, self.name)
        frozen = [node for node in cluster.hosts if lifecycle.state(node, timeout_s=timeout_s) == "frozen"]
        for node in cluster.hosts:
            lifecycle.thaw(node, timeout_s=timeout_s)
        return [f"thawed {node}" for node in frozen]


FAULT = Pause()
