"""Changes to a cluster that runs: each returns when it is so."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping

import yaml

from harness.model.errors import DeadlineExceeded, UsageError
from harness.model.plan import LABEL, Plan, Target
from harness.orchestrators.hosts import must, ticks
from harness.orchestrators.kubernetes import enforcement, looking, names, waiting
from harness.ports import Act, Cluster, Container
from harness.transport.pods import await_gone

#: On a pod template: another value makes another rollout.
UPDATE_ANNOTATION = "harness.update"


def perform(cluster: Cluster, plan: Plan, act: Act, container: Container | None, *, timeout_s: float) -> None:
    """See `ports.Orchestrator.perform`. `stop` deletes a plain container's pod, `start` makes it anew."""
    del container  # a pod is known by its service's name
    _ACTS[act.kind](cluster, plan, act, timeout_s)
    enforcement.await_known(cluster, plan)


def _scale(cluster: Cluster, plan: Plan, act: Act, timeout_s: float) -> None:
    target = plan.target(act.service)
    if target.kind != "replicated":
        raise UsageError(f"{act.service} is {target.kind}: only a replicated service can be scaled")
    argv = names.kubectl(plan, "scale", names.resource(target), f"--replicas={act.replicas}", service=act.service)
    must(names.manager(cluster, plan), argv, timeout_s=timeout_s)
    _rolled_out(cluster, plan, target, timeout_s)
    running = 0
    for _ in ticks(timeout_s, names.POLL_S):
        running = len(looking.containers(cluster, plan, act.service))
        if running == act.replicas and not waiting.complaints(cluster, plan):
            return
    raise DeadlineExceeded(f"{act.service}: {running} instead of {act.replicas} containers after {timeout_s:g} s")


def _update(cluster: Cluster, plan: Plan, act: Act, timeout_s: float) -> None:
    """A StatefulSet replaces one pod at a time, or none: then all are told to go, and new ones come."""
    target = plan.target(act.service)
    before = {container.id for container in looking.containers(cluster, plan, act.service)}
    template = {"metadata": {"annotations": {UPDATE_ANNOTATION: str(time.time_ns())}}}
    patch = json.dumps({"spec": {**_pace(target, act), "template": template}})
    host = names.manager(cluster, plan)
    argv = names.kubectl(plan, "patch", names.resource(target), "-p", patch, service=act.service)
    must(host, argv, timeout_s=timeout_s)
    if target.stable and not act.parallelism:
        _replace_all(cluster, plan, act.service, timeout_s)
    else:
        _rolled_out(cluster, plan, target, timeout_s)
    for _ in ticks(timeout_s, names.POLL_S):
        running = {container.id for container in looking.containers(cluster, plan, act.service)}
        is_new = len(running) == len(before) and not before & running
        if is_new and not waiting.complaints(cluster, plan):
            return
    raise DeadlineExceeded(f"{act}: not all containers were replaced after {timeout_s:g} s")


def _rolled_out(cluster: Cluster, plan: Plan, target: Target, timeout_s: float) -> None:
    """Kubectl watches, which costs less than to ask. Pods that are on their way out may be left."""
    told = ("rollout", "status", names.resource(target), f"--timeout={timeout_s:g}s")
    argv = names.kubectl(plan, *told, service=target.service)
    must(names.manager(cluster, plan), argv, timeout_s=timeout_s)


def _pace(target: Target, act: Act) -> dict[str, object]:
    """Raises UsageError for what cannot be replaced so."""
    if target.kind == "plain":
        raise UsageError(f"{act.service} is a plain container: only a scheduled service can be updated")
    if target.stable:
        return {"updateStrategy": _one_by_one(act)}
    at_once: int | str = act.parallelism or "100%"
    if target.kind == "replicated":
        surge, unavailable = (at_once, 0) if act.order == "start-first" else (0, at_once)
        rolling: dict[str, int | str] = {"maxSurge": surge, "maxUnavailable": unavailable}
        return {"strategy": {"type": "RollingUpdate", "rollingUpdate": rolling}}
    if act.order == "start-first":
        raise UsageError(f"{act.service} is global: DaemonSets stop the old pod first (maxSurge came with 1.22)")
    return {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": at_once}}}


def _one_by_one(act: Act) -> dict[str, object]:
    if act.order == "start-first":
        raise UsageError(f"{act.service} has names that hold: the old pod goes before the new one comes")
    if act.parallelism > 1:
        raise UsageError(f"{act.service} has names that hold: its pods are replaced one by one, or all (0)")
    # the default's parameters go with it: the API takes none for OnDelete
    return {"type": "RollingUpdate"} if act.parallelism else {"type": "OnDelete", "rollingUpdate": None}


def _stop(cluster: Cluster, plan: Plan, act: Act, timeout_s: float) -> None:
    target = _plain(plan, act)
    _tell_to_go(cluster, plan, target.service, timeout_s)
    selected = ("--namespace", names.home(plan, target.service), "-l", _pods_of(plan, target.service))
    await_gone(names.manager(cluster, plan), names.client(plan), selected, timeout_s=timeout_s)


def _replace_all(cluster: Cluster, plan: Plan, service: str, timeout_s: float) -> None:
    """A name is free for the next pod only when the one before is gone."""
    selected = ("--namespace", names.home(plan, service), "-l", _pods_of(plan, service))
    rows = looking.pods_of(cluster, plan)
    old = {row["metadata"]["uid"] for row in rows if row["metadata"]["labels"].get(names.SERVICE_LABEL) == service}
    _tell_to_go(cluster, plan, service, timeout_s)
    await_gone(names.manager(cluster, plan), names.client(plan), selected, timeout_s=timeout_s, only=old)


def _tell_to_go(cluster: Cluster, plan: Plan, service: str, timeout_s: float) -> None:
    """All pods of a service."""
    words = ("delete", "pods", "-l", _pods_of(plan, service), "--ignore-not-found", "--wait=false")
    argv = names.kubectl(plan, *words, service=service)
    must(names.manager(cluster, plan), argv, timeout_s=timeout_s)


def _pods_of(plan: Plan, service: str) -> str:
    return f"{LABEL}={plan.run},{names.SERVICE_LABEL}={service}"


def _start(cluster: Cluster, plan: Plan, act: Act, timeout_s: float) -> None:
    target = _plain(plan, act)
    documents = yaml.safe_load_all(plan.document(names.OBJECTS_FILE).text)
    pod = next(d for d in documents if d["kind"] == "Pod" and d["metadata"]["name"] == target.service)
    host = names.manager(cluster, plan)
    document = names.away(cluster, json.dumps(pod)).encode()
    must(host, (*names.client(plan), "apply", "-f", "-"), timeout_s=timeout_s, stdin=document)
    for _ in ticks(timeout_s, names.POLL_S):
        if looking.containers(cluster, plan, target.service):
            return
    raise DeadlineExceeded(f"{act}: it does not run after {timeout_s:g} s")


def _rename(_cluster: Cluster, _plan: Plan, act: Act, _timeout_s: float) -> None:
    raise UsageError(f"{act}: Kubernetes renames nothing")


def _plain(plan: Plan, act: Act) -> Target:
    target = plan.target(act.container)
    if target.kind != "plain":
        raise UsageError(f"{act}: {act.container} is {target.kind}: only a plain container can be stopped")
    return target


_ACTS: Mapping[str, Callable[[Cluster, Plan, Act, float], None]] = {
    "scale": _scale,
    "update": _update,
    "stop": _stop,
    "start": _start,
    "rename": _rename,
}
