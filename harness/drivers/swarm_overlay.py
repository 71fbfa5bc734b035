"""Swarm's overlay: VXLAN between nodes, optionally inside ESP.

The network is made by `docker network create` and is external to the stack: a stack file cannot say ip_range.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from harness.model.plan import LABEL, Demand, NetworkPlan, Plan, Step
from harness.model.topology import IpamConfig, Network
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

CREATE_TIMEOUT_S = 30.0
REMOVE_TIMEOUT_S = 30.0


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
        return [*_option_problems(network), *_ipam_problems(network)]

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
        made = f"{plan.cluster}-{name}"
        manager = plan.managers[0]
        create = ("docker", "network", "create", "--driver", "overlay", *_flags(network))
        labels = ("--label", f"{LABEL}={plan.run}")
        remove = ("docker", "network", "rm", made)
        return Declared(
            steps=(
                Step("networks", f"create network {name}", manager, (*create, *labels, made), CREATE_TIMEOUT_S),
            ),
            undo=(Step("remove networks", f"remove network {name}", manager, remove, REMOVE_TIMEOUT_S),),
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
    for config in network.ipam.config:
        for flag, value in (
            ("--subnet", config.subnet),
            ("--ip-range", config.ip_range),
            ("--gateway", config.gateway),
        ):
            if value:
                yield from (flag, value)
    for key, value in network.driver_opts.items():
        yield from ("--opt", f"{key}={value}" if value else key)


def _option_problems(network: Network) -> Iterator[tuple[str, str]]:
    known = ", ".join(sorted(OPTIONS))
    for key in network.driver_opts:
        if key not in OPTIONS:
            yield f"driver_opts.{key}", f"the overlay driver ignores {key!r}; it knows {known}"
    if network.driver_opts.get(ENCRYPTED, "") not in ("", "true"):
        yield f"driver_opts.{ENCRYPTED}", "any value turns encryption on; leave the key out for plain traffic"


def _ipam_problems(network: Network) -> Iterator[tuple[str, str]]:
    for index, config in enumerate(network.ipam.config):
        for key, message in _range_problems(config):
            yield f"ipam.config.{index}.{key}", message


def _range_problems(config: IpamConfig) -> Iterator[tuple[str, str]]:
    if config.subnet is None:
        for key in ("gateway", "ip_range"):
            if getattr(config, key):
                yield key, f"{key} needs a subnet beside it"
        return
    subnet = ipaddress.ip_network(config.subnet)
    if isinstance(subnet, ipaddress.IPv6Network):
        yield "subnet", "IPv6 on overlay networks is not supported yet"
        return
    if subnet.overlaps(INGRESS):
        yield "subnet", f"{subnet} overlaps {INGRESS}, which Swarm's ingress network uses"
    if config.gateway and ipaddress.ip_address(config.gateway) not in subnet:
        yield "gateway", f"{config.gateway} is not in {subnet}"
    if config.ip_range and not _within(config.ip_range, subnet):
        yield "ip_range", f"{config.ip_range} is not part of {subnet}"


def _within(text: str, subnet: ipaddress.IPv4Network) -> bool:
    part = ipaddress.ip_network(text)
    return isinstance(part, ipaddress.IPv4Network) and part.subnet_of(subnet)


NETWORKS: dict[tuple[str, str], NetworkDriver] = {("swarm", "overlay"): Overlay()}
