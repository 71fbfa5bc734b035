"""`disk-full`: on the targets nothing is left of the room behind any store, and is there again after healing.

A node keeps a script `disk` of each store that has room there: `fill` takes all of it, `free` gives it back,
`state` prints `full` or `free`, and nothing where another node has the room (CephFS's is one for all nodes).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from harness.model.errors import CommandFailed, EnvironmentBroken, UsageError
from harness.model.places import STORES_DIR
from harness.model.plan import Demand
from harness.ports import Cluster, Felt, Host, Right
from harness.transport.parallel import at_once

_FIND = 'for script in "$1"/*/disk; do [ ! -e "$script" ] || echo "$script"; done'


@dataclass(frozen=True)
class DiskFull:
    name: str = "disk-full"
    rights: frozenset[Right] = frozenset({"shell"})

    def demands(self) -> list[Demand]:
        return []

    def inject(self, cluster: Cluster, targets: Sequence[str], direction: str, *, timeout_s: float) -> None:
        """Raises UsageError where no target has room of a store."""
        del direction  # there is no room for anybody
        disks = [disk for disk, state in self._states(cluster, targets, timeout_s) if state]
        if not disks:
            raise UsageError(
                f"the fault disk-full: no store has its room on {', '.join(targets)}",
                hint="target nodes that the store names, or `all`",
            )
        at_once([partial(_tell, host, script, "fill", timeout_s) for host, script in disks])

    def felt(self, cluster: Cluster, targets: Sequence[str], direction: str, *, timeout_s: float) -> Felt:
        """Each store says that it has no room, on every target that has some of its room."""
        del direction
        states = [(disk, state) for disk, state in self._states(cluster, targets, timeout_s) if state]
        told = "; ".join(f"{_title(script)} on {host.name} is {state}" for (host, script), state in states)
        full = bool(states) and all(state == "full" for _, state in states)
        return Felt(full, told or "no store has its room there")

    def heal(self, cluster: Cluster, *, timeout_s: float) -> list[str]:
        """Whatever was taken is given back, also where it was not all of it."""
        disks = [disk for disk, _ in self._states(cluster, list(cluster.hosts), timeout_s)]
        taken = at_once([partial(_tell, host, script, "free", timeout_s) for host, script in disks])
        return [
            f"gave back the room of {_title(script)} on {host.name}"
            for (host, script), told in zip(disks, taken, strict=True)
            if told
        ]

    def _states(
        self, cluster: Cluster, nodes: Sequence[str], timeout_s: float
    ) -> list[tuple[tuple[Host, str], str]]:
        if "shell" not in cluster.rights:
            raise EnvironmentBroken(
                f"the fault disk-full needs the right `shell`, which {cluster.name} does not give"
            )
        hosts = [cluster.hosts[node] for node in nodes]
        found = at_once([partial(_run, host, ["sh", "-c", _FIND, "sh", STORES_DIR], timeout_s) for host in hosts])
        disks = [(host, script) for host, text in zip(hosts, found, strict=True) for script in text.split()]
        states = at_once([partial(_tell, host, script, "state", timeout_s) for host, script in disks])
        return list(zip(disks, states, strict=True))


def _tell(host: Host, script: str, verb: str, timeout_s: float) -> str:
    return _run(host, ["sh", script, verb], timeout_s).strip()


def _run(host: Host, argv: Sequence[str], timeout_s: float) -> str:
    result = host.run(argv, timeout_s=timeout_s)
    if not result.ok:
        raise CommandFailed(argv, result.code, result.output, where=host.name)
    return result.stdout


def _title(script: str) -> str:
    """The store of `STORES_DIR/STORE/disk`."""
    return f"store {script.split('/')[-2]}"


FAULT = DiskFull()
