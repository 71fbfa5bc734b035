"""Who was where: containers, their addresses and their nodes, from the rows of one look (docs/history.md)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import permutations
from typing import NamedTuple

from harness.model.history import History, Op
from harness.model.plan import Plan, Target

#: The network of a node's own address in `endpoint` rows, and of the wire in probe keys.
NODE = "node"
WIRE = "-"


class ProbeKey(NamedTuple):
    """`via|network|family|to|address`."""

    via: str
    network: str
    family: int
    to: str
    address: str

    @classmethod
    def parse(cls, key: str) -> ProbeKey:
        """Raises ValueError for a key of another form."""
        via, network, family, to, address = key.split("|", 4)
        return cls(via, network, int(family), to, address)


@dataclass(frozen=True)
class Container:
    """`addresses` maps networks to IPv4 addresses, and `addresses6` to IPv6 addresses where it has one; `host`: it
    has its node's network.
    """

    name: str
    service: str
    node: str
    addresses: Mapping[str, str] = field(default_factory=dict)
    host: bool = False
    addresses6: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Scene:
    """The containers that ran at one look, and the nodes' own addresses."""

    containers: Mapping[str, Container]
    nodes: Mapping[str, str]

    def on(self, network: str) -> list[Container]:
        return [container for container in self.containers.values() if network in container.addresses]

    def of(self, service: str) -> list[Container]:
        return [container for container in self.containers.values() if container.service == service]

    def networked(self) -> list[Container]:
        return [c for c in self.containers.values() if c.addresses and not c.host]

    def closed_pairs(self, plan: Plan) -> Iterator[tuple[Container, Container]]:
        """Ordered pairs of containers that no network joins."""
        for source, target in permutations(self.networked(), 2):
            if not joining(plan, source, target):
                yield source, target

    def spread(self, network: str) -> list[str]:
        """The nodes that have containers on a network."""
        return sorted({container.node for container in self.on(network)})


def joining(plan: Plan, source: Container, target: Container) -> list[str]:
    """The networks through which they reach each other."""
    return plan.joining(source.node, source.addresses, target.node, target.addresses)


def families(plan: Plan, network: str, source: Container) -> tuple[int, ...]:
    """By which families `source` is to dial addresses of `network`: IPv6 only where both have it."""
    return (4, 6) if plan.network(network).ipv6 and source.addresses6 else (4,)


def means_there(plan: Plan, network: str, source: Container, target: Container) -> bool:
    """Whether an address of `target` on `network` means it where `source` is."""
    return source.node == target.node or plan.network(network).linked


def phases(history: History) -> list[str]:
    """The looks of a check, in the order in which they were taken."""
    looks = [row.key.partition("|")[0] for row in history.only(f=("endpoint", "task")).ops()]
    return list(dict.fromkeys(looks))


def scene_at(history: History, phase: str | None = None) -> Scene:
    """The scene of a phase; of the last one where none is given. Empty where nobody looked."""
    wanted = phase if phase is not None else next(reversed(phases(history)), "")
    rows = [row for row in history.only(f=("endpoint", "task")).ops() if _phase(row) == wanted]
    services = {row.at: row for row in rows if row.f == "task"}
    addresses = _addresses(rows)
    addresses6 = _addresses([row for row in history.only(f="endpoint6").ops() if _phase(row) == wanted])
    nodes = {at: nets[NODE] for at, nets in addresses.items() if at not in services and NODE in nets}
    containers = {
        at: _container(row, addresses.get(at, {}), addresses6.get(at, {})) for at, row in services.items()
    }
    return Scene(containers, nodes)


def _addresses(rows: list[Op]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for row in rows:
        if row.f in ("endpoint", "endpoint6"):
            found.setdefault(row.at, {})[row.key.partition("|")[2]] = str(row.value)
    return found


def _phase(row: Op) -> str:
    return row.key.partition("|")[0]


def _container(task: Op, addresses: Mapping[str, str], addresses6: Mapping[str, str]) -> Container:
    on_networks = {network: ip for network, ip in addresses.items() if network != NODE}
    return Container(task.at, task.process, task.host, on_networks, NODE in addresses, addresses6)


def carriers(plan: Plan, network: str, name: str) -> list[Target]:
    """The services that answer to `name` on `network`: by their name, an alias, or their tasks' name."""
    return [
        target
        for target in plan.targets
        if network in target.networks and (name in target.networks[network] or name == target.tasks)
    ]


def meant(scene: Scene, plan: Plan, key: ProbeKey) -> set[str]:
    """Whom a probe may be answered by. Empty where the key means nobody that ran."""
    if key.via in ("ip", "name"):
        return {key.to} & set(scene.containers)
    if key.via in ("service", "alias"):
        services = {target.service for target in carriers(plan, key.network, key.address)}
        return {container.name for container in scene.on(key.network) if container.service in services}
    if key.via == "host-port":
        at_home = [c for c in scene.of(key.to) if scene.nodes.get(c.node) == key.address]
        return {container.name for container in at_home}
    if key.via == "ingress":  # the mesh leads to any of them, wherever it runs
        return {container.name for container in scene.of(key.to)}
    hosted = {c.name for c in scene.containers.values() if c.host and c.node == key.to}
    return hosted | ({key.to} & set(scene.nodes))
