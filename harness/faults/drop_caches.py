"""`drop-caches`: the targets' kernels forget clean pages, names and inodes, so that what is read next comes from
disk or from a server (proc_sys_vm(5), drop_caches).

A moment, not a state: it is in force, as far as anybody can tell, from then until it is healed. Nodes that share a
kernel share its caches. What is not yet written out is not dropped, and nothing is lost by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from harness.faults import _wire
from harness.faults._rights import shell_of
from harness.model.errors import CommandFailed, EnvironmentBroken
from harness.model.plan import Demand
from harness.ports import Cluster, Felt, Host, Right
from harness.transport.parallel import at_once

#: The kernel counts how often it dropped: what it had counted before is noted here while the fault is in force.
NOTE = "/run/harness-drop-caches"
_COUNT = "awk '/^drop_(pagecache|slab) / {n += $2} END {print n + 0}' /proc/vmstat"
_DROP = f"set -eu; [ -e {NOTE} ] || {_COUNT} >{NOTE}; echo 3 >/proc/sys/vm/drop_caches"
_SINCE = f"[ ! -e {NOTE} ] || echo $(($({_COUNT}) - $(cat {NOTE})))"
_FORGET = f"[ ! -e {NOTE} ] || {{ rm -f {NOTE}; echo forgotten; }}"


@dataclass(frozen=True)
class DropCaches:
    name: str = "drop-caches"
    rights: frozenset[Right] = frozenset({"shell"})

    def demands(self) -> list[Demand]:
        return []

    def inject(self, cluster: Cluster, targets: Sequence[str], direction: str, *, timeout_s: float) -> None:
        del direction
        self._on(cluster, targets, _DROP, timeout_s)

    def felt(self, cluster: Cluster, targets: Sequence[str], direction: str, *, timeout_s: float) -> Felt:
        """Every target's kernel has counted a drop since."""
        del direction
        counts = [int(text or 0) for text in self._on(cluster, targets, _SINCE, timeout_s)]
        told = ", ".join(f"{count} on {node}" for node, count in zip(targets, counts, strict=True))
        return Felt(all(count > 0 for count in counts), f"caches dropped since: {told}")

    def heal(self, cluster: Cluster, *, timeout_s: float) -> list[str]:
        """A node that does not answer has lost its caches and the note with its power."""
        shell_of(cluster, self.name)
        noted = at_once([partial(_forgotten, host, timeout_s) for host in cluster.hosts.values()])
        return [f"{node} fills its caches again" for node, was in zip(cluster.hosts, noted, strict=True) if was]

    def _on(self, cluster: Cluster, nodes: Sequence[str], script: str, timeout_s: float) -> list[str]:
        shell_of(cluster, self.name)
        hosts = [cluster.hosts[node] for node in nodes]
        return at_once([partial(_wire.run, host, ["sh", "-c", script], timeout_s) for host in hosts])


def _forgotten(host: Host, timeout_s: float) -> bool:
    argv = ["sh", "-c", _FORGET]
    try:
        result = host.run(argv, timeout_s=timeout_s)
    except EnvironmentBroken:
        return False
    if not result.ok and host.run(["true"], timeout_s=timeout_s).ok:
        raise CommandFailed(argv, result.code, result.output, where=host.name)
    return result.ok and bool(result.stdout.strip())


FAULT = DropCaches()
