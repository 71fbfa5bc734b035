"""ipvlan: whose MAC containers have, in which mode, and who reaches whom; in layer 3 also by nodes' routes."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import permutations

from pydantic import Field

from harness.model.errors import UsageError
from harness.model.plan import NetworkPlan, Plan
from harness.model.topology import Check
from harness.ports import Command, Commands, Container, Look, Scene
from harness.workloads._experiment import Experiment, Params, Stages
from harness.workloads._places import Item, listen, members
from harness.workloads._probes import Prober

COMMAND_TIMEOUT_S = 10.0
_SHOW = ("ip", "-details", "-json", "address", "show")
#: Of this container alone, by the node that has it: what the parent's node sends goes by the node's own routes.
_ADD_ROUTE = 'ip route replace "$1/32" via "$2" dev "$3"'
_DROP_ROUTE = 'ip route del "$1/32" via "$2" dev "$3" 2>/dev/null; ! ip route show "$1/32" | grep -q .'
#: A container, and the part of the network that it is on.
Member = tuple[Container, str]


class IpvlanParams(Params):
    network: str | None = Field(None, description="The network to check; default: the only one with this driver")
    timeout_s: float = Field(0.5, ge=0.05, le=60, description="How long a probe waits for its answer")
    attempts: int = Field(2, ge=1, le=20, description="How often a pair that must answer is tried")


def run(params: IpvlanParams, check: Check, plan: Plan, rng: random.Random) -> Stages:  # noqa: ARG001
    parts = parts_of(check, plan)
    parent = plan.topology.networks[parts[0].base].parent
    scene = yield Look("start")
    present = [(each, part.name) for part in parts for each in members(scene, part.name)]
    yield listen(scene, plan)
    prober = Prober(scene, plan, ("icmp", "tcp"), params.timeout_s, params.attempts)
    names = [part.name for part in parts]
    yield prober.load([item for item in prober.open_pairs() if item[1]["key"].split("|")[1] in names])
    yield Commands(tuple(_links(scene, present, parts[0].base, parent)))
    if not parts[0].linked:
        yield prober.load(list(_across(present, prober, "unrouted")))
        yield Commands(tuple(_routes(scene, present, parent)))
        yield prober.load(list(_across(present, prober, "routed")))


def parts_of(check: Check, plan: Plan) -> list[NetworkPlan]:
    """The one network, or, where it is not linked, each node's own. Raises UsageError where there is no such
    network, or more than one.
    """
    chosen = check.params.get("network")
    fitting = [n for n in plan.networks if n.driver == "ipvlan" and chosen in (None, n.base)]
    names = {network.base for network in fitting}
    if len(names) != 1:
        told = ", ".join(sorted(names)) or "none"
        raise UsageError(f"check {check.id}: it takes one ipvlan network; there is {told}")
    return fitting


def _links(scene: Scene, present: list[Member], network: str, parent: str) -> Iterator[Command]:
    """The interfaces of each container, and each node's parent, as the kernel has them."""
    for node in scene.nodes:
        yield Command(node, network, (*_SHOW, "dev", parent), COMMAND_TIMEOUT_S, at=node, f="parent")
    for container, _ in present:
        argv = ("nsenter", "--target", str(container.pid), "--net", "--", *_SHOW)
        yield Command(container.node, network, argv, COMMAND_TIMEOUT_S, at=container.name, f="link")


def _across(present: list[Member], prober: Prober, via: str) -> Iterator[Item]:
    """From each container to each of another node, by IPv4."""
    for (source, _), (target, network) in permutations(present, 2):
        if target.node == source.node:
            continue
        for node, item in prober.by_ip(source, network, target):
            by, _, rest = str(item["key"]).partition("|")
            if by == "ip" and rest.split("|")[1] == "4":
                yield node, {**item, "key": f"{via}|{rest}"}


def _routes(scene: Scene, present: list[Member], parent: str) -> Iterator[Command]:
    """Each node is told by which node it reaches the containers of the others."""
    for node in {container.node: None for container, _ in present}:
        for target, network in present:
            if target.node != node:
                yield _route(node, target, network, parent, scene.nodes[target.node])


def _route(node: str, target: Container, network: str, parent: str, by: str) -> Command:
    words = ("sh", target.networks[network].ip, by, parent)
    add, drop = ("sh", "-c", _ADD_ROUTE, *words), ("sh", "-c", _DROP_ROUTE, *words)
    return Command(node, f"route to {target.name} on {node}", add, COMMAND_TIMEOUT_S, undo=drop, at=node)


WORKLOAD = Experiment("ipvlan", IpvlanParams, run, on_nodes=True)
