"""Waiting for what kind does not wait for: every node, the DaemonSets (the pods' network among them), the DNS.

A network for pods may have a namespace of its own (flannel's has), so all count but those that runs make.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from threading import Event
from typing import Any

from harness.model.errors import EnvironmentBroken
from harness.model.plan import PREFIX
from harness.ports import Host, Progress, Result
from harness.transport.deadlines import answer_of
from harness.transport.kubectl import last_seen

KUBECTL = ("env", "KUBECONFIG=/etc/kubernetes/admin.conf", "kubectl")
#: For each of the three. A worker of a cluster of three was seen Ready 20 s after kind's end, at a load of 8.
READY_TIMEOUT_S = 240.0
LOOK_TIMEOUT_S = 30.0
LOOK_EVERY_S = 1.0

Objects = Sequence[Mapping[str, Any]]


def await_ready(
    host: Host,
    nodes: Sequence[str],
    progress: Progress,
    stop: Event,
    *,
    with_dns: bool = True,
) -> None:
    """Returns when every node is Ready, every DaemonSet complete and the DNS up, where that is to be waited for.
    `host` is the control plane.

    Raises EnvironmentBroken that names what is not there, with the last event about it. Returns at once where
    `stop` is set.
    """
    _await(host, stop, lambda found: [*_missing(found, nodes), *_unready_nodes(found)])
    progress(f"nodes {', '.join(nodes)} are Ready")
    _await(host, stop, lambda found: list(_incomplete(found, "DaemonSet")))
    progress("the network for pods is up on every node")
    if not with_dns:
        return
    _await(host, stop, lambda found: list(_incomplete(found, "Deployment")))
    progress("the DNS is up")


def _await(host: Host, stop: Event, wrong: Callable[[Objects], list[str]]) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while not stop.is_set():
        answer = kubectl(host, "get", "nodes,daemonsets,deployments", "--all-namespaces", "-o", "json")
        complaints = wrong(json.loads(answer.stdout)["items"]) if answer.ok else [answer.output]
        if not complaints:
            return
        if time.monotonic() > deadline or "is not running" in answer.output:
            told = "\n".join([*complaints, *_told_by_pods(host)])
            raise EnvironmentBroken(f"the cluster did not get ready (within {READY_TIMEOUT_S:g} s):\n{told}")
        stop.wait(LOOK_EVERY_S)


def kubectl(host: Host, *words: str) -> Result:
    """An API that is slow to answer is one that has not answered yet."""
    return answer_of(host, [*KUBECTL, *words], timeout_s=LOOK_TIMEOUT_S)


# --- what the API server says, as complaints for people


def _of_kind(objects: Objects, kind: str) -> Iterator[Mapping[str, Any]]:
    return (thing for thing in objects if thing["kind"] == kind)


def _ready(thing: Mapping[str, Any]) -> Mapping[str, Any]:
    """The condition `Ready` of a node or a pod; empty where it has said nothing yet."""
    conditions: Sequence[Mapping[str, Any]] = thing["status"].get("conditions", ())
    return next((condition for condition in conditions if condition["type"] == "Ready"), {})


def _missing(objects: Objects, nodes: Sequence[str]) -> list[str]:
    there = {node["metadata"]["name"] for node in _of_kind(objects, "Node")}
    return [f"node {name} has not joined" for name in nodes if name not in there]


def _unready_nodes(objects: Objects) -> Iterator[str]:
    for node in _of_kind(objects, "Node"):
        ready = _ready(node)
        if ready.get("status") != "True":
            yield f"node {node['metadata']['name']} is not Ready: {ready.get('message', 'it has not said why')}"


def _incomplete(objects: Objects, kind: str) -> Iterator[str]:
    """DaemonSets and deployments of the system with fewer pods than they should have."""
    for thing in _of_kind(objects, kind):
        status, name = thing["status"], thing["metadata"]["name"]
        if _is_ours(thing):
            continue
        if kind == "DaemonSet":
            wanted, ready = status.get("desiredNumberScheduled", 0), status.get("numberReady", 0)
        else:
            wanted, ready = thing["spec"].get("replicas", 1), status.get("readyReplicas", 0)
        if ready < wanted or status.get("observedGeneration", 0) < thing["metadata"].get("generation", 0):
            yield f"{kind} {name}: {ready} of {wanted} pods are ready"


def _told_by_pods(host: Host) -> list[str]:
    """A line for each pod of the system's that is not ready, and for what could not even make its pods: why, and
    the last event about it.
    """
    answer = kubectl(host, "get", "pods,events", "--all-namespaces", "-o", "json")
    objects = json.loads(answer.stdout)["items"] if answer.ok else []
    theirs = [thing for thing in objects if not _is_ours(thing)]
    return [*complaints_of_pods(theirs), *complaints_of_makers(theirs)]


def complaints_of_makers(objects: Objects) -> list[str]:
    """DaemonSets and ReplicaSets that were not allowed to make a pod, by their last event."""
    last: dict[str, Mapping[str, Any]] = {}
    for event in sorted(_of_kind(objects, "Event"), key=last_seen):
        about = event["involvedObject"]
        if event.get("reason") == "FailedCreate":
            last[f"{about.get('kind', '')} {about.get('name', '')}"] = event
    return [f"{name} has no pod{_said(event)}" for name, event in last.items()]


def _is_ours(thing: Mapping[str, Any]) -> bool:
    return str(thing["metadata"].get("namespace", "")).startswith(PREFIX)


def complaints_of_pods(objects: Objects) -> list[str]:
    """`objects` are pods and events. Static pods of the control plane are late to say that they are ready."""
    found = []
    for pod in _of_kind(objects, "Pod"):
        if _ready(pod).get("status") != "True" and "kubernetes.io/config.mirror" not in pod["metadata"].get(
            "annotations", {}
        ):
            found.append(_complaint(pod, list(_of_kind(objects, "Event"))))
    return found


def _complaint(pod: Mapping[str, Any], events: Objects) -> str:
    name = pod["metadata"]["name"]
    where = pod["spec"].get("nodeName", "no node")
    states = (status.get("state", {}) for status in pod["status"].get("containerStatuses", ()))
    waiting = [state["waiting"].get("reason", "") for state in states if "waiting" in state]
    why = ", ".join(filter(None, waiting)) or pod["status"].get("phase", "")
    about = [event for event in events if event["involvedObject"].get("name") == name]
    return f"pod {name} on {where}: {why}{_said(max(about, key=last_seen, default=None))}"


def _said(event: Mapping[str, Any] | None) -> str:
    if event is None:
        return "; no event"
    return f"; its last event: {event.get('reason', '')}: {event.get('message', '').strip()}"
