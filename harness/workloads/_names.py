"""What names should mean, and the lookups that ask."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from harness.model.history import History
from harness.model.plan import Plan
from harness.ports import Container, Load, Scene
from harness.workloads._places import Item, carriers, live_networks, members, on_hosts, one_per_node, place

#: What a resolver says of a name that means nothing: nxdomain by itself, servfail where it asked upstream in vain.
NOTHING = ("nxdomain", "servfail")


@dataclass(frozen=True)
class Names:
    """Names of `services` in one scene. `truth` maps (network, name) to the addresses that it must give."""

    scene: Scene
    plan: Plan
    services: frozenset[str]

    @property
    def truth(self) -> dict[tuple[str, str], frozenset[str]]:
        found: dict[tuple[str, str], frozenset[str]] = {}
        for network in live_networks(self.scene, self.plan):
            for name, service in self._asked(network):
                addresses = found.get((network, name), frozenset()) | self._addresses(network, service)
                found[network, name] = addresses
        return found

    def lookups(self, phase: str, timeout_s: float, rng: random.Random) -> list[Item]:
        """Every name of every network, asked from one container on each node of it.

        A resolver answers from the first of its container's networks that knows the name, so a container on two
        networks that both know it is not asked: either answer would be right.
        """
        truth = self.truth
        names: dict[str, list[str]] = {}
        for network, name in truth:
            names.setdefault(network, []).append(name)
        return [
            _lookup(source, f"{phase}|{network}|{name}", name, timeout_s)
            for network, asked in names.items()
            for source in one_per_node(members(self.scene, network), rng)
            for name in asked
            if not any((other, name) in truth for other in source.networks if other != network)
        ]

    def right(self, rows: History) -> bool:
        """Whether every `dns` row among `rows` tells the truth; a name that nobody looked up does not matter."""
        truth = self.truth
        dns = rows.only(f="dns")
        pairs = zip(dns["key"].tolist(), dns["value"].tolist(), strict=True)
        return all(_says(value, truth[_asked_for(key)]) for key, value in pairs)

    def _asked(self, network: str) -> Iterator[tuple[str, str]]:
        """(name, service): `tasks.<service>` of scheduled ones, and the names under which they answer.

        A service behind a virtual IP answers with that, so only its tasks are asked for.
        """
        for target, name in carriers(self.plan, network):
            if target.service in self.services:
                if name == target.service and target.kind != "plain":
                    yield f"tasks.{name}", target.service
                if target.endpoint_mode == "dnsrr":
                    yield name, target.service

    def _addresses(self, network: str, service: str) -> frozenset[str]:
        present = [c for c in members(self.scene, network) if c.service == service]
        return frozenset(container.networks[network].ip for container in present)


def lookup_load(items: list[Item], timeout_s: float) -> Load:
    return on_hosts("lookup", "lookups", items, timeout_s=30.0 + len(items) * timeout_s)


def _lookup(source: Container, key: str, name: str, timeout_s: float) -> Item:
    return source.node, {**place(source).fields, "key": key, "name": name, "timeout_s": timeout_s}


def _asked_for(key: str) -> tuple[str, str]:
    _, network, name = key.split("|", 2)
    return network, name


def _says(value: str, truth: frozenset[str]) -> bool:
    return set(value.split(",")) == truth if truth else value in NOTHING
