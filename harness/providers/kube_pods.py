"""What a run makes in a Kubernetes that exists, besides its services: a pod of ours on each node, and a marker.

The marker is a ConfigMap called as the cluster; with the labels it is all that finding and removing need. Pods of
ours are in their node's own network, so that what nodes say to each other can be asked; where the cluster does not
allow that they are plain pods, which say which nodes there are, and no more.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from harness.model.errors import CommandFailed, DeadlineExceeded, EnvironmentBroken, UsageError
from harness.model.plan import LABEL, Plan, cluster_key
from harness.ports import Progress
from harness.providers import kube_rights
from harness.transport import admission
from harness.transport.kubectl import CONTAINER, KubectlHost

NAME = "existing"
#: Also on the namespace, where it is ours.
PROVIDER_LABEL = "harness.provider"
PART_LABEL = "harness.part"
AGENT = "harness-agent"
#: Kinds of what a plan makes.
TAKEN = "pods,services,deployments,daemonsets,statefulsets,networkpolicies"
AGENTS = f"{PART_LABEL}={AGENT}"
CALL_TIMEOUT_S = 30.0
READY_TIMEOUT_S = 180.0
#: Nodes that are enough are not waited for longer than this: some other one may be out of order.
REST_TIMEOUT_S = 30.0
POLL_S = 1.0
HOPELESS = ("ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName")
IMAGE_HINT = (
    "--workload-image names the harness's image in a registry that the cluster can reach; "
    "`kind load image-archive` hands it to nodes of kind"
)
_STAY_ALIVE = ["sh", "-c", "trap 'exit 0' TERM; sleep infinity & wait"]
_NOT_ALLOWED = re.compile("host ?network", re.IGNORECASE)

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Api:
    """kubectl with what every command begins with."""

    host: KubectlHost
    client: tuple[str, ...]

    def must(self, *words: str, timeout_s: float = CALL_TIMEOUT_S, stdin: str = "") -> str:
        """Its output. Raises CommandFailed, DeadlineExceeded."""
        argv = (*self.client, *words)
        result = self.host.run(argv, timeout_s=timeout_s, stdin=stdin.encode())
        if not result.ok:
            raise CommandFailed(
                list(argv), result.code, result.stderr.strip() or result.output, where=self.host.name
            )
        return result.stdout

    def rows(self, *words: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = json.loads(self.must("get", *words, "-o", "json"))["items"]
        return items

    def apply(self, thing: Mapping[str, Any]) -> None:
        self.must("apply", "-f", "-", stdin=json.dumps(thing))


@dataclass(frozen=True)
class Agent:
    """A pod of ours on a node, as the cluster calls it."""

    node: str
    pod: str
    address: str
    in_node: bool


# --- objects


def labels(run: str) -> dict[str, str]:
    return {LABEL: run, PROVIDER_LABEL: NAME}


def namespace(plan: Plan) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": plan.namespace, "labels": labels(plan.run)},
    }


def marker(plan: Plan, called: Mapping[str, str]) -> dict[str, Any]:
    """`called` maps the topology's nodes to the cluster's; empty while they are not known. `kinds` are those of
    which whoever removes the run would not know.
    """
    shape = {
        "topology": plan.topology.name,
        "key": cluster_key(plan.topology),
        "nodes": json.dumps(dict(called)),
        "kinds": ",".join(kube_rights.further_kinds(plan)),
    }
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": plan.cluster, "namespace": plan.namespace, "labels": labels(plan.run)},
        "data": shape,
    }


def agents(plan: Plan, *, in_nodes: bool, only: Sequence[str] = ()) -> dict[str, Any]:
    """A pod on every node that takes pods, or on those of `only`; called as the cluster, as the marker is."""
    own = {**labels(plan.run), PART_LABEL: AGENT}
    container = {
        "name": CONTAINER,
        "image": plan.workload_image,
        "imagePullPolicy": "IfNotPresent",
        "args": _STAY_ALIVE,
    }
    spec: dict[str, Any] = {
        "hostNetwork": in_nodes,
        "dnsPolicy": "ClusterFirstWithHostNet" if in_nodes else "ClusterFirst",
        "terminationGracePeriodSeconds": 2,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "containers": [container],
    }
    if only:
        terms = [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": [name]}]} for name in only]
        required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
        spec["affinity"] = {"nodeAffinity": required}
    selected = {LABEL: plan.run, PART_LABEL: AGENT}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": plan.cluster, "namespace": plan.namespace, "labels": own},
        "spec": {
            "selector": {"matchLabels": selected},
            "template": {"metadata": {"labels": own}, "spec": spec},
        },
    }


# --- making


def refuse_taken(api: Api, plan: Plan) -> None:
    """In a namespace that is not ours names may be taken, and apply would change what is called so. Raises
    EnvironmentBroken that names what is, by another run of ours or by anybody.
    """
    wanted = {(each["kind"], each["metadata"]["name"]) for each in _objects(plan)}
    kinds = ",".join([TAKEN, *kube_rights.further_kinds(plan)])
    rows = api.rows(kinds, "--namespace", plan.namespace)
    taken = sorted(f"{row['kind']} {row['metadata']['name']}" for row in rows if _key(row) in wanted)
    if taken:
        raise EnvironmentBroken(
            f"namespace {plan.namespace} has these already: {', '.join(taken)}",
            hint="a run of ours that was cut short goes by `harness down`; else rename services, or take another "
            "namespace",
        )


def _objects(plan: Plan) -> Iterator[Row]:
    for document in plan.documents:
        if document.name.endswith(".yaml"):
            yield from (each for each in yaml.safe_load_all(document.text) if each)


def _key(row: Row) -> tuple[str, str]:
    return row["kind"], row["metadata"]["name"]


def make(api: Api, plan: Plan, progress: Progress) -> list[Agent]:
    """The pods of the nodes that the topology gets, in order. Raises UsageError where there are too few nodes."""
    found = _started(api, plan, progress, in_nodes=True)
    if found is None:
        progress("the cluster allows no pods in its nodes' network: what nodes themselves say is not asked")
        api.must("--namespace", plan.namespace, "delete", "daemonsets", plan.cluster, "--wait=true")
        found = _started(api, plan, progress, in_nodes=False)
        assert found is not None
    if len(found) < len(plan.nodes):
        names = ", ".join(agent.node for agent in found)
        raise UsageError(
            f"the topology wants {len(plan.nodes)} nodes, and {len(found)} of the cluster take its pods: {names}",
            hint=f"--set cluster.nodes.worker={max(0, len(found) - 1)}",
        )
    chosen = found[: len(plan.nodes)]
    if len(found) > len(chosen):
        api.apply(agents(plan, in_nodes=chosen[0].in_node, only=[agent.node for agent in chosen]))
        chosen = _await(api, plan, len(chosen), exactly=True) or []
    return chosen


def _started(api: Api, plan: Plan, progress: Progress, *, in_nodes: bool) -> list[Agent] | None:
    """None where pods in the nodes' network are not allowed."""
    progress("starting a pod of ours on each node")
    api.apply(agents(plan, in_nodes=in_nodes))
    return _await(api, plan, len(plan.nodes), refusable=in_nodes)


def _await(
    api: Api, plan: Plan, enough: int, *, exactly: bool = False, refusable: bool = False
) -> list[Agent] | None:
    """Returns when every node that takes pods has one of ours: with `exactly`, when there are `enough` such nodes.
    Where some do not come, those that are enough are taken. None where the cluster refuses such pods and may.
    """
    start = time.monotonic()
    while True:
        wanted, found = _wanted(api, plan), running(api, plan.namespace, plan.run)
        waited_s = time.monotonic() - start
        all_there = 0 < wanted <= len(found) and (not exactly or wanted == len(found) == enough)
        if all_there or (not exactly and len(found) >= enough and waited_s > REST_TIMEOUT_S):
            return found
        troubles = list(_troubles(api, plan))
        if refusable and not found and any(_NOT_ALLOWED.search(text) for text in troubles):
            return None
        if refused := next(filter(admission.is_refused, troubles), ""):
            told = f"namespace {plan.namespace} takes no pods of ours: {refused}"
            raise EnvironmentBroken(told, hint=admission.HINT)
        if waited_s > READY_TIMEOUT_S or any(word in text for text in troubles for word in HOPELESS):
            raise _stuck(len(found), wanted, troubles or list(_late(api, plan)))
        time.sleep(POLL_S)


def _stuck(found: int, wanted: int, troubles: Sequence[str]) -> EnvironmentBroken:
    told = f"pods of ours run on {found} of {wanted} nodes: {'; '.join(troubles) or 'nothing says why'}"
    image = any(word in text for text in troubles for word in HOPELESS)
    return EnvironmentBroken(told, hint=IMAGE_HINT) if image else DeadlineExceeded(told)


def _late(api: Api, plan: Plan) -> Iterator[str]:
    """Where no event says why: pods that do not run, and how far each is."""
    for row in api.rows("pods", "--namespace", plan.namespace, "-l", f"{LABEL}={plan.run},{AGENTS}"):
        states = [status.get("state", {}) for status in row["status"].get("containerStatuses", ())]
        waits = [state["waiting"].get("reason", "") for state in states if "waiting" in state]
        place = row["spec"].get("nodeName") or "no node yet"
        if row["metadata"].get("deletionTimestamp"):
            yield f"pod {row['metadata']['name']} on {place}: it was told to go, and is still there"
        elif not _runs(row):
            yield f"pod {row['metadata']['name']} on {place}: {', '.join([row['status']['phase'], *waits])}"


def _controllers(api: Api, plan: Plan) -> list[dict[str, Any]]:
    return api.rows("daemonsets", "--namespace", plan.namespace, "-l", f"{LABEL}={plan.run},{AGENTS}")


def _wanted(api: Api, plan: Plan) -> int:
    """How many nodes their controller has found; 0 while it has not looked."""
    state = _controllers(api, plan)
    rows = [row for row in state if row["status"].get("observedGeneration", 0) >= row["metadata"]["generation"]]
    return max((int(row["status"].get("desiredNumberScheduled", 0)) for row in rows), default=0)


def _troubles(api: Api, plan: Plan) -> Iterator[str]:
    """What pods and their controller say, in the cluster's own words, each once. Events of what has gone are left
    out: the one before may have been called the same.
    """
    pods = api.rows("pods", "--namespace", plan.namespace, "-l", f"{LABEL}={plan.run},{AGENTS}")
    told: dict[str, None] = {}
    for row in pods:
        for status in row["status"].get("containerStatuses", ()):
            waiting = status.get("state", {}).get("waiting", {})
            if waiting.get("reason") and waiting["reason"] != "ContainerCreating":
                told[f"{waiting['reason']}: {waiting.get('message', '')}"] = None
    there = {row["metadata"]["uid"] for row in (*pods, *_controllers(api, plan))}
    for row in api.rows("events", "--namespace", plan.namespace, "--field-selector", "type=Warning"):
        if row["involvedObject"].get("uid") in there:
            told[f"{row['reason']}: {row['message']}"] = None
    yield from told


def running(api: Api, space: str, run: str) -> list[Agent]:
    """Pods of ours that run, in the order of their nodes' names."""
    rows = api.rows("pods", "--namespace", space, "-l", f"{LABEL}={run},{AGENTS}")
    found = [
        Agent(
            row["spec"]["nodeName"],
            row["metadata"]["name"],
            row["status"].get("hostIP", ""),
            bool(row["spec"].get("hostNetwork")),
        )
        for row in rows
        if not row["metadata"].get("deletionTimestamp") and _runs(row)
    ]
    return sorted(found, key=lambda agent: _natural(agent.node))


def _runs(row: Row) -> bool:
    return any("running" in status.get("state", {}) for status in row["status"].get("containerStatuses", ()))


def _natural(name: str) -> list[tuple[int, str]]:
    """node2 before node10."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]
