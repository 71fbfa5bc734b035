"""`kill`: a daemon of a store ends by SIGKILL, or a node loses its power; either is started again when healed.

A target is a node, or `STORE/DAEMON` (harness/faults/_daemons.py). What is dead is what has no process: healing
starts every node that is off, and every daemon that a node keeps and that is gone, whoever ended it. A node that
starts has its stores' servers and mounts made again by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from harness.faults import _daemons
from harness.faults._rights import lifecycle_of
from harness.model.plan import Demand
from harness.ports import Cluster, Felt, Right
from harness.transport import daemons
from harness.transport.parallel import at_once


@dataclass(frozen=True)
class Kill:
    name: str = "kill"
    rights: frozenset[Right] = frozenset({"shell"})

    def demands(self) -> list[Demand]:
        return []

    def inject(self, cluster: Cluster, targets: Sequence[str], direction: str, *, timeout_s: float) -> None:
        """Returns when no process of them is left. Raises UsageError for a target that is no daemon of a store."""
        del direction  # who is dead neither sends nor receives
        if not _daemons.are_daemons(targets):
            lifecycle = lifecycle_of(cluster, self.name)
            at_once([partial(lifecycle.kill, node, timeout_s=timeout_s) for node in targets])
            return
        for target in targets:
            daemon = _daemons.first_that_runs(cluster, self.name, target, timeout_s)
            daemons.tell(cluster, daemon, "KILL", timeout_s=timeout_s)

    def felt(self, cluster: Cluster, targets: Sequence[str], direction: str, *, timeout_s: float) -> Felt:
        """Every node is off; for every other target some daemon that it may mean has no process."""
        del direction
        if not _daemons.are_daemons(targets):
            lifecycle = lifecycle_of(cluster, self.name)
            states = {node: lifecycle.state(node, timeout_s=timeout_s) for node in targets}
            told = ", ".join(f"{node} is {state}" for node, state in states.items())
            return Felt(all(state == "off" for state in states.values()), told)
        struck = _daemons.struck(cluster, self.name, targets, "gone", timeout_s)
        lines = [
            ", ".join(f"{_daemons.title(daemon)} has no process" for daemon in dead) or f"{target} runs"
            for target, dead in struck.items()
        ]
        return Felt(all(struck.values()), "; ".join(lines))

    def heal(self, cluster: Cluster, *, timeout_s: float) -> list[str]:
        """Nodes first; then, on nodes that ran, servers before clients, which would look for them and wait."""
        off = _off(cluster, timeout_s)
        if cluster.lifecycle:
            at_once([partial(cluster.lifecycle.start, node, timeout_s=timeout_s) for node in off])
        running = [node for node in cluster.hosts if node not in off]
        found = _daemons.found(cluster, self.name, timeout_s, running)
        found.sort(key=lambda daemon: daemon.name == "client")
        gone = _daemons.in_state(cluster, found, "gone", timeout_s)
        for daemon in gone:
            daemons.start(cluster, daemon, timeout_s=timeout_s)
        return [*(f"started {node}" for node in off), *(f"started {_daemons.title(daemon)}" for daemon in gone)]


def _off(cluster: Cluster, timeout_s: float) -> list[str]:
    if cluster.lifecycle is None:
        return []
    nodes = list(cluster.hosts)
    states = at_once([partial(cluster.lifecycle.state, node, timeout_s=timeout_s) for node in nodes])
    return [node for node, state in zip(nodes, states, strict=True) if state == "off"]


FAULT = Kill()
