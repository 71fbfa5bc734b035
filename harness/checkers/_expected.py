"""The probes that a plan and a scene call for; one that nobody made leaves a verdict unknown."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import permutations, product
from typing import NamedTuple

from harness.checkers._scene import WIRE, Container, ProbeKey, Scene, families, means_there
from harness.model.history import Op
from harness.model.plan import Plan, Target


class Wanted(NamedTuple):
    """`at` empty: whoever asks. `to` is what the key names, or the name that is dialled for names."""

    f: str
    at: str
    via: str
    network: str
    to: str
    family: int = 4

    def __str__(self) -> str:
        how = f"{self.f}/ipv6" if self.family == 6 else self.f
        return f"{self.at or 'anybody'} -> {self.to} via {self.via} on {self.network} ({how})"


def asked(rows: Sequence[Op]) -> set[Wanted]:
    """What was probed, in the words of `Wanted`."""
    found = set()
    for row in rows:
        key = ProbeKey.parse(row.key)
        to = key.address if key.via in ("service", "alias", "name") else key.to
        found.add(Wanted(row.f, row.at, key.via, key.network, to, key.family))
        if key.via in ("host-port", "ingress"):
            found.add(Wanted(row.f, "", key.via, key.network, f"{key.to} at {key.address}"))
    return found


def open_probes(scene: Scene, plan: Plan, protocols: Sequence[str], rows: Sequence[Op]) -> Iterator[Wanted]:
    for network in plan.networks:
        present = scene.on(network.name)
        for source, target in permutations(present, 2):
            if network.joins(source.node, target.node):
                for family, protocol in product(families(plan, network.name, source), protocols):
                    yield Wanted(protocol, source.name, "ip", network.name, target.name, family)
        if network.resolves_names and network.same_node:
            yield from _names(network.name, present, plan, protocols)
    yield from _own_names(scene, protocols, rows)
    yield from _nodes(scene, protocols)
    yield from _published(scene, plan)


def closed_probes(scene: Scene, plan: Plan, protocols: Sequence[str]) -> Iterator[Wanted]:
    for source, target in scene.closed_pairs(plan):
        for network in target.addresses:
            if means_there(plan, network, source, target):
                for family, protocol in product(families(plan, network, source), protocols):
                    yield Wanted(protocol, source.name, "ip", network, target.name, family)


def _dialled(protocols: Sequence[str]) -> list[str]:
    return [protocol for protocol in protocols if protocol != "icmp"]


def _names(network: str, present: list[Container], plan: Plan, protocols: Sequence[str]) -> Iterator[Wanted]:
    """Each name of a service, from every container that is not alone in carrying it."""
    for target in plan.targets:
        if plan.lacks(f"service {target.service}", "vip"):
            continue  # skipped aloud: its names lead to a virtual IP that the hosts cannot serve
        for source in present:
            if any(other.service == target.service for other in present if other != source):
                names = target.networks.get(network, ())
                clear = [name for name in names if not plan.is_ambiguous(name, network, source.addresses)]
                for name, family, protocol in product(clear, _named(plan, network), _dialled(protocols)):
                    via = "service" if name == target.service else "alias"
                    yield Wanted(protocol, source.name, via, network, name, family)


def _named(plan: Plan, network: str) -> tuple[int, ...]:
    return (4, 6) if plan.network(network).resolves_ipv6 else (4,)


def _own_names(scene: Scene, protocols: Sequence[str], rows: Sequence[Op]) -> Iterator[Wanted]:
    """A container that anybody called by its own name must be called so by all that share the network."""
    keys = {ProbeKey.parse(row.key) for row in rows}
    for key in (key for key in keys if key.via == "name"):
        for source, protocol in product(scene.on(key.network), _dialled(protocols)):
            if source.name != key.to:
                yield Wanted(protocol, source.name, "name", key.network, key.address, key.family)


def _nodes(scene: Scene, protocols: Sequence[str]) -> Iterator[Wanted]:
    for source in (container for container in scene.containers.values() if container.host):
        for node, protocol in product(scene.nodes, protocols):
            yield Wanted(protocol, source.name, "node", WIRE, node)


def _published(scene: Scene, plan: Plan) -> Iterator[Wanted]:
    """A host-mode port answers on every node that runs the service; from elsewhere, so it takes two nodes."""
    for target in plan.targets:
        protocols = {str(port["protocol"]) for port in target.ports if port["mode"] == "host"}
        for node, protocol in product(sorted({c.node for c in scene.of(target.service)}), sorted(protocols)):
            if len(scene.nodes) > 1 and node in scene.nodes:
                to = f"{target.service} at {scene.nodes[node]}"
                yield Wanted(protocol, "", "host-port", WIRE, to)
        yield from _meshed(scene, plan, target)


def _meshed(scene: Scene, plan: Plan, target: Target) -> Iterator[Wanted]:
    """An ingress port answers on every node, whoever asks; it takes two nodes as well."""
    protocols = {str(port["protocol"]) for port in target.ports if port["mode"] == "ingress"}
    if len(scene.nodes) > 1 and not plan.lacks(f"service {target.service}", "ingress"):
        for address, protocol in product(scene.nodes.values(), sorted(protocols)):
            yield Wanted(protocol, "", "ingress", WIRE, f"{target.service} at {address}")


def missing(wanted: Iterator[Wanted], found: Collection[Wanted]) -> list[str]:
    return [f"not probed: {probe}" for probe in dict.fromkeys(wanted) if probe not in found]
