"""The Orchestrator seam, for Swarm."""

from __future__ import annotations

import ipaddress
from concurrent.futures import ThreadPoolExecutor

from harness.model.errors import DeadlineExceeded, HarnessError, UsageError
from harness.model.plan import Demand, Plan
from harness.model.topology import Topology
from harness.orchestrators.swarm import joining, looking, names, pinning, rules, steps, waiting
from harness.orchestrators.swarm.hosts import failure, must, ticks
from harness.ports import Cluster, Container, Progress, PublishedAddress

#: What stands between a stop and SIGKILL.
STOP_GRACE_S = 2


class Swarm:
    """Docker Swarm by the CLI on its nodes. Keeps no state: what it knows stands in labels and in the plan."""

    name = "swarm"

    def demands(self, topology: Topology) -> list[Demand]:
        return rules.demands(topology)

    def join(self, cluster: Cluster, plan: Plan, progress: Progress) -> None:
        joining.join(cluster, plan, progress)

    def apply(self, cluster: Cluster, plan: Plan, progress: Progress) -> None:
        _refuse_wire_subnets(cluster, plan)
        steps.execute(cluster, pinning.pinned(cluster, plan), plan.steps, steps.make, progress)
        waiting.await_running(cluster, plan, progress)

    def containers(self, cluster: Cluster, plan: Plan, service: str | None = None) -> list[Container]:
        return looking.containers(cluster, plan, service)

    def endpoints(self, cluster: Cluster, plan: Plan, service: str) -> list[PublishedAddress]:
        return looking.endpoints(cluster, plan, service)

    def scale(self, cluster: Cluster, plan: Plan, service: str, replicas: int, *, timeout_s: float) -> None:
        """Raises UsageError for a service that has no replicas, DeadlineExceeded."""
        if plan.target(service).kind != "replicated":
            raise UsageError(f"{service} is {plan.target(service).kind}: only a replicated service can be scaled")
        manager = cluster.hosts[plan.managers[0]]
        wanted = f"{names.service(plan, service)}={replicas}"
        must(manager, ("docker", "service", "scale", "--detach", wanted), timeout_s=timeout_s)
        running = -1
        for _ in ticks(timeout_s):
            running = len(looking.containers(cluster, plan, service))
            if running == replicas == waiting.look(manager, plan).replicas.get(service, (0, 0))[0]:
                return
        raise DeadlineExceeded(f"{service}: {running} instead of {replicas} containers after {timeout_s:g} s")

    def stop(self, cluster: Cluster, container: Container, *, timeout_s: float) -> None:
        host = cluster.hosts[container.node]
        must(host, ("docker", "stop", "-t", str(STOP_GRACE_S), container.id), timeout_s=timeout_s)

    def start(self, cluster: Cluster, container: Container, *, timeout_s: float) -> None:
        """Again only where the container could not start for want of its network. Raises CommandFailed."""
        host = cluster.hosts[container.node]
        argv = ("docker", "start", container.id)
        for _ in ticks(timeout_s):
            result = host.run(argv, timeout_s=timeout_s)
            if not steps.is_attach_race(result):
                break
        if not result.ok:
            raise failure(host, argv, result)

    def healthy(self, cluster: Cluster, plan: Plan) -> list[str]:
        manager = cluster.hosts[plan.managers[0]]
        with ThreadPoolExecutor(max_workers=2) as pool:
            listed = pool.submit(joining.nodes, manager)
            missing = pool.submit(_missing, cluster, plan)
            try:
                state = waiting.look(manager, plan)
                rows = listed.result()
            except HarnessError as error:
                return [f"the manager does not answer: {error.message}"]
        unready = [
            f"node {row['Hostname']} is {row['Status']}" for row in rows.values() if row["Status"] != "Ready"
        ]
        return [*unready, *_unfinished(plan, state), *missing.result()]

    def delete(self, cluster: Cluster, plan: Plan) -> None:
        """All undo steps are tried; then the first error is raised."""
        errors: list[HarnessError] = []
        steps.execute(cluster, plan, plan.undo, steps.unmake(errors), lambda _line: None)
        if errors:
            raise errors[0]
        steps.await_gone(cluster, plan)


def _refuse_wire_subnets(cluster: Cluster, plan: Plan) -> None:
    """The engine would make such a network, and its containers could not reach the node. Raises UsageError."""
    for network in plan.networks:
        for text in network.subnets:
            inside = [h for h in cluster.hosts.values() if h.address and _holds(text, h.address)]
            if inside:
                raise UsageError(
                    f"network {network.name}: {text} holds {inside[0].address}, the address of {inside[0].name}",
                    hint="choose another subnet: the nodes use this one between themselves",
                )


def _holds(subnet: str, address: str) -> bool:
    return ipaddress.ip_address(address) in ipaddress.ip_network(subnet)


def _unfinished(plan: Plan, state: waiting.Look) -> list[str]:
    """Scaling changes what is wanted: Swarm's own count is the measure."""
    found = []
    for target in names.scheduled(plan):
        running, wanted = state.replicas.get(target.service, (0, target.containers))
        if running != wanted:
            found.append(f"service {target.service} has {running} of {wanted} containers")
    return found


def _missing(cluster: Cluster, plan: Plan) -> list[str]:
    return [f"container {name} does not run" for name in waiting.absent(cluster, plan)]
