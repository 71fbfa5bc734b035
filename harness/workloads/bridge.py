"""bridge: addresses that the engine gives, a published port and a second claim to it, and names that follow."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from pydantic import Field

from harness.model.errors import UsageError
from harness.model.plan import LABEL, NetworkPlan, Plan
from harness.model.topology import Check
from harness.ports import Act, Acts, Command, Commands, Container, Look, PublishedAddress, Scene
from harness.workloads._experiment import Experiment, Params, Stages
from harness.workloads._names import lookup_load
from harness.workloads._places import Item, listen, members, place
from harness.workloads._probes import Prober

COMMAND_TIMEOUT_S = 30.0
OTHER_NAME = "renamed"
_CLAIM = (
    'docker run --detach --label "$1" --name "$2" --publish "$3" '
    '"$(docker inspect --format \'{{.Image}}\' "$4")" sleep 60'
)
_DROP = 'docker rm --force "$1" >/dev/null 2>&1; [ -z "$(docker ps -aq --filter "name=^$1$")" ]'


class BridgeParams(Params):
    network: str | None = Field(None, description="The bridge to check; default: all of them")
    timeout_s: float = Field(1.0, ge=0.05, le=60, description="How long a probe or a lookup may take")


def run(params: BridgeParams, check: Check, plan: Plan, rng: random.Random) -> Stages:  # noqa: ARG001
    scene = yield Look("start")
    bridges = _bridges(params, check, plan, scene)
    yield listen(scene, plan)
    prober = Prober(scene, plan, ("tcp",), params.timeout_s)
    ports = list(prober.published_ports())
    if ports:
        yield prober.load(ports)
    yield Commands((*_subnets(plan, bridges), *_claims(plan, scene)))
    yield lookup_load(list(_lookups(scene, plan, bridges, "start", params.timeout_s)), params.timeout_s)
    subjects = _subjects(scene, bridges)
    for phase, acts in _changes(subjects):
        yield Acts(acts)
        scene = yield Look(phase)
        asked = list(_lookups(scene, plan, bridges, phase, params.timeout_s))
        if asked:
            yield lookup_load(asked, params.timeout_s)


def _bridges(params: BridgeParams, check: Check, plan: Plan, scene: Scene) -> list[NetworkPlan]:
    """Bridges that have containers, a network a node. Raises UsageError where there are none."""
    of_driver = [n for n in plan.networks if n.driver == "bridge" and params.network in (None, n.base)]
    found = [network for network in of_driver if members(scene, network.name)]
    if not found:
        raise UsageError(f"check {check.id}: no container that runs is on a bridge network")
    return found


def _subnets(plan: Plan, bridges: Sequence[NetworkPlan]) -> Iterator[Command]:
    """What the engine chose, or was told."""
    for network in bridges:
        shown = "{{range .IPAM.Config}}{{.Subnet}} {{end}}"
        argv = ("docker", "network", "inspect", "--format", shown, plan.engine_name(network.base))
        node = network.name.partition("@")[2]
        yield Command(node, network.name, argv, COMMAND_TIMEOUT_S, at=node, f="subnet")


def _claims(plan: Plan, scene: Scene) -> Iterator[Command]:
    """A second container on the same node that wants a port which is published already."""
    for service, published in scene.published:
        holder = next((c for c in scene.of(service) if c.node == published.node), None)
        if holder is not None and published.mode == "host":
            yield _claim(plan, holder, published)


def _claim(plan: Plan, holder: Container, published: PublishedAddress) -> Command:
    name = plan.engine_name(f"claim-{published.port}-{published.protocol}")
    port = f"{published.port}:{published.target}/{published.protocol}"
    argv = ("sh", "-c", _CLAIM, "sh", f"{LABEL}={plan.run}", name, port, holder.id)
    undo = ("sh", "-c", _DROP, "sh", name)
    key = f"{holder.service}|{published.port}/{published.protocol}"
    return Command(holder.node, key, argv, COMMAND_TIMEOUT_S, undo, at=holder.name, f="claim")


def _subjects(scene: Scene, bridges: Sequence[NetworkPlan]) -> list[Container]:
    """One container of each bridge that has another to ask for it; none is changed twice."""
    groups = [members(scene, network.name) for network in bridges]
    chosen = {group[0].name: group[0] for group in groups if len(group) > 1}
    return list(chosen.values())


def _changes(subjects: Sequence[Container]) -> Iterator[tuple[str, tuple[Act, ...]]]:
    if not subjects:
        return
    services = [container.service for container in subjects]
    yield "stopped", tuple(Act("stop", name, container=name) for name in services)
    yield "started", tuple(Act("start", name, container=name) for name in services)
    renamed = [Act("rename", name, container=name, name=f"{OTHER_NAME}-{name}") for name in services]
    yield "renamed", tuple(renamed)


def _lookups(
    scene: Scene, plan: Plan, bridges: Sequence[NetworkPlan], phase: str, timeout_s: float
) -> Iterator[Item]:
    """On a bridge, each service by alias, by its container's name and by the name that it gets later, asked by
    another container there; on the engine's default bridge, each neighbour by the same.
    """
    for network in bridges:
        present = members(scene, network.name)
        for target in (t for t in plan.targets if network.name in t.networks):
            others = [container for container in present if container.service != target.service]
            for asker, names in _askers(plan, target.service, others):
                for name in names:
                    yield _lookup(asker, f"{phase}|{network.name}|{name}", name, timeout_s)
    for asker, other in _on_default_bridge(scene, plan):
        for name in _all_names(plan, other.service):
            yield _lookup(asker, f"{phase}|default|{name}", name, timeout_s)


def _askers(plan: Plan, service: str, others: Sequence[Container]) -> Iterator[tuple[Container, tuple[str, ...]]]:
    """Who asks for a service's names; it asks for its own too, so that silence about others says something."""
    for asker in others[:1]:
        yield asker, _all_names(plan, service)
        yield asker, (asker.service,)


def _all_names(plan: Plan, service: str) -> tuple[str, str, str]:
    return service, plan.engine_name(service), f"{OTHER_NAME}-{service}"


def _on_default_bridge(scene: Scene, plan: Plan) -> Iterator[tuple[Container, Container]]:
    """A container and a neighbour, on each node whose default bridge has two."""
    services = plan.topology.services
    for node in scene.nodes:
        plain = [c for c in scene.on(node) if services[c.service].network_mode == "bridge"]
        if len(plain) > 1:
            yield plain[0], plain[1]


def _lookup(asker: Container, key: str, name: str, timeout_s: float) -> Item:
    return asker.node, {**place(asker).fields, "key": key, "name": name, "timeout_s": timeout_s}


WORKLOAD = Experiment("bridge", BridgeParams, run, on_nodes=True, subject=("swarm", "Docker's bridge networks"))
