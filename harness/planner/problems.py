"""What a topology asks for and cannot have: drivers and orchestrator are asked, ranges are compared."""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Iterable, Iterator

from harness.model.topology import Topology
from harness.planner.nodes import node_plans
from harness.planner.scopes import scoped
from harness.planner.seams import Choice

Problem = tuple[str, str]


def problems(topology: Topology, choice: Choice, *, wire_mtu: int) -> list[Problem]:
    """All of them, as (dotted key, message); empty where `plan` will do. Pure."""
    topology = scoped(topology)
    return [
        *_networks(topology, choice),
        *_wire(topology, wire_mtu),
        *_overlaps(topology),
        *_stores(topology, choice),
        *_volumes(topology, choice),
        *choice.rendering.problems(topology, node_plans(topology)),
    ]


def _networks(topology: Topology, choice: Choice) -> Iterator[Problem]:
    for name, network in topology.networks.items():
        driver = choice.network(topology, name)
        if driver is None:
            yield f"networks.{name}.driver", _unsupported(topology, network.driver, choice.networks)
            continue
        yield from ((f"networks.{name}.{key}", message) for key, message in driver.problems(name, network))


def _stores(topology: Topology, choice: Choice) -> Iterator[Problem]:
    for name, spec in topology.stores.items():
        store = choice.store(topology, name)
        if store is None:
            yield f"stores.{name}.kind", f"a store of kind {spec.kind!r} is not supported yet"
            continue
        yield from ((f"stores.{name}.{key}", message) for key, message in store.problems(topology, name))


def _volumes(topology: Topology, choice: Choice) -> Iterator[Problem]:
    for name, volume in topology.volumes.items():
        driver = choice.volume(topology, name)
        if driver is None:
            yield f"volumes.{name}.driver", _unsupported(topology, volume.driver, choice.volumes)
            continue
        yield from ((f"volumes.{name}.{key}", message) for key, message in driver.problems(name, volume))


def _unsupported(topology: Topology, driver: str, known: Iterable[tuple[str, str]]) -> str:
    wanted = topology.cluster.orchestrator
    there = sorted(name for orchestrator, name in known if orchestrator == wanted)
    return f"orchestrator {wanted} has no driver {driver!r}; there is {', '.join(there) or 'none'}"


def _wire(topology: Topology, wire_mtu: int) -> Iterator[Problem]:
    for name, network in topology.networks.items():
        if network.mtu and network.mtu > wire_mtu:
            key = f"networks.{name}.driver_opts.com.docker.network.driver.mtu"
            yield key, f"an MTU of {network.mtu} is more than the {wire_mtu} of the wire between the nodes"


def _overlaps(topology: Topology) -> Iterator[Problem]:
    """Subnets that clash, within a network and between two."""
    subnets = [
        (f"networks.{name}.ipam.config.{index}.subnet", name, ipaddress.ip_network(config.subnet))
        for name, network in topology.networks.items()
        for index, config in enumerate(network.ipam.config)
        if config.subnet
    ]
    for (_, other, first), (key, _, second) in itertools.combinations(subnets, 2):
        if first.overlaps(second):
            yield key, f"{second} overlaps {first} of network {other}"
