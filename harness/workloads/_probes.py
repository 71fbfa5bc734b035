"""Probes: lists of the agent's `probe` entries for the pairs of a scene (docs/agent.md)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations, product
from typing import Any

from harness.model.plan import Plan
from harness.ports import Container, Load, PublishedAddress, Scene
from harness.workloads._places import (
    WIRE,
    Item,
    Place,
    by_ip,
    carriers,
    has,
    has_ipv6,
    key,
    live_networks,
    members,
    node_peer,
    node_place,
    on_hosts,
    own_name,
    place,
)

#: Probes that one agent has under way at once.
PARALLEL = 256


@dataclass(frozen=True)
class Prober:
    """Makes probes for one scene. `protocols` are those asked for; names are never dialled by ICMP."""

    scene: Scene
    plan: Plan
    protocols: tuple[str, ...]
    timeout_s: float
    attempts: int = 1

    def open_pairs(self) -> Iterator[Item]:
        """Every ordered pair of containers on each network that they share, by IP, names and aliases; by IPv6 too
        where both have it.
        """
        for network in live_networks(self.scene, self.plan):
            present = members(self.scene, network)
            for source, target in permutations(present, 2):
                if self.plan.network(network).joins(source.node, target.node):
                    yield from self.by_ip(source, network, target)
                    yield from self.by_own_name(source, network, target)
            for source in present:
                yield from self.by_shared_names(source, network, present)

    def by_ip(self, source: Container, network: str, target: Container, *, attempts: int = 0) -> Iterator[Item]:
        for family in (4, 6):
            if family == 4 or (has_ipv6(source) and has(target, network, 6)):
                peer = by_ip(source, network, target, family)
                for protocol in self.protocols:
                    port = self.scene.port
                    yield self._item(peer.source, peer.key, protocol, port, attempts, address=peer.address)

    def by_own_name(self, source: Container, network: str, target: Container) -> Iterator[Item]:
        name = own_name(target, network, self.plan)
        if name is not None:
            yield from self._dial(source, "name", network, target.name, name)

    def by_shared_names(self, source: Container, network: str, present: Sequence[Container]) -> Iterator[Item]:
        """Service names and aliases that another container than `source` answers to; no VIP that cannot work."""
        if not self.plan.network(network).same_node:
            return  # a name may lead to a container of the same node
        others = {container.service for container in present if container != source}
        for target, name in carriers(self.plan, network):
            if self.plan.is_ambiguous(name, network, source.networks):
                continue
            if target.service in others and not self.plan.lacks(f"service {target.service}", "vip"):
                via = "service" if name == target.service else "alias"
                yield from self._dial(source, via, network, target.service, name)

    def closed_pairs(self) -> Iterator[Item]:
        """Every ordered pair of containers that no network joins, by each address of the other that means it."""
        for source, target in permutations(self._networked(), 2):
            if not self.plan.joining(source.node, source.networks, target.node, target.networks):
                for network in target.networks:
                    if source.node == target.node or self.plan.network(network).linked:
                        yield from self.by_ip(source, network, target, attempts=1)

    def controls(self) -> Iterator[Item]:
        """One open pair for each container, so that silence elsewhere means something."""
        for source in self._networked():
            pair = next(self._open_peers(source), None)
            if pair:
                yield from self.by_ip(source, *pair)

    def published_ports(self) -> Iterator[Item]:
        """Host-mode ports: from a container of each other node and from every node itself. Ingress ports, which
        the routing mesh answers on every node, also on those without a task: from each other node itself.
        """
        for service, published in self.scene.published:
            if published.mode == "host":
                for source in self._outside(published.node):
                    yield self._published(source, "host-port", service, published)
            elif not self.plan.lacks(f"service {service}", "ingress"):
                for node in self.scene.nodes:
                    if node != published.node:
                        yield self._published(node_place(node), "ingress", service, published)

    def node_ports(self) -> Iterator[Item]:
        """Ingress ports at every node's address: from every node, itself included, and a container on each."""
        for service, published in self.scene.published:
            if published.mode == "ingress":
                for node in self.scene.nodes:
                    leaving = [container for container in self.scene.on(node) if self._leaves(container)]
                    for source in (node_place(node), *map(place, leaving[:1])):
                        yield self._published(source, "ingress", service, published)

    def dials(self, source: Container, network: str, service: str, times: int) -> Iterator[Item]:
        """Connections to a service's name, numbered: which of its containers answers is the cluster's choice."""
        for number, protocol in product(range(times), self.protocols):
            dialled = key("service", network, service, f"{service}#{number}")
            yield self._item(place(source), dialled, protocol, self.scene.port, 0, name=service, family=4)

    def nodes(self) -> Iterator[Item]:
        """Containers in their node's network reach every node."""
        for container in self.scene.containers:
            for node in self.scene.nodes if container.host else ():
                peer = node_peer(place(container), self.scene, node)
                for protocol in self.protocols:
                    yield self._item(peer.source, peer.key, protocol, self.scene.port, 0, address=peer.address)

    def load(self, items: Sequence[Item]) -> Load:
        """A load of `items` whose deadline holds even if every one of them runs into its time-out."""
        rounds = math.ceil(len(items) / PARALLEL) * self.attempts
        deadline = 30.0 + 2 * rounds * self.timeout_s
        return on_hosts("probe", "probes", items, timeout_s=deadline, parallel=PARALLEL)

    def _networked(self) -> list[Container]:
        return [container for container in self.scene.containers if container.networks and not container.host]

    def _open_peers(self, source: Container) -> Iterator[tuple[str, Container]]:
        for network in source.networks:
            for target in members(self.scene, network):
                if target != source and self.plan.network(network).joins(source.node, target.node):
                    yield network, target

    def _outside(self, node: str) -> Iterator[Place]:
        for other in self.scene.nodes:
            on_other = [c for c in self.scene.on(other) if other != node and self._leaves(c)]
            yield from map(place, on_other[:1])
            yield node_place(other)

    def _leaves(self, container: Container) -> bool:
        """Whether a container has a network that leads out to the wire."""
        return any(not self.plan.network(network).internal for network in container.networks)

    def _published(self, source: Place, via: str, service: str, to: PublishedAddress) -> Item:
        dialled = key(via, WIRE, service, to.ip)
        return self._item(source, dialled, to.protocol, to.port, 0, address=to.ip)

    def _dial(self, source: Container, via: str, network: str, to: str, name: str) -> Iterator[Item]:
        for family in (4, 6) if self.plan.network(network).resolves_ipv6 else (4,):
            dialled = key(via, network, to, name, family=family)
            for protocol in self.protocols:
                if protocol != "icmp":
                    asked = {"name": name, "family": family}
                    yield self._item(place(source), dialled, protocol, self.scene.port, 0, **asked)

    def _item(self, source: Place, dialled: str, protocol: str, port: int, attempts: int, **peer: Any) -> Item:
        """`attempts` 0 means the prober's own."""
        return source.node, {
            **source.fields,
            **peer,
            "key": dialled,
            "protocol": protocol,
            "port": port,
            "token": self.scene.token,
            "timeout_s": self.timeout_s,
            "attempts": attempts or self.attempts,
        }
