"""Daemons of stores as targets: `STORE/DAEMON`, as a node keeps it.

`pool/osd.1` is that one; `pool/osd` the first that runs of those that begin so, in the order of nodes;
`pool/brick@n2` that of one node.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

from harness.model.errors import EnvironmentBroken, UsageError
from harness.ports import Cluster, Daemon
from harness.transport import daemons
from harness.transport.daemons import DaemonState
from harness.transport.parallel import at_once


def are_daemons(targets: Sequence[str]) -> bool:
    """Whether a fault strikes daemons; else it strikes nodes. Never both at once."""
    return any("/" in target for target in targets)


def found(cluster: Cluster, fault: str, timeout_s: float, nodes: Iterable[str] | None = None) -> list[Daemon]:
    """All daemons of stores on all nodes, or on those named."""
    if "shell" not in cluster.rights:
        raise EnvironmentBroken(f"the fault {fault} needs the right `shell`, which {cluster.name} does not give")
    return daemons.daemons(cluster, timeout_s=timeout_s, nodes=nodes)


def in_state(cluster: Cluster, asked: Sequence[Daemon], wanted: DaemonState, timeout_s: float) -> list[Daemon]:
    """Those in that state, in the order in which they were asked for; all are asked at once."""
    states = at_once([partial(daemons.state, cluster, daemon, timeout_s=timeout_s) for daemon in asked])
    return [daemon for daemon, state in zip(asked, states, strict=True) if state == wanted]


def first_that_runs(cluster: Cluster, fault: str, target: str, timeout_s: float) -> Daemon:
    """Raises UsageError where a target is no daemon of a store, EnvironmentBroken where none of them runs."""
    there = found(cluster, fault, timeout_s)
    meant = [daemon for daemon in there if fits(target, daemon)]
    running = in_state(cluster, meant, "running", timeout_s)
    if running:
        return running[0]
    if meant:
        raise EnvironmentBroken(f"the fault {fault}: {target} does not run, so it cannot be struck")
    known = ", ".join(sorted({f"{daemon.store}/{daemon.name}" for daemon in there})) or "none"
    raise UsageError(f"the fault {fault}: there is no daemon {target}", hint=f"daemons of stores: {known}")


def struck(
    cluster: Cluster, fault: str, targets: Sequence[str], wanted: DaemonState, timeout_s: float
) -> dict[str, list[Daemon]]:
    """For every target, the daemons that it may mean and that are in the state."""
    meant = [d for d in found(cluster, fault, timeout_s) if any(fits(target, d) for target in targets)]
    down = in_state(cluster, meant, wanted, timeout_s)
    return {target: [daemon for daemon in down if fits(target, daemon)] for target in targets}


def fits(target: str, daemon: Daemon) -> bool:
    """`pool/osd` fits osd.0 and osd.1, not osdmap; `pool/brick@n2` the brick on n2."""
    name, _, node = target.partition("@")
    store, _, word = name.partition("/")
    return (
        daemon.store == store
        and (daemon.name == word or daemon.name.startswith(f"{word}."))
        and node in ("", daemon.node)
    )


def title(daemon: Daemon) -> str:
    return f"{daemon.store}/{daemon.name} on {daemon.node}"
