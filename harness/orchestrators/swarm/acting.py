"""Changes to a swarm that runs: each returns when it is so."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from harness.model.errors import DeadlineExceeded, UsageError
from harness.model.plan import Plan
from harness.orchestrators.hosts import failure, must, ticks
from harness.orchestrators.swarm import looking, names, steps, waiting
from harness.ports import Act, Cluster, Container

#: What stands between a stop and SIGKILL.
STOP_GRACE_S = 2
#: Of one command about a service, which does not wait for its containers.
CALL_TIMEOUT_S = 60.0
#: How long Swarm watches a new task before it goes on with the next one; its default is 5 s.
UPDATE_MONITOR = "200ms"
_UPDATE = ("docker", "service", "update", "--detach", "--force", "--update-delay", "0s")
_STATE = ("docker", "service", "inspect", "--format", "{{if .UpdateStatus}}{{.UpdateStatus.State}}{{end}}")
_STOPPED = ("paused", "rollback_paused", "rollback_completed")


def perform(cluster: Cluster, plan: Plan, act: Act, container: Container | None, *, timeout_s: float) -> None:
    """See `ports.Orchestrator.perform`."""
    if act.kind in _SERVICES:
        _SERVICES[act.kind](cluster, plan, act, timeout_s * cluster.slowness)
    elif container is None:
        raise UsageError(f"{act}: there is no such container")
    else:
        _CONTAINERS[act.kind](cluster, plan, act, container, timeout_s)


def _scale(cluster: Cluster, plan: Plan, act: Act, timeout_s: float) -> None:
    target = plan.target(act.service)
    if target.kind != "replicated":
        raise UsageError(f"{act.service} is {target.kind}: only a replicated service can be scaled")
    manager = cluster.hosts[plan.managers[0]]
    wanted = f"{names.service(plan, act.service)}={act.replicas}"
    must(manager, ("docker", "service", "scale", "--detach", wanted), timeout_s=CALL_TIMEOUT_S)
    for _ in ticks(timeout_s):
        if waiting.look(manager, plan).missing({act.service: act.replicas}):
            continue  # Swarm's count comes last, and asking it costs one host
        if len(looking.containers(cluster, plan, act.service)) == act.replicas:
            return
    running = len(looking.containers(cluster, plan, act.service))
    raise DeadlineExceeded(f"{act.service}: {running} instead of {act.replicas} containers after {timeout_s:g} s")


def _update(cluster: Cluster, plan: Plan, act: Act, timeout_s: float) -> None:
    """Ends when no container from before is left, and Swarm says that it has not stopped in the middle."""
    target = plan.target(act.service)
    if target.kind == "plain":
        raise UsageError(f"{act.service} is a plain container: only a scheduled service can be updated")
    before = {container.id for container in looking.containers(cluster, plan, act.service)}
    manager, service = cluster.hosts[plan.managers[0]], names.service(plan, act.service)
    must(manager, (*_UPDATE, *_how(act), service), timeout_s=CALL_TIMEOUT_S)
    state = ""
    for _ in ticks(timeout_s):
        state = must(manager, (*_STATE, service), timeout_s=CALL_TIMEOUT_S).strip()
        running = [container.id for container in looking.containers(cluster, plan, act.service)]
        is_new = len(running) == len(before) and not before.intersection(running)
        if state in _STOPPED or (state == "completed" and is_new):
            break
    if state != "completed":
        raise DeadlineExceeded(f"{act}: Swarm says {state or 'nothing'} after {timeout_s:g} s at most")


def _how(act: Act) -> tuple[str, ...]:
    pace = ("--update-parallelism", str(act.parallelism), "--update-monitor", UPDATE_MONITOR)
    return (*pace, "--update-order", act.order)


def _stop(cluster: Cluster, _plan: Plan, _act: Act, container: Container, timeout_s: float) -> None:
    host = cluster.hosts[container.node]
    must(host, ("docker", "stop", "-t", str(STOP_GRACE_S), container.id), timeout_s=timeout_s)


def _start(cluster: Cluster, _plan: Plan, _act: Act, container: Container, timeout_s: float) -> None:
    """Again only where the container could not start for want of its network."""
    host = cluster.hosts[container.node]
    argv = ("docker", "start", container.id)
    for _ in ticks(timeout_s):
        result = host.run(argv, timeout_s=timeout_s)
        if not steps.is_attach_race(result):
            break
    if not result.ok:
        raise failure(host, argv, result)


def _rename(cluster: Cluster, plan: Plan, act: Act, container: Container, timeout_s: float) -> None:
    """Its label keeps saying whose it is, so it is found under any name."""
    host = cluster.hosts[container.node]
    name = act.name or names.plain(plan, act.service)
    must(host, ("docker", "rename", container.id, name), timeout_s=timeout_s)


_SERVICES: Mapping[str, Callable[[Cluster, Plan, Act, float], None]] = {"scale": _scale, "update": _update}
_CONTAINERS: Mapping[str, Callable[[Cluster, Plan, Act, Container, float], None]] = {
    "stop": _stop,
    "start": _start,
    "rename": _rename,
}
