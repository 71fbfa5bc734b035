"""Provider `existing` for Kubernetes: a cluster that was there before us and stays, by its API alone.

All of a run is in one namespace: one of ours, which goes with the run, or one that we were told to use, from which
everything with our label goes. Nothing else of the cluster is touched, and nothing is remembered here.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.model.errors import CommandFailed, DeadlineExceeded, EnvironmentBroken, HarnessError, UsageError
from harness.model.plan import LABEL, PREFIX, Demand, Plan, cluster_name
from harness.model.topology import Topology
from harness.ports import Cluster, ClusterInfo, Host, Progress, Right
from harness.providers import kube_pods, kube_rights
from harness.providers.inspection import Complaint
from harness.providers.kube_access import Access
from harness.providers.kube_pods import NAME, PROVIDER_LABEL, Agent, Api
from harness.transport import cordons
from harness.transport.kubectl import Place, PodHost
from harness.transport.pods import await_gone

REMOVE_TIMEOUT_S = 120.0
LOG_LINES = "2000"
OURS = f"{PROVIDER_LABEL}={NAME}"
#: Of a namespace that stays, in this order: what makes pods first, the marker last.
MAKERS = "deployments,daemonsets,statefulsets"
REST = "services,networkpolicies"


class KubeconfigProvider:
    """Implements ports.Provider. Without access it knows of no clusters."""

    #: To users the provider is `existing`; so it is told from that of hosts.
    name = "existing kubernetes"

    def __init__(self, access: Access | None = None) -> None:
        self._access = access

    def demands(self, _topology: Topology) -> list[Demand]:
        return []

    # --- making

    def up(self, plan: Plan, progress: Progress) -> Cluster:
        """Ask for all rights first; nothing is made where one is missing."""
        api = self._api(progress)
        version = kube_rights.require(api.host, api.client, plan)
        progress(f"Kubernetes {version} allows what a run does in namespace {plan.namespace}")
        if not self._of_ours:
            kube_pods.refuse_taken(api, plan)
        try:
            if self._of_ours:
                api.must("create", "-f", "-", stdin=json.dumps(kube_pods.namespace(plan)))
            api.apply(kube_pods.marker(plan, {}))
            chosen = kube_pods.make(api, plan, progress)
            called = {node.name: agent.node for node, agent in zip(plan.nodes, chosen, strict=True)}
            api.apply(kube_pods.marker(plan, called))
            progress(", ".join(f"{name} is {theirs}" for name, theirs in called.items()))
            return self.find(plan.cluster)
        except BaseException:
            with contextlib.suppress(HarnessError):
                self.down(plan.cluster)
            raise

    def inspect(self, plan: Plan | None) -> list[Complaint]:
        """What stands in the way of a run of `plan`, or of any at all. Makes nothing."""
        api = self._api(_quiet)
        try:
            if plan is None:
                kube_rights.reach(api.host, api.client)
            else:
                kube_rights.require(api.host, api.client, plan)
        except EnvironmentBroken as error:
            return [Complaint("the cluster", error.message, error.hint or "", grave=True)]
        return []

    def supply(self, cluster: Cluster, plan: Plan, progress: Progress) -> None:  # noqa: ARG002 - the seam's
        """Images are the cluster's business: a registry has them, or its nodes were handed them. A namespace that
        is used again may hold what the next topology calls its own: raises EnvironmentBroken then.
        """
        if not self._of_ours:
            kube_pods.refuse_taken(self._api(progress), plan)

    # --- finding

    def find(self, name: str) -> Cluster:
        run = name.removeprefix(PREFIX)
        api = self._api(_quiet)
        for space, row in self._markers(api):
            if row is not None and _run_of(row) == run:
                return _cluster(api, space, run, json.loads(row["data"]["nodes"]))
        known = ", ".join(info.name for info in self.clusters()) or "none"
        raise UsageError(f"there is no cluster {name!r}", hint=f"clusters that are there: {known}")

    def clusters(self) -> list[ClusterInfo]:
        """Raises EnvironmentBroken where the cluster does not answer, or does not let us look."""
        if self._access is None:
            return []
        api = self._api(_quiet)
        kube_rights.reach(api.host, api.client)
        return [_info(space, row) for space, row in self._markers(api)]

    def _markers(self, api: Api) -> list[tuple[Mapping[str, Any], Mapping[str, Any] | None]]:
        """What carries our label, with its marker; one that was cut short may have none."""
        if not self._of_ours:
            assert self._access is not None
            rows = api.rows("configmaps", "--namespace", str(self._access.namespace), "-l", OURS)
            return [(row, row) for row in rows]
        spaces = [row for row in api.rows("namespaces", "-l", OURS) if _is_ours(row)]
        return [(space, self._marker(api, space)) for space in spaces]

    def _marker(self, api: Api, space: Mapping[str, Any]) -> Mapping[str, Any] | None:
        rows = api.rows("configmaps", "--namespace", space["metadata"]["name"], "-l", OURS)
        return next((row for row in rows if _run_of(row) == _run_of(space)), None)

    def logs(self, name: str, into: Path) -> None:
        """What pods have said, below their nodes; what the API says of them, in `api/`."""
        run = name.removeprefix(PREFIX)
        api = self._api(_quiet)
        for space, row in self._markers(api):
            if _run_of(space) == run:
                _write_logs(api, _space_of(space), run, _nodes_of(row), into)

    # --- removing

    def down(self, name: str) -> list[str]:
        """Returns when it is gone. Raises EnvironmentBroken with what the cluster says where it is not in time."""
        if self._access is None:
            return []
        run = name.removeprefix(PREFIX)
        api = self._api(_quiet)
        opened = _open_nodes(api, run, self._access.namespace or cluster_name(run))
        if not self._of_ours:
            return opened + _remove_from(api, str(self._access.namespace), run)
        spaces = [row["metadata"]["name"] for row in api.rows("namespaces", *_mine(run)) if _is_ours(row)]
        for space in spaces:
            _remove_from(api, space, run)
        return opened + _remove_namespaces(api, spaces, run)

    def tidy(self) -> list[str]:
        return []

    @property
    def _of_ours(self) -> bool:
        """Whether every run has a namespace of its own."""
        return self._access is None or self._access.namespace is None

    def _api(self, progress: Progress) -> Api:
        if self._access is None:
            raise UsageError(
                "provider existing needs a kubeconfig for orchestrator kubernetes",
                hint="--kubeconfig FILE or --context NAME, or cluster.kubeconfig in the topology",
            )
        return Api(self._access.api(progress), self._access.client)


def _quiet(_line: str) -> None:
    pass


def _run_of(row: Mapping[str, Any]) -> str:
    return str(row["metadata"]["labels"][LABEL])


def _is_ours(row: Mapping[str, Any]) -> bool:
    """By label and name: a label alone may have been copied."""
    found = row["metadata"]["labels"].get(LABEL)
    return found is not None and row["metadata"]["name"] == cluster_name(found)


def _space_of(row: Mapping[str, Any]) -> str:
    """Of a namespace its name, of a marker the namespace it is in."""
    return str(row["metadata"].get("namespace") or row["metadata"]["name"])


def _nodes_of(marker: Mapping[str, Any] | None) -> dict[str, str]:
    found: dict[str, str] = json.loads(marker["data"]["nodes"]) if marker else {}
    return found


def _info(space: Mapping[str, Any], marker: Mapping[str, Any] | None) -> ClusterInfo:
    run = _run_of(space)
    data = marker["data"] if marker else {}
    return ClusterInfo(
        name=cluster_name(run),
        run=run,
        provider=KubeconfigProvider.name,
        nodes=len(_nodes_of(marker)),
        since=space["metadata"]["creationTimestamp"],
        topology=data.get("topology", ""),
        key=data.get("key", ""),
    )


def _cluster(api: Api, space: Mapping[str, Any], run: str, called: Mapping[str, str]) -> Cluster:
    by_node = {agent.node: agent for agent in kube_pods.running(api, _space_of(space), run)}
    there = {name: by_node[theirs] for name, theirs in called.items() if theirs in by_node}
    if not there:
        raise EnvironmentBroken(f"{cluster_name(run)}: none of its nodes has a pod of ours that runs")
    version = kube_rights.reach(api.host, api.client)
    can_drain = kube_rights.may_drain(api.host, api.client, _space_of(space))
    rights: frozenset[Right] = frozenset({"pods", "nodes"} if can_drain else {"pods"})
    hosts: dict[str, Host] = {
        name: _host(api, name, agent, _space_of(space), version, rights) for name, agent in there.items()
    }
    return Cluster(
        cluster_name(run),
        run,
        KubeconfigProvider.name,
        hosts,
        shared_clock=False,
        api=api.host,
        called=dict(called),
        in_nodes=all(agent.in_node for agent in there.values()),
    )


def _host(api: Api, name: str, agent: Agent, space: str, version: str, rights: frozenset[Right]) -> PodHost:
    home = Place(space, agent.pod)
    return PodHost(name, agent.address, api.host, api.client, home, rights, version)


def _mine(run: str) -> tuple[str, str]:
    return "-l", f"{LABEL}={run},{OURS}"


def _open_nodes(api: Api, run: str, space: str) -> list[str]:
    """Those that a killed run has drained. Who may not shut nodes has shut none."""
    if not kube_rights.may_drain(api.host, api.client, space):
        return []
    released = cordons.release(api.host, api.client, run, timeout_s=kube_pods.CALL_TIMEOUT_S)
    return [f"drain of node {node}" for node in released]


def _remove_from(api: Api, space: str, run: str) -> list[str]:
    """Everything with our label from a namespace, the marker last: it says which further kinds there may be."""
    selected = ("--namespace", space, "-l", f"{LABEL}={run}")
    markers = api.rows("configmaps", "--namespace", space, "-l", f"{LABEL}={run},{OURS}")
    further = [kind for row in markers for kind in row["data"].get("kinds", "").split(",") if kind]
    removed = _delete(api, MAKERS, *selected, "--cascade=foreground", "--wait=false")
    removed += _delete(api, "pods", *selected, "--wait=false")
    await_gone(api.host, api.client, selected, timeout_s=REMOVE_TIMEOUT_S)
    removed += _delete(api, ",".join([MAKERS, REST, *further]), *selected, "--wait=true")
    removed += _delete(api, "configmaps", *selected, "--wait=true")
    return [f"{line} of namespace {space}" for line in dict.fromkeys(removed)]


def _delete(api: Api, kinds: str, *words: str) -> list[str]:
    told = api.must("delete", kinds, *words, "--ignore-not-found", "-o", "name", timeout_s=REMOVE_TIMEOUT_S)
    return told.split()


def _remove_namespaces(api: Api, spaces: list[str], run: str) -> list[str]:
    """Whatever is in them goes with them. Pods have gone before: a namespace's controller asks after them ever
    more rarely.
    """
    for name in spaces:
        api.must("delete", "namespace", name, "--ignore-not-found", "--wait=false")
    until = time.monotonic() + REMOVE_TIMEOUT_S
    while spaces and (left := _left(api, run, until)):
        if time.monotonic() > until:
            raise EnvironmentBroken(f"namespace {', '.join(spaces)} is not gone: {_conditions(left)}")
        time.sleep(kube_pods.POLL_S)
    return [f"namespace {name}" for name in spaces]


def _left(api: Api, run: str, until: float) -> list[dict[str, Any]]:
    """Namespaces of the run. An API server that is slow to say so is asked again, as long as there is time."""
    while True:
        try:
            return api.rows("namespaces", *_mine(run))
        except DeadlineExceeded:
            if time.monotonic() > until:
                raise


def _conditions(rows: list[dict[str, Any]]) -> str:
    told = [
        condition["message"]
        for row in rows
        for condition in row["status"].get("conditions", ())
        if condition.get("status") == "True"
    ]
    return "; ".join(told) or "the cluster does not say why"


def _write_logs(api: Api, space: str, run: str, called: Mapping[str, str], into: Path) -> None:
    ours = {theirs: name for name, theirs in called.items()}
    selected = ("--namespace", space, "-l", f"{LABEL}={run}")
    asked = {"pods.txt": ("get", "pods", *selected, "-o", "wide"), "events.txt": ("get", "events", *selected[:2])}
    folder = into / "api"
    folder.mkdir(parents=True, exist_ok=True)
    for name, words in asked.items():
        (folder / name).write_text(_told(api, *words))
    for row in api.rows("pods", *selected):
        pod, node = row["metadata"]["name"], row["spec"].get("nodeName", "")
        place = into / ours.get(node, "api")
        place.mkdir(parents=True, exist_ok=True)
        told = _told(api, "logs", *selected[:2], pod, "--all-containers", "--tail", LOG_LINES)
        (place / f"{pod}.log").write_text(told)


def _told(api: Api, *words: str) -> str:
    try:
        return api.must(*words)
    except (CommandFailed, EnvironmentBroken) as error:
        return f"could not be had: {error.message}\n"
