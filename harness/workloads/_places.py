"""Who talks to whom: endpoints of a scene, the pairs among them, and the listeners that answer."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from harness.model.plan import Plan, Target
from harness.ports import Assignment, Container, Load, Program, Scene

#: No network: the wire between nodes.
WIRE = "-"
LISTEN_TIMEOUT_S = 30.0


class Place(NamedTuple):
    """Where an operation is done: a container, or a node itself (pid 0)."""

    at: str
    node: str
    pid: int

    @property
    def fields(self) -> dict[str, Any]:
        return {"at": self.at, "pid": self.pid}


class Peer(NamedTuple):
    """One way from a place to another, as a probe's key and an address (docs/history.md)."""

    source: Place
    key: str
    address: str


#: An entry of a program's list, and the node whose agent does it.
Item = tuple[str, Mapping[str, Any]]


def place(container: Container) -> Place:
    return Place(container.name, container.node, container.pid)


def node_place(node: str) -> Place:
    return Place(node, node, 0)


def key(via: str, network: str, to: str, address: str, *, family: int = 4) -> str:
    """A probe's key: `via|network|family|to|address`."""
    return f"{via}|{network}|{family}|{to}|{address}"


def by_ip(source: Container, network: str, target: Container, family: int = 4) -> Peer:
    address = target.networks[network].of(family)
    return Peer(place(source), key("ip", network, target.name, address, family=family), address)


def has(container: Container, network: str, family: int) -> bool:
    """Whether a container has an address of this family there: of IPv6 only where it was given one."""
    return bool(container.networks[network].of(family))


def has_ipv6(container: Container) -> bool:
    return any(address.ip6 for address in container.networks.values())


def node_peer(source: Place, scene: Scene, node: str) -> Peer:
    address = scene.nodes[node]
    return Peer(source, key("node", WIRE, node, address), address)


def members(scene: Scene, network: str) -> list[Container]:
    return [container for container in scene.containers if network in container.networks]


def live_networks(scene: Scene, plan: Plan) -> list[str]:
    """The plan's networks that a container is on, in the plan's order."""
    return [network.name for network in plan.networks if members(scene, network.name)]


def one_per_node(containers: Iterable[Container], rng: random.Random) -> list[Container]:
    """One container of each node that has any, in the order of nodes' first containers."""
    groups: dict[str, list[Container]] = {}
    for container in containers:
        groups.setdefault(container.node, []).append(container)
    return [rng.choice(group) for group in groups.values()]


def ordered_pairs(count: int) -> Iterator[tuple[int, int]]:
    """All ordered pairs of `count` things; the ring first, so that a cut-off list still touches each of them."""
    for step in range(1, count):
        for i in range(count):
            yield i, (i + step) % count


def across_nodes(scene: Scene, network: str, rng: random.Random, limit: int, family: int = 4) -> list[Peer]:
    """One pair of containers per ordered pair of nodes on `network`; at most `limit`."""
    present = [container for container in members(scene, network) if has(container, network, family)]
    ends = one_per_node(present, rng)
    pairs = [by_ip(ends[i], network, ends[j], family) for i, j in ordered_pairs(len(ends))]
    return pairs[:limit]


def between_nodes(scene: Scene, limit: int) -> list[Peer]:
    """The baseline: nodes themselves, over the wire."""
    nodes = list(scene.nodes)
    pairs = [node_peer(node_place(nodes[i]), scene, nodes[j]) for i, j in ordered_pairs(len(nodes))]
    return pairs[:limit]


def own_name(container: Container, network: str, plan: Plan) -> str | None:
    """The name that means this container alone on `network`; None where nothing resolves it."""
    if not plan.network(network).resolves_names:
        return None
    target = plan.target(container.service)
    shared = {name for other in plan.targets for name in other.networks.get(network, ())}
    own = [name for name in container.aliases.get(network, ()) if name not in shared]
    plain = list(target.networks.get(network, ())) if target.kind == "plain" else []
    return next(iter(own + plain), None)


def carriers(plan: Plan, network: str) -> Iterator[tuple[Target, str]]:
    """Services and the names under which each answers on `network`, where names resolve at all."""
    if plan.network(network).resolves_names:
        for target in plan.targets:
            for name in target.networks.get(network, ()):
                yield target, name


def on_hosts(method: str, field: str, items: Iterable[Item], *, timeout_s: float, **params: Any) -> Load:
    """A load in which each node's agent is called once, with its own items under `field`."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for node, item in items:
        groups.setdefault(node, []).append(item)
    return Load(
        tuple(
            Assignment(node, Program(method, {field: group, **params}, timeout_s))
            for node, group in groups.items()
        )
    )


def until_stopped(load: Load, *, faults: bool, hold_s: float) -> Load:
    """The same load, with programs that go on until they are told to stop."""
    return Load(tuple(_endless(assignment) for assignment in load.assignments), faults, hold_s)


def _endless(assignment: Assignment) -> Assignment:
    program = assignment.program
    return Assignment(assignment.host, Program(program.method, program.params, program.timeout_s, True))


def host_by_host(load: Load) -> Iterator[Load]:
    """The same assignments one after another: measurements must not share the wire."""
    for assignment in load.assignments:
        yield Load((assignment,))


def listen(scene: Scene, plan: Plan) -> Load:
    """Listeners in every container, on the agents' port and on its service's target ports, and on every node.

    A container in its node's network has no ports of its own: the node's listener answers there.
    """
    endpoints: list[Item] = [
        (c.node, {**place(c).fields, "ports": _ports(plan, c.service, scene.port), "ipv6": has_ipv6(c)})
        for c in scene.containers
        if not c.host
    ]
    endpoints += [(node, {**node_place(node).fields, "ports": [scene.port]}) for node in scene.nodes]
    return on_hosts("listen", "endpoints", endpoints, timeout_s=LISTEN_TIMEOUT_S, token=scene.token)


def _ports(plan: Plan, service: str, own: int) -> list[int]:
    return [own, *sorted({int(port["target"]) for port in plan.target(service).ports} - {own})]
