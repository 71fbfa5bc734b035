"""What names should mean, and the lookups that ask."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from harness.model.history import History
from harness.model.plan import Plan
from harness.ports import Container, Load, Scene
from harness.workloads._places import (
    Item,
    carriers,
    has,
    live_networks,
    members,
    on_hosts,
    one_per_node,
    own_name,
    place,
)

#: What a resolver says of a name that means nothing: nxdomain by itself, servfail where it asked upstream in vain.
NOTHING = ("nxdomain", "servfail")
SILENCE = "timeout"


class Asked(NamedTuple):
    """A name on a network, and which of its addresses are meant: IPv4 (4) or IPv6 (6)."""

    family: int
    network: str
    name: str


@dataclass(frozen=True)
class Names:
    """Names of `services` in one scene. `truth` maps what may be asked to the addresses that must be given."""

    scene: Scene
    plan: Plan
    services: frozenset[str]

    @property
    def truth(self) -> dict[Asked, frozenset[str]]:
        found: dict[Asked, frozenset[str]] = {}
        for network in live_networks(self.scene, self.plan):
            for family in (4, 6) if self.plan.network(network).resolves_ipv6 else (4,):
                for name, service in self._asked(network):
                    asked = Asked(family, network, name)
                    found[asked] = found.get(asked, frozenset()) | self._addresses(network, service, family)
            found.update(self._own(network))
        return found

    def _own(self, network: str) -> Iterator[tuple[Asked, frozenset[str]]]:
        """Of containers whose own names hold, under the names that we have for them."""
        for container in members(self.scene, network):
            if self._holds(container) and own_name(container, network, self.plan):
                yield Asked(4, network, container.name), frozenset([container.networks[network].ip])

    def _holds(self, container: Container) -> bool:
        return container.service in self.services and self.plan.target(container.service).stable

    def _dialled(self, asked: Asked) -> str:
        """What a resolver is asked: the name itself, or what the orchestrator calls a container."""
        called = next((c for c in members(self.scene, asked.network) if c.name == asked.name), None)
        own = own_name(called, asked.network, self.plan) if called and self._holds(called) else None
        return own or asked.name

    def lookups(self, phase: str, timeout_s: float, rng: random.Random) -> list[Item]:
        """Every name of every network, asked from one container on each node of it.

        A resolver answers from the first of its container's networks that knows the name, so a container on two
        networks that both know it is not asked: either answer would be right.
        """
        truth = self.truth
        names: dict[str, list[Asked]] = {}
        for asked in truth:
            names.setdefault(asked.network, []).append(asked)
        return [
            _lookup(source, phase, asked, self._dialled(asked), timeout_s)
            for network, all_asked in names.items()
            for source in one_per_node(members(self.scene, network), rng)
            for asked in all_asked
            if not any(Asked(4, other, asked.name) in truth for other in source.networks if other != network)
        ]

    def right(self, rows: History) -> bool:
        """Whether every `dns` and `aaaa` row among `rows` tells the truth; a name that nobody looked up does not
        matter.
        """
        truth = self.truth
        answers = rows.only(f=("dns", "aaaa"))
        columns = (answers[name].tolist() for name in ("f", "key", "value"))
        return all(self._says(value, _asked_for(f, key), truth) for f, key, value in zip(*columns, strict=True))

    def _says(self, value: str, asked: Asked, truth: Mapping[Asked, frozenset[str]]) -> bool:
        if truth[asked]:
            return set(value.split(",")) == truth[asked]
        return value in NOTHING or (value == SILENCE and self.plan.network(asked.network).silent_on_unknown)

    def _asked(self, network: str) -> Iterator[tuple[str, str]]:
        """(name, service): the tasks' name where the orchestrator has one, and the names under which they answer.

        A service behind a virtual IP answers with that, so only its tasks are asked for.
        """
        for target, name in carriers(self.plan, network):
            if target.service in self.services:
                if name == target.service and target.tasks:
                    yield target.tasks, target.service
                if target.endpoint_mode == "dnsrr":
                    yield name, target.service

    def _addresses(self, network: str, service: str, family: int) -> frozenset[str]:
        present = [c for c in members(self.scene, network) if c.service == service]
        return frozenset(c.networks[network].of(family) for c in present if has(c, network, family))


def lookup_load(items: list[Item], timeout_s: float) -> Load:
    return on_hosts("lookup", "lookups", items, timeout_s=30.0 + len(items) * timeout_s)


def _lookup(source: Container, phase: str, asked: Asked, dialled: str, timeout_s: float) -> Item:
    told = {"key": f"{phase}|{asked.network}|{asked.name}", "name": dialled, "family": asked.family}
    return source.node, {**place(source).fields, **told, "timeout_s": timeout_s}


def _asked_for(f: str, key: str) -> Asked:
    _, network, name = key.split("|", 2)
    return Asked(6 if f == "aaaa" else 4, network, name)
