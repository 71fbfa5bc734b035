"""Swarm's overlay: VXLAN between nodes, optionally inside ESP.

The network is made by `docker network create` and is external to the stack: a stack file cannot say ip_range.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from harness.drivers import _networks
from harness.model.plan import Demand, NetworkPlan, Plan
from harness.model.topology import Network
from harness.ports import Declared, NetworkDriver

MTU = "com.docker.network.driver.mtu"
ENCRYPTED = "encrypted"
OPTIONS = frozenset({MTU, ENCRYPTED, "com.docker.network.driver.overlay.vxlanid_list"})

#: What the engine assumes of the wire unless the MTU option says otherwise.
ASSUMED_WIRE_MTU = 1500
#: IPv4 (20), UDP (8), VXLAN (8) and the inner Ethernet header (14): RFC 7348, section 5.
VXLAN_BYTES = 20 + 8 + 8 + 14
#: What the engine leaves for ESP in transport mode with AES-GCM, padding included: SPI and sequence (8), IV (8),
#: padding length and next header (2), ICV (8): RFC 4303 and RFC 4106. The rest is rounded down to a word.
ESP_BYTES = 26
ESP_WORD = 4
#: Swarm's own ingress network; the engine does not notice a second network on the same subnet.
INGRESS = ipaddress.ip_network("10.0.0.0/24")

#: Measured on engine 26.1: docs/decisions/011-ipv6.md.
NO_IPV6 = (
    "Swarm has no IPv6 on overlays: each node hands out the same addresses, tasks are rejected, and nodes do not "
    "know each other's neighbours (docker/for-linux issue 973, moby issue 48116; docs/decisions/011-ipv6.md). "
    "Drivers bridge and macvlan have it"
)


class Overlay:
    """`driver: overlay` on Swarm."""

    def demands(self, name: str, network: Network) -> list[Demand]:
        """VXLAN always, ESP where the traffic is encrypted (without it nothing passes, and nothing says so)."""
        wanted_by = f"network {name}"
        demands = [Demand("vxlan", wanted_by)]
        if ENCRYPTED in network.driver_opts:
            demands.append(Demand("esp", wanted_by))
        return demands

    def problems(self, name: str, network: Network) -> list[tuple[str, str]]:  # noqa: ARG002
        return [
            *_networks.unknown_options(network, OPTIONS),
            *(_ipv6_problems(network) or _networks.range_problems(network)),
            *_value_problems(network),
        ]

    def plan(self, name: str, network: Network, wire_mtu: int) -> NetworkPlan:
        """`packet_bytes` follows the smaller of the wire's MTU and the MTU option, which means the wire's too."""
        return NetworkPlan(
            name=name,
            driver="overlay",
            packet_bytes=packet_bytes(network, wire_mtu),
            resolves_names=True,
            internal=network.internal,
            subnets=tuple(network.subnets),
        )

    def declare(self, name: str, network: Network, plan: Plan) -> Declared:
        """A create step on the manager; the stack refers to it as external."""
        made, manager = plan.engine_name(name), plan.managers[0]
        flags = ("--driver", "overlay", *_flags(network))
        return Declared(
            steps=(_networks.create(plan, f"create network {name}", manager, made, flags),),
            undo=(_networks.remove(f"remove network {name}", manager, made),),
            stack={"name": made, "external": True},
        )


def packet_bytes(network: Network, wire_mtu: int) -> int:
    """The largest IP packet that fits into one packet on the wire, as the engine sets the interfaces' MTU.

    Measured on engine 26.1: the MTU option 1400 makes interfaces of 1350.
    """
    room = min(wire_mtu, network.mtu or ASSUMED_WIRE_MTU) - VXLAN_BYTES
    if ENCRYPTED not in network.driver_opts:
        return room
    return (room - ESP_BYTES) // ESP_WORD * ESP_WORD


def _flags(network: Network) -> Iterator[str]:
    for wanted, flag in ((network.attachable, "--attachable"), (network.internal, "--internal")):
        if wanted:
            yield flag
    yield from _networks.ipam_flags(network.ipam.config)
    yield from _networks.option_flags(network.driver_opts)


def _ipv6_problems(network: Network) -> list[tuple[str, str]]:
    if network.enable_ipv6:
        return [("enable_ipv6", NO_IPV6)]
    configs = enumerate(network.ipam.config)
    return [(f"ipam.config.{i}.subnet", NO_IPV6) for i, config in configs if config in network.subnets_of(6)]


def _value_problems(network: Network) -> Iterator[tuple[str, str]]:
    if network.driver_opts.get(ENCRYPTED, "") not in ("", "true"):
        yield f"driver_opts.{ENCRYPTED}", "any value turns encryption on; leave the key out for plain traffic"
    if network.scope == "local":
        yield "scope", "an overlay is a network of the whole swarm"
    for index, config in enumerate(network.ipam.config):
        subnet = ipaddress.ip_network(config.subnet) if config.subnet else None
        if subnet and subnet.version == INGRESS.version and subnet.overlaps(INGRESS):
            key = f"ipam.config.{index}.subnet"
            yield key, f"{subnet} overlaps {INGRESS}, which Swarm's ingress network uses"


NETWORKS: dict[tuple[str, str], NetworkDriver] = {("swarm", "overlay"): Overlay()}
