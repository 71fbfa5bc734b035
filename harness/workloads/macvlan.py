"""macvlan: whose MACs the wire sees, and who reaches whom: other nodes, the own node, the own node by a shim."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network

from pydantic import Field

from harness.model.errors import UsageError
from harness.model.plan import NetworkPlan, Plan
from harness.model.subnets import node_slices
from harness.model.topology import Check
from harness.ports import Command, Commands, Container, Load, Look, Scene
from harness.workloads._experiment import Experiment, Params, Stages
from harness.workloads._names import lookup_load
from harness.workloads._places import Item, key, listen, members, node_peer, node_place, on_hosts, place
from harness.workloads._probes import Prober

COMMAND_TIMEOUT_S = 10.0
#: The node's own end on the link of its containers. The name says whose it is.
SHIM = "harness-shim"
_GIVE_ADDRESS = 'ip address add "$1" dev "$2"'
_TAKE_ADDRESS = 'ip address del "$1" dev "$2" 2>/dev/null; ! ip -o address show dev "$2" | grep -qwF "$1"'
_MAKE_SHIM = (
    'set -e; shim=$1 parent=$2 address=$3; shift 3; ip link add "$shim" link "$parent" type macvlan mode bridge; '
    'ip address add "$address/32" dev "$shim"; ip link set "$shim" up; '
    'for to; do ip route add "$to/32" dev "$shim" src "$address"; done'
)
_REMOVE_SHIM = 'ip link del "$1" 2>/dev/null; ! ip link show dev "$1" >/dev/null 2>&1'


class MacvlanParams(Params):
    network: str | None = Field(None, description="The network to check; default: the only one with this driver")
    timeout_s: float = Field(0.5, ge=0.05, le=60, description="How long a probe waits for its answer")


@dataclass(frozen=True)
class _Link:
    """The network under test, its parent on each node, and addresses that no engine hands out."""

    plan: NetworkPlan
    parent: str
    prefix: int
    spare: IPv4Network

    def visitor(self, number: int) -> str:
        """An address for the parent itself of the node with this number."""
        return str(self.spare[1 + 2 * number])

    def shim(self, number: int) -> str:
        return str(self.spare[2 + 2 * number])


def run(params: MacvlanParams, check: Check, plan: Plan, rng: random.Random) -> Stages:  # noqa: ARG001
    link = _link(params, check, plan)
    scene = yield Look("start")
    yield listen(scene, plan)
    prober = Prober(scene, plan, ("icmp", "tcp"), params.timeout_s)
    pairs = [item for item in prober.open_pairs() if item[1]["key"].split("|")[1] == link.plan.name]
    yield prober.load([*pairs, *_between_nodes(scene, params.timeout_s)])
    names = list(_names(scene, link, params.timeout_s))
    if names:
        yield lookup_load(names, params.timeout_s)
    yield Commands(tuple(_macs(scene, link)))
    yield Commands(tuple(_visitors(scene, link)))
    yield _pings(scene, link, "visitor", params.timeout_s, own_only=False)
    yield Commands(tuple(_shims(scene, link)))
    yield _pings(scene, link, "shim", params.timeout_s, own_only=True)


def _link(params: MacvlanParams, check: Check, plan: Plan) -> _Link:
    """Raises UsageError where there is no such network, more than one, or no room for addresses of our own."""
    fitting = [n for n in plan.networks if n.driver == "macvlan" and params.network in (None, n.name)]
    if len(fitting) != 1:
        named = ", ".join(network.name for network in fitting) or "none"
        raise UsageError(f"check {check.id}: it takes one macvlan network; there is {named}")
    network = plan.topology.networks[fitting[0].name]
    spare = node_slices(network, len(plan.nodes))[-1]
    if spare.num_addresses < 2 * len(plan.nodes) + 2:
        raise UsageError(f"check {check.id}: {spare} leaves no addresses to reach the containers from")
    subnet = IPv4Network(network.subnets_of(4)[0].subnet or "")
    return _Link(fitting[0], network.parent, subnet.prefixlen, spare)


def _between_nodes(scene: Scene, timeout_s: float) -> Iterator[Item]:
    """Each node says something itself: a wire that has not heard of a node lately cannot tell where it is."""
    nodes = list(scene.nodes)
    for node, other in zip(nodes, [*nodes[1:], *nodes[:1]], strict=True):
        if node != other:
            peer = node_peer(node_place(node), scene, other)
            asked = {"key": peer.key, "protocol": "icmp", "address": peer.address, "timeout_s": timeout_s}
            yield node, {**peer.source.fields, **asked, "attempts": 3}


def _macs(scene: Scene, link: _Link) -> Iterator[Command]:
    """Each parent's own MAC, and where the wire's bridge has seen which MAC."""
    for node in scene.nodes:
        argv = ("cat", f"/sys/class/net/{link.parent}/address")
        yield Command(node, link.plan.name, argv, COMMAND_TIMEOUT_S, at=node, f="parent")
    yield Command("", "wire", ("bridge", "-statistics", "-json", "fdb", "show"), COMMAND_TIMEOUT_S, f="fdb")


def _visitors(scene: Scene, link: _Link) -> Iterator[Command]:
    """An address on the link for each node itself: it would reach any other station there by it."""
    for number, node in enumerate(scene.nodes):
        address = f"{link.visitor(number)}/{link.prefix}"
        give = ("sh", "-c", _GIVE_ADDRESS, "sh", address, link.parent)
        take = ("sh", "-c", _TAKE_ADDRESS, "sh", address, link.parent)
        yield Command(node, f"address of {node}", give, COMMAND_TIMEOUT_S, undo=take, at=node)


def _shims(scene: Scene, link: _Link) -> Iterator[Command]:
    for number, node in enumerate(scene.nodes):
        own = [container.networks[link.plan.name].ip for container in _on(scene, link, node)]
        make = ("sh", "-c", _MAKE_SHIM, "sh", SHIM, link.parent, link.shim(number), *own)
        remove = ("sh", "-c", _REMOVE_SHIM, "sh", SHIM)
        if own:
            yield Command(node, f"shim of {node}", make, COMMAND_TIMEOUT_S, undo=remove, at=node)


def _on(scene: Scene, link: _Link, node: str) -> list[Container]:
    return [container for container in members(scene, link.plan.name) if container.node == node]


def _pings(scene: Scene, link: _Link, via: str, timeout_s: float, *, own_only: bool) -> Load:
    """From each node itself to containers: to all of them, or to those on it."""
    items: list[Item] = []
    for node in scene.nodes:
        for target in members(scene, link.plan.name):
            if target.node == node or not own_only:
                address = target.networks[link.plan.name].ip
                probe = {"protocol": "icmp", "address": address, "timeout_s": timeout_s, "attempts": 2}
                dialled = key(via, link.plan.name, target.name, address)
                items.append((node, {**node_place(node).fields, "key": dialled, **probe}))
    return on_hosts("probe", "probes", items, timeout_s=30.0 + 2 * timeout_s * len(items), parallel=len(items))


def _names(scene: Scene, link: _Link, timeout_s: float) -> Iterator[Item]:
    """Each container's service name, asked for by one container of another node, and by a neighbour on its own."""
    present = members(scene, link.plan.name)
    for target in present:
        others = [container for container in present if container != target]
        far = [container for container in others if container.node != target.node]
        near = [container for container in others if container.node == target.node]
        for phase, askers in (("across", far), ("neighbour", near)):
            for asker in askers[:1]:
                dialled = f"{phase}|{link.plan.name}|{target.service}"
                asked = {"key": dialled, "name": target.service, "timeout_s": timeout_s}
                yield asker.node, {**place(asker).fields, **asked}


WORKLOAD = Experiment("macvlan", MacvlanParams, run, on_nodes=True)
