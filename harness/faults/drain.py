"""`drain`: Swarm moves what runs on a node elsewhere and gives it nothing new (docker-node-update(1)).

Plain containers stay. Replicated tasks do not come back by themselves when the node is active again; those of
global services do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.model.errors import CommandFailed, EnvironmentBroken
from harness.model.plan import Demand
from harness.ports import Cluster, Felt, Host, Right

#: On a node that this fault drained; heal looks for it, and leaves nodes alone that somebody else drained.
LABEL = "harness.drained"
NAME_LABEL = "harness.name"
_MANAGER = ("docker", "info", "--format", "{{.Swarm.ControlAvailable}}")
_TASKS = ("docker", "ps", "--quiet", "--filter", "label=com.docker.swarm.task")


@dataclass(frozen=True)
class Drain:
    name: str = "drain"
    rights: frozenset[Right] = frozenset({"shell"})

    def demands(self) -> list[Demand]:
        return []

    def inject(self, cluster: Cluster, targets: Sequence[str], direction: str, *, timeout_s: float) -> None:
        """The label comes with the change, so that whoever is killed in between leaves nothing unnamed."""
        del direction  # a drained node is drained for everybody
        manager = _manager(cluster, timeout_s)
        for target in targets:
            change = ("--label-add", f"{LABEL}=1", "--availability", "drain")
            _run(manager, ("docker", "node", "update", *change, _id(manager, target, timeout_s)), timeout_s)

    def felt(self, cluster: Cluster, targets: Sequence[str], direction: str, *, timeout_s: float) -> Felt:
        """No task runs on any target any more."""
        del direction
        _require_shell(cluster)
        left = {node: len(_run(cluster.hosts[node], _TASKS, timeout_s).split()) for node in targets}
        told = ", ".join(f"{count} tasks on {node}" for node, count in left.items())
        return Felt(not any(left.values()), told)

    def heal(self, cluster: Cluster, *, timeout_s: float) -> list[str]:
        """Where no host manages a swarm nothing is drained."""
        manager = _any_manager(cluster, timeout_s)
        if manager is None:
            return []
        listed = ("docker", "node", "ls", "--quiet", "--filter", f"node.label={LABEL}=1")
        drained = _run(manager, listed, timeout_s).split()
        for node in drained:
            change = ("--label-rm", LABEL, "--availability", "active")
            _run(manager, ("docker", "node", "update", *change, node), timeout_s)
        return [f"node {node} takes tasks again" for node in drained]


def _manager(cluster: Cluster, timeout_s: float) -> Host:
    manager = _any_manager(cluster, timeout_s)
    if manager is None:
        raise EnvironmentBroken(f"the fault drain needs a manager of a swarm, and {cluster.name} has none")
    return manager


def _any_manager(cluster: Cluster, timeout_s: float) -> Host | None:
    """The first host that manages a swarm. Raises EnvironmentBroken where hosts give no shell."""
    _require_shell(cluster)
    for host in cluster.hosts.values():
        if host.run(_MANAGER, timeout_s=timeout_s).stdout.strip() == "true":
            return host
    return None


def _require_shell(cluster: Cluster) -> None:
    if "shell" not in cluster.rights:
        raise EnvironmentBroken(f"the fault drain needs the right `shell`, which {cluster.name} does not give")


def _id(manager: Host, node: str, timeout_s: float) -> str:
    argv = ("docker", "node", "ls", "--quiet", "--filter", f"node.label={NAME_LABEL}={node}")
    found = _run(manager, argv, timeout_s).split()
    if len(found) != 1:
        raise EnvironmentBroken(f"the swarm has {len(found)} nodes with the label {NAME_LABEL}={node}, not one")
    return found[0]


def _run(host: Host, argv: tuple[str, ...], timeout_s: float) -> str:
    result = host.run(argv, timeout_s=timeout_s)
    if not result.ok:
        raise CommandFailed(list(argv), result.code, result.output, where=host.name)
    return result.stdout


FAULT = Drain()
