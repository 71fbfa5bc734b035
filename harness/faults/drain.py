"""`drain`: the orchestrator moves what runs on a node elsewhere and gives it nothing new.

On Swarm (docker-node-update(1)) tasks of global services go and come back with the node; on Kubernetes (kubectl
drain, of pods of ours) those of DaemonSets stay. Plain containers stay. What is replicated does not come back by
itself when the node takes containers again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.faults import _kubectl
from harness.faults._rights import right_of
from harness.model.errors import CommandFailed, EnvironmentBroken
from harness.model.plan import LABEL as RUN_LABEL
from harness.model.plan import Demand
from harness.ports import Cluster, Felt, Host, Right
from harness.transport import cordons

#: On a node of a swarm that this fault drained; heal looks for it, and leaves nodes alone that somebody else
#: drained.
LABEL = cordons.LABEL
#: Pods that are evicted: what a Deployment makes has this label. Those of DaemonSets have none, nor plain ones.
REPLICATED = "pod-template-hash"
NAME_LABEL = "harness.name"
#: For kubectl to see that what is evicted is gone. A kubelet tells so every 10 s at most, and needs some rounds on
#: a busy machine: 30 s were not enough for one pod at a load of 13.
EVICT_TIMEOUT_S = 120.0
#: Longer than kubectl's own deadline, so that its words are heard.
EVICT_GRACE_S = 5.0
_MANAGER = ("docker", "info", "--format", "{{.Swarm.ControlAvailable}}")
_TASKS = ("docker", "ps", "--quiet", "--filter", "label=com.docker.swarm.task")


@dataclass(frozen=True)
class Drain:
    name: str = "drain"
    rights: frozenset[Right] = frozenset({"nodes"})

    def demands(self) -> list[Demand]:
        return []

    def inject(self, cluster: Cluster, targets: Sequence[str], direction: str, *, timeout_s: float) -> None:
        """The label comes with the change, so that whoever is killed in between leaves nothing unnamed."""
        del direction  # a drained node is drained for everybody
        manager = _manager(cluster, timeout_s)
        if manager is None:
            _drain_pods(_api(cluster, timeout_s), targets, timeout_s)
            return
        for target in targets:
            change = ("--label-add", f"{LABEL}=1", "--availability", "drain")
            _run(manager, ("docker", "node", "update", *change, _id(manager, target, timeout_s)), timeout_s)

    def felt(self, cluster: Cluster, targets: Sequence[str], direction: str, *, timeout_s: float) -> Felt:
        """No task, or no pod of a Deployment of ours, runs on any target any more."""
        del direction
        if _manager(cluster, timeout_s) is None and (api := _any_api(cluster, timeout_s)):
            return _felt_by_pods(api, targets, timeout_s)
        left = {node: len(_run(cluster.hosts[node], _TASKS, timeout_s).split()) for node in targets}
        told = ", ".join(f"{count} tasks on {node}" for node, count in left.items())
        return Felt(not any(left.values()), told)

    def heal(self, cluster: Cluster, *, timeout_s: float) -> list[str]:
        """Where no host manages a swarm, nor is a control plane, nothing is drained."""
        manager = _manager(cluster, timeout_s)
        if manager is None:
            api = _any_api(cluster, timeout_s)
            return _heal_pods(api, timeout_s) if api else []
        listed = ("docker", "node", "ls", "--quiet", "--filter", f"node.label={LABEL}=1")
        drained = _run(manager, listed, timeout_s).split()
        for node in drained:
            change = ("--label-rm", LABEL, "--availability", "active")
            _run(manager, ("docker", "node", "update", *change, node), timeout_s)
        return [f"node {node} takes tasks again" for node in drained]


def _drain_pods(api: _kubectl.Api, targets: Sequence[str], timeout_s: float) -> None:
    """Returns when what is evicted is gone; who waits no longer leaves the node drained, and its label."""
    within_s = max(timeout_s, EVICT_TIMEOUT_S)
    for node in map(api.node, targets):
        cordons.mark(api.host, api.client, api.run, node, timeout_s=timeout_s)
        words = ("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--force")
        which = (f"--pod-selector={RUN_LABEL}={api.run},{REPLICATED}", f"--timeout={within_s:g}s")
        api.kubectl(*words, *which, timeout_s=within_s + EVICT_GRACE_S)


def _felt_by_pods(api: _kubectl.Api, targets: Sequence[str], timeout_s: float) -> Felt:
    left = {node: len(api.pods(node, REPLICATED, timeout_s)) for node in targets}
    told = ", ".join(f"{count} replicated pods on {node}" for node, count in left.items())
    asked = ("get", "nodes", "--field-selector", "spec.unschedulable=true", "-o", "name")
    shut = {line.removeprefix("node/") for line in api.kubectl(*asked, timeout_s=timeout_s).split()}
    return Felt(not any(left.values()) and shut >= set(map(api.node, targets)), told)


def _heal_pods(api: _kubectl.Api, timeout_s: float) -> list[str]:
    released = cordons.release(api.host, api.client, api.run, timeout_s=timeout_s)
    return [f"node {node} takes pods again" for node in released]


def _any_api(cluster: Cluster, timeout_s: float) -> _kubectl.Api | None:
    return _kubectl.any_api(cluster, "drain", "nodes", timeout_s)


def _api(cluster: Cluster, timeout_s: float) -> _kubectl.Api:
    found = _any_api(cluster, timeout_s)
    if found is None:
        lacking = "a manager of a swarm or a control plane of Kubernetes"
        raise EnvironmentBroken(f"the fault drain needs {lacking}, and {cluster.name} has none")
    return found


def _manager(cluster: Cluster, timeout_s: float) -> Host | None:
    """The first host that manages a swarm. Raises EnvironmentBroken without the right."""
    right_of(cluster, "drain", "nodes")
    hosts = cluster.hosts.values() if "shell" in cluster.rights else ()
    for host in hosts:
        if host.run(_MANAGER, timeout_s=timeout_s).stdout.strip() == "true":
            return host
    return None


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
