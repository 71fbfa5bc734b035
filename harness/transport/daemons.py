"""Servers of stores on nodes: found, killed, paused and started again by what the nodes themselves keep.

A node has a script for each daemon at STORES_DIR/STORE/daemons/NAME: `pid` prints its process numbers, `start`
starts it where it does not run. Nothing else needs to be known: a fault is healed from the cluster alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Literal

from harness.model.errors import CommandFailed
from harness.model.places import STORES_DIR
from harness.ports import Cluster, Daemon, Host
from harness.transport.parallel import at_once

DaemonState = Literal["running", "stopped", "gone"]
Signal = Literal["KILL", "STOP", "CONT", "TERM"]

_FIND = 'for script in "$1"/*/daemons/*; do [ ! -e "$script" ] || echo "$script"; done'
_SIGNAL = 'pids=$(sh "$1" pid) || exit; [ -z "$pids" ] || kill -s "$2" $pids'
#: A process that is killed is gone when it is no longer there, or a zombie that nobody has waited for.
_STATE = """
for pid in $(sh "$1" pid); do
  sed -n 's/^State:[[:space:]]*\\([A-Zt]\\).*/\\1/p' "/proc/$pid/status" 2>/dev/null
done
exit 0
"""


def daemons(
    cluster: Cluster, store: str | None = None, *, timeout_s: float, nodes: Iterable[str] | None = None
) -> list[Daemon]:
    """Those of one store or of all, node by node; of all nodes, or of those named. Nodes that do not answer raise
    as Host.run does.
    """
    hosts = [cluster.hosts[node] for node in (cluster.hosts if nodes is None else nodes)]
    found = at_once([partial(_on, host, timeout_s) for host in hosts])
    return [daemon for some in found for daemon in some if store in (None, daemon.store)]


def _on(host: Host, timeout_s: float) -> list[Daemon]:
    paths = _checked(host, ["sh", "-c", _FIND, "sh", STORES_DIR], timeout_s).splitlines()
    parts = [(path, path.removeprefix(f"{STORES_DIR}/").split("/")) for path in paths]
    return [Daemon(name, host.name, store, path) for path, (store, _, name) in parts]


def by_node(found: Iterable[Daemon]) -> dict[str, list[Daemon]]:
    nodes: dict[str, list[Daemon]] = {}
    for daemon in found:
        nodes.setdefault(daemon.node, []).append(daemon)
    return nodes


def tell(cluster: Cluster, daemon: Daemon, signal: Signal, *, timeout_s: float) -> None:
    """Send a signal to all processes of a daemon; nothing where it does not run."""
    _checked(cluster.hosts[daemon.node], ["sh", "-c", _SIGNAL, "sh", daemon.script, signal], timeout_s)


def start(cluster: Cluster, daemon: Daemon, *, timeout_s: float) -> None:
    """Start a daemon that does not run; returns when it has been started. Raises CommandFailed with its words."""
    _checked(cluster.hosts[daemon.node], ["sh", daemon.script, "start"], timeout_s)


def state(cluster: Cluster, daemon: Daemon, *, timeout_s: float) -> DaemonState:
    """`stopped` where every process of it is, by a signal; `gone` where it has none."""
    argv = ["sh", "-c", _STATE, "sh", daemon.script]
    states = [word for word in _checked(cluster.hosts[daemon.node], argv, timeout_s).split() if word not in "XZ"]
    if not states:
        return "gone"
    return "stopped" if all(word == "T" for word in states) else "running"


def _checked(host: Host, argv: Sequence[str], timeout_s: float) -> str:
    result = host.run(argv, timeout_s=timeout_s)
    if not result.ok:
        raise CommandFailed(argv, result.code, result.output, where=host.name)
    return result.stdout
