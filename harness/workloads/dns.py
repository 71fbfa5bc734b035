"""dns: names follow the scaling of services, and the stop and start of plain containers."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from pydantic import Field

from harness.model.errors import UsageError
from harness.model.plan import Plan, Target
from harness.model.topology import Check
from harness.ports import Act, Acts, Look, Repeat, Scene
from harness.workloads._experiment import Experiment, Params, Stages
from harness.workloads._names import Names, lookup_load


class DnsParams(Params):
    service: str | None = Field(
        None, description="A replicated service to scale, or a plain container to stop and start; default: all"
    )
    scale_to: int | None = Field(
        None, ge=1, le=500, description="Replicas to scale to and back; default: two more than there are"
    )
    within_s: float = Field(20.0, ge=0.5, le=600, description="How soon after a change every name must be right")
    timeout_s: float = Field(2.0, ge=0.1, le=60, description="How long one lookup may take")


def run(params: DnsParams, check: Check, plan: Plan, rng: random.Random) -> Stages:
    scaled, plain = _subjects(params, check, plan)
    services = frozenset(target.service for target in (*scaled, *plain))
    ask = _asker(params, plan, services, rng)
    yield from ask("start")
    scale = [Act("scale", t.service, replicas=params.scale_to or t.containers + 2) for t in scaled]
    stop = [Act("stop", target.service, container=target.service) for target in plain]
    yield Acts((*scale, *stop))
    yield from ask("changed")
    back = [Act("scale", target.service, replicas=target.containers) for target in scaled]
    start = [Act("start", target.service, container=target.service) for target in plain]
    yield Acts((*back, *start))
    yield from ask("restored")


def _asker(params: DnsParams, plan: Plan, services: frozenset[str], rng: random.Random) -> Callable[[str], Stages]:
    """Lookups of a phase: from one container on each node, again and again until they tell the truth."""

    def ask(phase: str) -> Stages:
        scene: Scene = yield Look(phase)
        names = Names(scene, plan, services)
        items = names.lookups(phase, params.timeout_s, rng)
        if items:
            yield Repeat(lookup_load(items, params.timeout_s), names.right, params.within_s)

    return ask


def _subjects(params: DnsParams, check: Check, plan: Plan) -> tuple[list[Target], list[Target]]:
    """Services to scale and plain containers to restart. Raises UsageError where there are none."""
    named = [
        target for target in plan.targets if params.service in (None, target.service) and _resolves(plan, target)
    ]
    scaled = [t for t in named if t.kind == "replicated" and (params.service or t.endpoint_mode == "dnsrr")]
    plain = _witnessed(plan, [t for t in named if t.kind == "plain"])
    if not scaled and not plain:
        what = f"{params.service!r} is no" if params.service else "there is no"
        raise UsageError(
            f"check {check.id}: {what} replicated service or plain container on a network that resolves names",
            hint="a container can be stopped only where another on its network is left to ask for it",
        )
    return scaled, plain


def _witnessed(plan: Plan, plain: Sequence[Target]) -> list[Target]:
    """Those that can be stopped together while somebody on their network is left to ask for them."""
    stopped: list[Target] = []
    for target in plain:
        left = [other for other in plan.targets if other != target and other not in stopped]
        if any(other.networks.keys() & target.networks.keys() for other in left):
            stopped.append(target)
    return stopped


def _resolves(plan: Plan, target: Target) -> bool:
    return any(plan.network(network).resolves_names for network in target.networks)


WORKLOAD = Experiment("dns", DnsParams, run)
