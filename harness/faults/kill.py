"""`kill`: a daemon of a store ends by SIGKILL, and is started again when the fault is healed.

A target is `STORE/DAEMON`, as a node keeps it: `pool/osd.1`, or `pool/osd` for the first that runs of those that
begin so, in the order of nodes; `pool/brick@n2` is that of one node. What is dead is what has no process: healing
starts every daemon that a node keeps and that is gone, whoever ended it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from harness.model.errors import EnvironmentBroken, UsageError
from harness.model.plan import Demand
from harness.ports import Cluster, Daemon, Felt, Right
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
        for target in targets:
            daemon = self._first_that_runs(cluster, target, timeout_s)
            daemons.tell(cluster, daemon, "KILL", timeout_s=timeout_s)

    def felt(self, cluster: Cluster, targets: Sequence[str], direction: str, *, timeout_s: float) -> Felt:
        """For every target some daemon that it may mean has no process."""
        del direction
        found = self._daemons(cluster, timeout_s)
        meant = [daemon for daemon in found if any(fits(target, daemon) for target in targets)]
        gone = _gone(cluster, meant, timeout_s)
        struck = {target: [daemon for daemon in gone if fits(target, daemon)] for target in targets}
        told = [
            ", ".join(f"{_title(daemon)} has no process" for daemon in dead) or f"{target} runs"
            for target, dead in struck.items()
        ]
        return Felt(all(struck.values()), "; ".join(told))

    def heal(self, cluster: Cluster, *, timeout_s: float) -> list[str]:
        """Servers first, clients of nodes after them: a client that looks for its servers would wait."""
        found = sorted(self._daemons(cluster, timeout_s), key=lambda daemon: daemon.name == "client")
        gone = _gone(cluster, found, timeout_s)
        for daemon in gone:
            daemons.start(cluster, daemon, timeout_s=timeout_s)
        return [f"started {_title(daemon)}" for daemon in gone]

    def _first_that_runs(self, cluster: Cluster, target: str, timeout_s: float) -> Daemon:
        found = self._daemons(cluster, timeout_s)
        meant = [daemon for daemon in found if fits(target, daemon)]
        gone = _gone(cluster, meant, timeout_s)
        running = [daemon for daemon in meant if daemon not in gone]
        if running:
            return running[0]
        if meant:
            raise EnvironmentBroken(f"the fault kill: {target} does not run, so it cannot be killed")
        known = ", ".join(sorted({f"{daemon.store}/{daemon.name}" for daemon in found})) or "none"
        raise UsageError(f"the fault kill: there is no daemon {target}", hint=f"daemons of stores: {known}")

    def _daemons(self, cluster: Cluster, timeout_s: float) -> list[Daemon]:
        if "shell" not in cluster.rights:
            raise EnvironmentBroken(f"the fault kill needs the right `shell`, which {cluster.name} does not give")
        return daemons.daemons(cluster, timeout_s=timeout_s)


def fits(target: str, daemon: Daemon) -> bool:
    """`pool/osd` fits osd.0 and osd.1, not osdmap; `pool/brick@n2` the brick on n2."""
    name, _, node = target.partition("@")
    store, _, word = name.partition("/")
    return (
        daemon.store == store
        and (daemon.name == word or daemon.name.startswith(f"{word}."))
        and node in ("", daemon.node)
    )


def _gone(cluster: Cluster, asked: Sequence[Daemon], timeout_s: float) -> list[Daemon]:
    """Those without a process, in the order in which they were asked for; all are asked at once."""
    states = at_once([partial(daemons.state, cluster, daemon, timeout_s=timeout_s) for daemon in asked])
    return [daemon for daemon, state in zip(asked, states, strict=True) if state == "gone"]


def _title(daemon: Daemon) -> str:
    return f"{daemon.store}/{daemon.name} on {daemon.node}"


FAULT = Kill()
