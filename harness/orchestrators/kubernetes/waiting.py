"""Waiting for pods, and saying in the kubelets' own words why one does not come."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from harness.model.errors import EnvironmentBroken
from harness.model.plan import LABEL, Plan
from harness.orchestrators.hosts import must, ticks
from harness.orchestrators.kubernetes import classes, looking, names
from harness.ports import Cluster, Progress
from harness.transport import admission
from harness.transport.kubectl import last_seen

RUNNING_TIMEOUT_S = 180.0
LOOK_TIMEOUT_S = 15.0
#: kubelets ask the DNS whether it is ready every 10 s.
DNS_TIMEOUT_S = 240.0
SYSTEM = "kube-system"
#: What a kubelet says of a container that will not come by waiting.
HOPELESS = (
    "ErrImagePull",
    "ImagePullBackOff",
    "ErrImageNeverPull",
    "InvalidImageName",
    "CreateContainerConfigError",
)
#: A kubelet starts a container again and again; so many equal ends are not an accident any more.
MAX_RESTARTS = 3
#: A pod without a place for so long gets none: its wish cannot be met.
UNPLACED_TIMEOUT_S = 15.0
#: But for one whose volume is still being provided.
CLAIMS = "unbound immediate PersistentVolumeClaims"
#: Pods that their controller has not made by then may be refused, which is asked then.
MADE_WITHIN_S = 5.0
MAKERS = "deployments,daemonsets,statefulsets"


def await_running(cluster: Cluster, plan: Plan, progress: Progress) -> None:
    """Returns when every container of the plan runs. Raises EnvironmentBroken with the pods' own words."""
    seen = ""
    unplaced_since: float | None = None
    lacking: dict[str, int] = {}
    refused: list[str] = []
    start = time.monotonic()
    for _ in ticks(RUNNING_TIMEOUT_S, names.POLL_S):
        lacking = _lacking(cluster, plan)
        if not lacking:
            return
        told = ", ".join(f"{name} {count} of {plan.target(name).containers}" for name, count in lacking.items())
        if told != seen:
            progress(f"waiting for {told}")
            seen = told
        troubles = list(_troubles(cluster, plan))
        if any(is_final for is_final, _ in troubles):
            break
        if time.monotonic() - start > MADE_WITHIN_S and (refused := list(_refused(cluster, plan, lacking))):
            break
        unplaced = any(" cannot be placed" in text and CLAIMS not in text for _, text in troubles)
        unplaced_since = (unplaced_since or time.monotonic()) if unplaced else None
        if unplaced_since is not None and time.monotonic() - unplaced_since > UNPLACED_TIMEOUT_S:
            break
    if refused:
        raise EnvironmentBroken(f"the cluster does not let in pods of {'; '.join(refused)}", hint=admission.HINT)
    raise EnvironmentBroken(f"does not run: {_reasons(cluster, plan, lacking)}", hint=_hint(cluster, plan))


def await_dns(cluster: Cluster, plan: Plan, progress: Progress) -> None:
    """Returns when the DNS of a cluster of ours is up: it starts beside the services. Whoever owns another cluster
    looks after its own. Raises EnvironmentBroken with what its pods and their last events say.
    """
    if cluster.api is not None:
        return
    late: list[str] = []
    for _ in ticks(DNS_TIMEOUT_S, names.POLL_S):
        late = [text for row in _of_dns(cluster, plan, "deployments") for text in _unready(row)]
        if not late:
            progress("the DNS is up")
            return
    troubles = [text for pod in _of_dns(cluster, plan, "pods") for _, text in _of_pod(pod)]
    events = _latest(_asked(cluster, plan, "events", "--field-selector", "type=Warning"))
    told = "; ".join([*late, *(troubles or events)])
    raise EnvironmentBroken(f"the DNS is not up within {DNS_TIMEOUT_S:g} s: {told}")


def _of_dns(cluster: Cluster, plan: Plan, kind: str) -> list[Mapping[str, Any]]:
    """Of the cluster's DNS, whichever program it is: kubeadm's label for it is everybody's."""
    return _asked(cluster, plan, kind, "-l", "k8s-app=kube-dns")


def _asked(cluster: Cluster, plan: Plan, *words: str) -> list[Mapping[str, Any]]:
    argv = (*names.client(plan), "--namespace", SYSTEM, "get", *words, "-o", "json")
    told = must(names.manager(cluster, plan), argv, timeout_s=LOOK_TIMEOUT_S)
    rows: list[Mapping[str, Any]] = json.loads(told)["items"]
    return rows


def _unready(row: Mapping[str, Any]) -> Iterator[str]:
    wanted, ready = row["spec"].get("replicas", 1), row.get("status", {}).get("readyReplicas", 0)
    if ready < wanted:
        yield f"{row['metadata']['name']} has {ready} of {wanted} pods"


def _lacking(cluster: Cluster, plan: Plan) -> dict[str, int]:
    """Services of which not as many containers run as the plan says, with how many do."""
    running = Counter(container.service for container in looking.containers(cluster, plan))
    return {t.service: running[t.service] for t in plan.targets if running[t.service] != t.containers}


def _troubles(cluster: Cluster, plan: Plan) -> Iterator[tuple[bool, str]]:
    """(whether waiting is in vain, words) of every pod and claim that says something."""
    yield from ((True, text) for text in classes.lacking(cluster, plan))
    for pod in looking.pods_of(cluster, plan):
        yield from _of_pod(pod)
        yield from _of_networks(plan, pod)


def _refused(cluster: Cluster, plan: Plan, lacking: Iterable[str]) -> Iterator[str]:
    """Services whose pods are not let in, with the cluster's words. A Deployment tells it, events do of the rest;
    those of controllers that have gone are left out.
    """
    made = Counter(pod["metadata"]["labels"].get(names.SERVICE_LABEL) for pod in looking.pods_of(cluster, plan))
    if all(made[name] >= plan.target(name).containers for name in lacking):
        return
    makers = _rows(cluster, plan, MAKERS, "-l", f"{LABEL}={plan.run},{names.SERVICE_LABEL}")
    called = {row["metadata"]["uid"]: row["metadata"]["name"] for row in makers}
    told = [
        (row["metadata"]["uid"], condition.get("message", ""))
        for row in makers
        for condition in row.get("status", {}).get("conditions", ())
        if (condition["type"], condition["status"]) == ("ReplicaFailure", "True")
    ]
    warnings = _rows(cluster, plan, "events", "--field-selector", "type=Warning")
    told += [(row["involvedObject"].get("uid"), row["message"]) for row in warnings]
    words = {called[uid]: text for uid, text in told if uid in called and admission.is_refused(text)}
    yield from (f"{name}: {text}" for name, text in words.items())


def _rows(cluster: Cluster, plan: Plan, *words: str) -> list[Mapping[str, Any]]:
    argv = names.everywhere(plan, "get", *words, "-o", "json")
    told = must(names.manager(cluster, plan), argv, timeout_s=LOOK_TIMEOUT_S)
    rows: list[Mapping[str, Any]] = json.loads(told)["items"]
    return rows


def _of_networks(plan: Plan, pod: Mapping[str, Any]) -> Iterator[tuple[bool, str]]:
    """A pod runs with all its networks or not at all: one that runs without was made by somebody else's plugin."""
    service = pod["metadata"]["labels"].get(names.SERVICE_LABEL, "")
    if pod["status"].get("phase") != "Running" or service not in plan.topology.services:
        return
    for network in looking.unattached(plan, plan.target(service), pod):
        name, wanted = pod["metadata"]["name"], names.NETWORKS_ANNOTATION
        yield False, f"{name} runs, and nothing tells its address on {network}: does the CNI read {wanted}?"


def _of_pod(pod: Mapping[str, Any]) -> Iterator[tuple[bool, str]]:
    name, status = pod["metadata"]["name"], pod["status"]
    for condition in status.get("conditions", ()):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            yield False, f"{name} cannot be placed: {condition.get('message', '')}"
    for container in status.get("containerStatuses", ()):
        waiting = container.get("state", {}).get("waiting", {})
        ended = container.get("state", {}).get("terminated") or container.get("lastState", {}).get("terminated")
        if waiting.get("reason") in HOPELESS:
            yield True, f"{name}: {waiting['reason']}: {waiting.get('message', '')}"
        elif ended:
            is_final = status["phase"] in ("Failed", "Succeeded") or container["restartCount"] >= MAX_RESTARTS
            words = f"{ended.get('reason', '')} {ended.get('message', '')}".strip()
            yield is_final, f"{name} ended with {ended['exitCode']}: {words}"


def _reasons(cluster: Cluster, plan: Plan, lacking: Mapping[str, int]) -> str:
    troubles = [text for _, text in _troubles(cluster, plan)]
    counts = [f"{name} {count} of {plan.target(name).containers}" for name, count in lacking.items()]
    return "; ".join([*counts, *(troubles or _last_events(cluster, plan))])


def _last_events(cluster: Cluster, plan: Plan) -> list[str]:
    """The latest warning of each object of the namespace."""
    rows = _rows(cluster, plan, "events", "--field-selector", "type=Warning")
    return _latest([row for row in rows if names.is_ours(plan, row)])


def _latest(events: list[Mapping[str, Any]]) -> list[str]:
    latest = {
        row["involvedObject"]["name"]: f"{row['reason']}: {row['message']}"
        for row in sorted(events, key=last_seen)
    }
    return [f"{name}: {words}" for name, words in latest.items()]


def _hint(cluster: Cluster, plan: Plan) -> str | None:
    told = [text for _, text in _troubles(cluster, plan)]
    if any(admission.is_refused(text) for text in told):
        return admission.HINT
    if any("Image" in text for text in told):
        if cluster.api is not None:
            return names.IMAGE_HINT
        return "every node needs the image; `ctr -n k8s.io images ls` on a node lists what is there"
    return None


def complaints(cluster: Cluster, plan: Plan, running: Mapping[str, int] | None = None) -> list[str]:
    """What is not Ready: nodes, and controllers whose count does not fit. Nodes of others may not be asked for.

    The API hears of a node that restarts after many seconds only: with `running`, what was seen to run of each
    service counts as well.
    """
    makers = (MAKERS, "-l", f"{LABEL}={plan.run},{names.SERVICE_LABEL}")
    rows = _rows(cluster, plan, *(makers if cluster.api is not None else (f"nodes,{MAKERS}",)))
    return [text for row in rows if names.is_ours(plan, row) for text in _complaint(plan, row, running)]


def _complaint(plan: Plan, row: Mapping[str, Any], seen: Mapping[str, int] | None) -> Iterator[str]:
    name, status = row["metadata"]["name"], row.get("status", {})
    if row["kind"] == "Node":
        if name in {node.name for node in plan.nodes} and not is_ready(row):
            yield f"node {name} is not Ready"
        return
    if row["kind"] == "DaemonSet":
        wanted, running = plan.target(name).containers, status.get("numberReady", 0)
    else:
        wanted, running = row["spec"]["replicas"], status.get("readyReplicas", 0)
    running = min(running, seen.get(name, 0)) if seen is not None else running
    if running != wanted:
        yield f"service {name} has {running} of {wanted} containers"


def is_ready(node: Mapping[str, Any]) -> bool:
    conditions = node.get("status", {}).get("conditions", ())
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
