"""services: virtual addresses, ports of every node and names, before and after containers are replaced."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import Field

from harness.model.errors import UsageError
from harness.model.history import History
from harness.model.plan import Plan, Target
from harness.model.topology import Check
from harness.ports import Act, Acts, Container, Look, Repeat, Scene
from harness.workloads._experiment import FROM_AND_TO_NODES, Experiment, Params, Stages
from harness.workloads._names import Names, lookup_load
from harness.workloads._places import Item, listen, members, one_per_node
from harness.workloads._probes import Prober

#: Connections to a virtual address for each container behind it: that one of them is never chosen by chance is
#: then about as likely as e^-16.
DIALS_PER_CONTAINER = 16
#: Containers that connect to one service, at most.
MAX_SOURCES = 8


class ServicesParams(Params):
    services: list[str] = Field(default_factory=list, description="Services to ask for; empty: all")
    restart: bool = Field(True, description="Replace the containers of all replicated services, and ask again")
    parallelism: int = Field(0, ge=0, le=100, description="How many are replaced at once; 0: all")
    within_s: float = Field(60.0, ge=1, le=600, description="How soon after a change all must be right")
    timeout_s: float = Field(1.0, ge=0.05, le=60, description="How long a connection or a lookup waits")


def run(params: ServicesParams, check: Check, plan: Plan, rng: random.Random) -> Stages:
    targets = _targets(params, check, plan)
    yield from _ask("start", params, plan, targets, rng)
    restarted = [target.service for target in targets if target.kind == "replicated"]
    if params.restart and restarted:
        yield Acts(tuple(Act("update", service, parallelism=params.parallelism) for service in restarted))
        yield from _ask("restarted", params, plan, targets, rng)


def _targets(params: ServicesParams, check: Check, plan: Plan) -> list[Target]:
    """Raises UsageError for a service that is not there, and where none has a name or a node port."""
    known = {target.service for target in plan.targets}
    if unknown := sorted(set(params.services) - known):
        there = ", ".join(sorted(known))
        raise UsageError(f"check {check.id}: no service is called {unknown[0]!r}; there are {there}")
    wanted = set(params.services) or known
    found = [target for target in plan.targets if target.service in wanted and not target.host and target.networks]
    if not found:
        raise UsageError(f"check {check.id}: none of the services has a network, and so a name")
    return found


def _ask(phase: str, params: ServicesParams, plan: Plan, targets: list[Target], rng: random.Random) -> Stages:
    scene = yield Look(phase)
    yield listen(scene, plan)
    names = Names(scene, plan, frozenset(target.service for target in targets))
    if lookups := names.lookups(phase, params.timeout_s, rng):
        yield Repeat(lookup_load(lookups, params.timeout_s), names.right, params.within_s)
    asked = Asked(scene, plan, targets, Prober(scene, plan, ("tcp", "udp"), params.timeout_s))
    items = list(asked.items(rng))
    rng.shuffle(items)
    if items:
        yield Repeat(asked.prober.load(items), all_answered, params.within_s)


def all_answered(rows: History) -> bool:
    return all(row.outcome == "ok" for row in rows.only(f=("tcp", "udp")).ops())


@dataclass(frozen=True)
class Asked:
    """Connections of one phase."""

    scene: Scene
    plan: Plan
    targets: list[Target]
    prober: Prober

    def items(self, rng: random.Random) -> Iterator[Item]:
        for target in self.targets:
            if target.endpoint_mode == "vip" and not self.plan.lacks(f"service {target.service}", "vip"):
                for network in target.networks:
                    for source in self._sources(target, network, rng):
                        times = DIALS_PER_CONTAINER * len(self.scene.of(target.service))
                        yield from self.prober.dials(source, network, target.service, times)
        services = {t.service for t in self.targets if not self.plan.lacks(f"service {t.service}", "ingress")}
        yield from (item for item in self.prober.node_ports() if item[1]["key"].split("|")[3] in services)

    def _sources(self, target: Target, network: str, rng: random.Random) -> list[Container]:
        """The service's own containers, which may be led to themselves, and one of others on each node."""
        present = members(self.scene, network)
        own = [container for container in present if container.service == target.service]
        others = one_per_node([container for container in present if container not in own], rng)
        return [*others, *own][:MAX_SOURCES]


WORKLOAD = Experiment("services", ServicesParams, run, node_part=FROM_AND_TO_NODES, asks_services=True)
