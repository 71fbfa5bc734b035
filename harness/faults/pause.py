"""`pause`: every process of a node is stopped (SIGSTOP); its kernel still answers ping, its engine nothing. Or a
daemon of a store is: it keeps its connections, and answers nobody (names: harness/faults/_daemons.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.faults import _daemons
from harness.faults._rights import lifecycle_of
from harness.model.plan import Demand
from harness.ports import Cluster, Felt, Right
from harness.transport import daemons


@dataclass(frozen=True)
class Pause:
    name: str = "pause"
    rights: frozenset[Right] = frozenset({"lifecycle"})

    def demands(self) -> list[Demand]:
        return []

    def inject(self, cluster: Cluster, targets: Sequence[str], direction: str, *, timeout_s: float) -> None:
        """Raises UsageError for a target that is no daemon of a store."""
        del direction  # who is stopped neither sends nor receives
        lifecycle = lifecycle_of(cluster, self.name)
        for target in targets:
            if _daemons.are_daemons([target]):
                daemon = _daemons.first_that_runs(cluster, self.name, target, timeout_s)
                daemons.tell(cluster, daemon, "STOP", timeout_s=timeout_s)
            else:
                lifecycle.freeze(target, timeout_s=timeout_s)

    def felt(self, cluster: Cluster, targets: Sequence[str], direction: str, *, timeout_s: float) -> Felt:
        del direction
        lifecycle = lifecycle_of(cluster, self.name)
        if _daemons.are_daemons(targets):
            struck = _daemons.struck(cluster, self.name, targets, "stopped", timeout_s)
            lines = [
                ", ".join(f"{_daemons.title(daemon)} is stopped" for daemon in still) or f"{target} is not stopped"
                for target, still in struck.items()
            ]
            return Felt(all(struck.values()), "; ".join(lines))
        states = {target: lifecycle.state(target, timeout_s=timeout_s) for target in targets}
        told = ", ".join(f"{node} is {state}" for node, state in states.items())
        return Felt(all(state == "frozen" for state in states.values()), told)

    def heal(self, cluster: Cluster, *, timeout_s: float) -> list[str]:
        """Nodes first: one that stands still cannot be asked for its daemons."""
        lifecycle = lifecycle_of(cluster, self.name)
        states = {node: lifecycle.state(node, timeout_s=timeout_s) for node in cluster.hosts}
        for node in cluster.hosts:
            lifecycle.thaw(node, timeout_s=timeout_s)
        running = [node for node, state in states.items() if state != "off"]
        there = _daemons.found(cluster, self.name, timeout_s, running)
        stopped = _daemons.in_state(cluster, there, "stopped", timeout_s)
        for daemon in stopped:
            daemons.tell(cluster, daemon, "CONT", timeout_s=timeout_s)
        thawed = [f"thawed {node}" for node, state in states.items() if state == "frozen"]
        return [*thawed, *(f"continued {_daemons.title(daemon)}" for daemon in stopped)]


FAULT = Pause()
