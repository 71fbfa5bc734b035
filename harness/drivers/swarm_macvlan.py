"""Macvlan: containers with a MAC of their own on the link of their node's interface.

Made on each node by itself (`scope: local`), or once for the swarm from a configuration on each node (`scope:
swarm`). Engines do not know of each other's addresses, so each hands out an aligned part of the range.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import ClassVar

from harness.drivers import _networks
from harness.model.plan import Demand, NetworkPlan, Plan, Step
from harness.model.subnets import node_slices, node_slices6
from harness.model.topology import IpamConfig, Network
from harness.ports import Declared, NetworkDriver

PARENT = "parent"
#: An interface, or a VLAN of one: `eth0.20`. The kernel takes names of 15 characters.
_PARENT = re.compile(r"^[a-zA-Z][a-zA-Z0-9_-]{0,14}(\.(?P<vlan>\d{1,4}))?$")
VLANS = range(1, 4095)
#: Interfaces of a node that lead to no other node: loopback, and the engine's own.
_NO_PARENT = "^(lo|docker.*|br-.*|veth.*)$"


class Link:
    """What macvlan and ipvlan share: networks on a parent interface of each node."""

    driver = ""
    modes: tuple[str, ...] = ()
    refused: ClassVar[Mapping[str, str]] = {}

    @property
    def mode_option(self) -> str:
        return f"{self.driver}_mode"

    def demands(self, name: str, network: Network) -> list[Demand]:
        """The driver, and VLANs (IEEE 802.1Q) where the parent is one: without either creation may still succeed
        and the containers fail.
        """
        wanted_by = f"network {name}"
        vlan = [Demand("8021q", wanted_by)] if "." in network.parent else []
        return [Demand(self.driver, wanted_by), *vlan, *_networks.ipv6_demands(name, network)]

    def problems(self, name: str, network: Network) -> list[tuple[str, str]]:
        return [
            *_networks.unknown_options(network, {PARENT, self.mode_option}),
            *_networks.range_problems(network),
            *self._mode_problems(network),
            *_parent_problems(network),
            *_scope_problems(name, network),
        ]

    def _mode_problems(self, network: Network) -> Iterator[tuple[str, str]]:
        mode = network.driver_opts.get(self.mode_option)
        if mode is not None and mode not in self.modes:
            why = self.refused.get(mode)
            message = f"{mode!r} is not one of {', '.join(self.modes)}{f': it {why}' if why else ''}"
            yield f"driver_opts.{self.mode_option}", message

    def mode(self, network: Network) -> str:
        return network.driver_opts.get(self.mode_option, self.modes[0])

    def plan(self, name: str, network: Network, wire_mtu: int) -> NetworkPlan:
        """Names resolve across nodes only where the swarm knows the network, and then to IPv4 alone."""
        return NetworkPlan(
            name=name,
            driver=self.driver,
            packet_bytes=wire_mtu,
            resolves_names=network.scope == "swarm",
            internal=network.internal,
            subnets=tuple(network.subnets),
            linked=self._is_linked(network),
            same_node=self.mode(network) not in ("private", "vepa"),
            ipv6=network.enable_ipv6,
        )

    def _is_linked(self, network: Network) -> bool:  # noqa: ARG002 - ipvlan asks the network
        return True

    def declare(self, name: str, network: Network, plan: Plan) -> Declared:
        """The parent is looked for first: engines make one that is not there as a dummy, which leads nowhere."""
        if network.scope == "swarm":
            return self._declare_swarm(name, network, plan)
        made, nodes = plan.engine_name(name), _networks.nodes_on(plan, name)
        steps = []
        for node in nodes:
            flags = ("--driver", self.driver, *_flags(network, plan, node))
            steps.append(_networks.create(plan, f"create network {name}", node, made, flags))
        return Declared(
            steps=(*parent_checks(name, _physical(network), nodes), *steps),
            undo=tuple(_networks.remove(f"remove network {name}", node, made) for node in nodes),
            stack={"name": made, "external": True},
        )

    def _declare_swarm(self, name: str, network: Network, plan: Plan) -> Declared:
        """Addresses and the parent stand in a configuration on each node; the swarm's network refers to it."""
        made, config = plan.engine_name(name), plan.engine_name(f"{name}-config")
        nodes, manager = [node.name for node in plan.nodes], plan.managers[0]
        swarm = ("--driver", self.driver, "--scope", "swarm", "--attachable")
        first, last = "network configurations", "remove network configurations"
        title = f"configure network {name}"
        configs = [
            _networks.create(plan, title, node, config, ("--config-only", *_flags(network, plan, node)), first)
            for node in nodes
        ]
        create = _networks.create_from(f"create network {name}", manager, made, swarm, config)
        removals = [_networks.remove(f"remove what configures {name}", node, config, last) for node in nodes]
        return Declared(
            steps=(*parent_checks(name, _physical(network), nodes), *configs, create),
            undo=(_networks.remove(f"remove network {name}", manager, made), *removals),
            stack={"name": made, "external": True},
        )


class Macvlan(Link):
    """`driver: macvlan` on Swarm."""

    driver = "macvlan"
    modes = ("bridge", "private", "vepa")
    refused: ClassVar[Mapping[str, str]] = {
        "passthru": "gives the node's own interface to one container, and the node would lose its wire"
    }


def _flags(network: Network, plan: Plan, node: str) -> Iterator[str]:
    """Addresses and options as `node` has them."""
    yield from ("--internal",) if network.internal else ()
    yield from _networks.ipv6_flags(network)
    yield from _networks.ipam_flags(own_ranges(network, plan, node))
    yield from _networks.option_flags({PARENT: network.parent, **network.driver_opts})


def own_ranges(network: Network, plan: Plan, node: str) -> Iterator[IpamConfig]:
    """The first subnet of each family with the node's own part as its range; others as they are."""
    index, nodes = [entry.name for entry in plan.nodes].index(node), len(plan.nodes)
    first4, first6 = (next(iter(network.subnets_of(family)), None) for family in (4, 6))
    for config in network.ipam.config:
        if config is first4:
            yield config.model_copy(update={"ip_range": str(node_slices(network, nodes)[index])})
        elif config is first6:
            yield config.model_copy(update={"ip_range": str(node_slices6(config, nodes)[index])})
        else:
            yield config


def _physical(network: Network) -> str:
    """Engines make the VLAN of a parent themselves."""
    return network.parent.partition(".")[0]


def parent_checks(name: str, parent: str, nodes: list[str]) -> Iterator[Step]:
    """Fail with the interfaces that a node has, where `parent` is none of them."""
    script = (
        '[ -e "/sys/class/net/$1" ] && exit; '
        'echo "has no interface $1; it has $(ls /sys/class/net | grep -vE "$2" | tr "\\n" " ")" >&2; exit 1'
    )
    for node in nodes:
        argv = ("sh", "-c", script, "sh", parent, _NO_PARENT)
        yield Step("parents of networks", f"the parent of network {name}", node, argv, 10.0, only_looks=True)


def _parent_problems(network: Network) -> Iterator[tuple[str, str]]:
    parent = network.parent
    match = _PARENT.match(parent)
    if not match:
        yield "driver_opts.parent", f"{parent!r} is no interface's name, such as eth0, or eth0.20 for VLAN 20"
    elif match["vlan"] and int(match["vlan"]) not in VLANS:
        yield "driver_opts.parent", f"VLAN {match['vlan']} is not from 1 to 4094 (IEEE 802.1Q)"


def _scope_problems(name: str, network: Network) -> Iterator[tuple[str, str]]:
    if network.attachable and network.scope == "local":
        yield "attachable", f"network {name} is made on each node by itself; only `scope: swarm` is attachable"


NETWORKS: dict[tuple[str, str], NetworkDriver] = {("swarm", "macvlan"): Macvlan()}
