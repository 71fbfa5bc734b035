"""What drivers of networks share: flags, steps, and the checks of what a user wrote."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping

from harness.model.plan import LABEL, Demand, Plan, Step
from harness.model.topology import IpamConfig, Network

CREATE_TIMEOUT_S = 30.0
REMOVE_TIMEOUT_S = 30.0
IPAM_FLAGS = ("subnet", "ip_range", "gateway")
#: The least MTU of a link of IPv6: RFC 8200, section 5.
IPV6_MIN_MTU = 1280


def create(plan: Plan, title: str, node: str, made: str, flags: Iterable[str], phase: str = "networks") -> Step:
    label = ("--label", f"{LABEL}={plan.run}")
    return Step(phase, title, node, ("docker", "network", "create", *flags, *label, made), CREATE_TIMEOUT_S)


def create_from(title: str, node: str, made: str, flags: Iterable[str], config: str) -> Step:
    """A network that has its settings from a configuration on each node, its labels as well: the engine refuses
    them here ("user specified configurations are not supported").
    """
    argv = ("docker", "network", "create", *flags, "--config-from", config, made)
    return Step("networks", title, node, argv, CREATE_TIMEOUT_S)


def remove(title: str, node: str, made: str, phase: str = "remove networks") -> Step:
    return Step(phase, title, node, ("docker", "network", "rm", made), REMOVE_TIMEOUT_S)


def ipv6_demands(name: str, network: Network) -> list[Demand]:
    return [Demand("ipv6", f"network {name}")] if network.enable_ipv6 else []


def ipv6_flags(network: Network) -> tuple[str, ...]:
    return ("--ipv6",) if network.enable_ipv6 else ()


def ipam_flags(configs: Iterable[IpamConfig]) -> Iterator[str]:
    for config in configs:
        for key in IPAM_FLAGS:
            if value := getattr(config, key):
                yield from (f"--{key.replace('_', '-')}", value)


def option_flags(options: Mapping[str, str]) -> Iterator[str]:
    for key, value in options.items():
        yield from ("--opt", f"{key}={value}" if value else key)


def nodes_on(plan: Plan, network: str) -> list[str]:
    """Nodes with a plain container on a network that is made on each node by itself, in the plan's order."""
    homes = {
        target.node
        for target in plan.targets
        if any(name.partition("@")[0] == network for name in target.networks)
    }
    return [node.name for node in plan.nodes if node.name in homes]


def unknown_options(network: Network, known: Iterable[str]) -> Iterator[tuple[str, str]]:
    for key in network.driver_opts:
        if key not in known:
            message = f"the {network.driver} driver ignores {key!r}; it knows {', '.join(sorted(known))}"
            yield f"driver_opts.{key}", message


def range_problems(network: Network) -> Iterator[tuple[str, str]]:
    """Ranges and gateways that do not lie in a subnet of their own, and halves of a dual-stack network."""
    for index, config in enumerate(network.ipam.config):
        for key, message in _range_problems(config):
            yield f"ipam.config.{index}.{key}", message
    yield from _ipv6_problems(network)


def _ipv6_problems(network: Network) -> Iterator[tuple[str, str]]:
    """What an engine would take and leave undone: docs/decisions/011-ipv6.md has its answers."""
    indices = [i for i, config in enumerate(network.ipam.config) if config in network.subnets_of(6)]
    if network.enable_ipv6 and not indices:
        message = (
            "it needs an IPv6 subnet in ipam.config (fd00:1::/64): engines before 27 have none to choose from"
        )
        yield "enable_ipv6", message
    if network.enable_ipv6 and network.mtu and network.mtu < IPV6_MIN_MTU:
        yield "enable_ipv6", f"IPv6 needs packets of {IPV6_MIN_MTU} bytes (RFC 8200, section 5), not {network.mtu}"
    for index in indices if not network.enable_ipv6 else ():
        message = "an IPv6 subnet gives addresses to nobody without `enable_ipv6: true`"
        yield f"ipam.config.{index}.subnet", message
    for index in indices[1:]:
        yield f"ipam.config.{index}.subnet", "one IPv6 subnet a network: a container has one address of it"


def _range_problems(config: IpamConfig) -> Iterator[tuple[str, str]]:
    if config.subnet is None:
        for key in ("gateway", "ip_range"):
            if getattr(config, key):
                yield key, f"{key} needs a subnet beside it"
        return
    subnet = ipaddress.ip_network(config.subnet)
    if config.gateway and ipaddress.ip_address(config.gateway) not in subnet:
        yield "gateway", f"{config.gateway} is not in {subnet}"
    if config.ip_range and not _within(config.ip_range, subnet):
        yield "ip_range", f"{config.ip_range} is not part of {subnet}"


def _within(text: str, subnet: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    part = ipaddress.ip_network(text)
    if isinstance(part, ipaddress.IPv4Network) and isinstance(subnet, ipaddress.IPv4Network):
        return part.subnet_of(subnet)
    if isinstance(part, ipaddress.IPv6Network) and isinstance(subnet, ipaddress.IPv6Network):
        return part.subnet_of(subnet)
    return False
