"""The Orchestrator seam, for Swarm."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor

from harness.model.errors import HarnessError, UsageError
from harness.model.plan import Demand, Plan
from harness.model.topology import Topology
from harness.orchestrators import phases
from harness.orchestrators.swarm import acting, joining, looking, names, pinning, rules, steps, waiting
from harness.ports import Act, Cluster, Container, Progress, Sight, State


class Swarm:
    """Docker Swarm by the CLI on its nodes. Keeps no state: what it knows stands in labels and in the plan."""

    name = "swarm"

    def demands(self, topology: Topology) -> list[Demand]:
        return rules.demands(topology)

    def join(self, cluster: Cluster, plan: Plan, progress: Progress) -> None:
        joining.join(cluster, plan, progress)

    def apply(self, cluster: Cluster, plan: Plan, progress: Progress) -> None:
        _refuse_wire_subnets(cluster, plan)
        phases.execute(cluster, pinning.pinned(cluster, plan), plan.steps, steps.make, progress)
        waiting.await_running(cluster, plan, progress)

    def containers(self, cluster: Cluster, plan: Plan, service: str | None = None) -> list[Container]:
        return looking.containers(cluster, plan, service)

    def look(self, cluster: Cluster, plan: Plan) -> Sight:
        return looking.sight(cluster, plan)

    def perform(
        self, cluster: Cluster, plan: Plan, act: Act, container: Container | None, *, timeout_s: float
    ) -> None:
        acting.perform(cluster, plan, act, container, timeout_s=timeout_s)

    def state(self, cluster: Cluster, plan: Plan) -> State:
        with ThreadPoolExecutor(max_workers=1) as pool:
            told = pool.submit(waiting.look, cluster.hosts[plan.managers[0]], plan, nodes=True)
            running = Counter(container.service for container in looking.containers(cluster, plan))
        complaints = _complaints(plan, told, running)
        absent = [t.service for t in plan.targets if t.kind == "plain" and not running[t.service]]
        return State((*complaints, *(f"container {name} does not run" for name in absent)), running)

    def delete(self, cluster: Cluster, plan: Plan) -> None:
        """All undo steps are tried; then the first error is raised."""
        errors: list[HarnessError] = []
        phases.execute(cluster, plan, plan.undo, steps.unmake(errors), lambda _line: None)
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


def _complaints(plan: Plan, told: Future[waiting.Look], seen: Mapping[str, int]) -> list[str]:
    """Scaling changes what is wanted: Swarm's own count is the measure. It still has tasks as running that ended
    when their node lost its power, for a moment after that is Ready again: what engines run counts as well.
    """
    try:
        look = told.result()
    except HarnessError as error:
        return [f"the manager does not answer: {error.message}"]
    found = [*look.unready]
    for target in names.scheduled(plan):
        running, wanted = look.replicas.get(target.service, (0, target.containers))
        there = min(running, seen.get(target.service, 0))
        if there != wanted:
            found.append(f"service {target.service} has {there} of {wanted} containers")
    return found
