"""connectivity: who reaches whom, by every name and address that should work, and who must not."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Literal

from pydantic import Field

from harness.model.errors import UsageError
from harness.model.plan import Plan
from harness.model.topology import Check
from harness.ports import Look, Scene
from harness.workloads._experiment import FROM_AND_TO_NODES, Experiment, Params, Stages
from harness.workloads._places import listen
from harness.workloads._probes import Prober

Protocol = Literal["icmp", "tcp", "udp"]


class ConnectivityParams(Params):
    protocols: list[Protocol] = Field(["icmp", "tcp", "udp"], min_length=1, description="Protocols to probe with")
    timeout_s: float = Field(1.0, ge=0.05, le=60, description="How long a probe waits for its answer")
    attempts: int = Field(3, ge=1, le=20, description="How often a pair that should be open is tried")
    services: list[str] = Field(default_factory=list, description="Services to probe among; empty: all")


def run(params: ConnectivityParams, check: Check, plan: Plan, rng: random.Random) -> Stages:
    scene = only_services((yield Look("start")), plan, params.services, check.id)
    yield listen(scene, plan)
    prober = Prober(scene, plan, tuple(params.protocols), params.timeout_s, params.attempts)
    items = [*prober.open_pairs(), *prober.closed_pairs(), *prober.published_ports(), *prober.nodes()]
    rng.shuffle(items)
    yield prober.load(items)


def only_services(scene: Scene, plan: Plan, services: list[str], check: str) -> Scene:
    """The scene without the containers of other services. Raises UsageError for a service that is not there."""
    known = {target.service for target in plan.targets}
    unknown = sorted(set(services) - known)
    if unknown:
        raise UsageError(
            f"check {check}: no service is called {unknown[0]!r}; there are {', '.join(sorted(known))}"
        )
    wanted = set(services) or known
    return replace(
        scene,
        containers=tuple(container for container in scene.containers if container.service in wanted),
        published=tuple((service, address) for service, address in scene.published if service in wanted),
    )


WORKLOAD = Experiment("connectivity", ConnectivityParams, run, node_part=FROM_AND_TO_NODES, asks_services=True)
