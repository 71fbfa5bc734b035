"""What Swarm cannot express, found before anything is changed; and what is worth a note."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence

from harness.model.plan import Demand, NodePlan
from harness.model.topology import Network, Service, Topology
from harness.orchestrators import constraints

Problem = tuple[str, str]
#: Addresses of a subnet that no container gets: the network's own, broadcast, the gateway.
RESERVED = 3
#: Keys of an attachment that fix an address, and its family.
STATIC = {"ipv4_address": 4, "ipv6_address": 6}


def demands(topology: Topology) -> list[Demand]:
    """Service VIPs and the ingress are IPVS; without it creation succeeds and traffic is lost."""
    found = []
    for name, service in topology.services.items():
        if service.node:
            continue
        if service.effective_deploy.endpoint_mode == "vip":
            found.append(Demand("ipvs", f"service {name}", part="vip"))
        if any(port.mode == "ingress" for port in service.ports):
            found.append(Demand("ipvs", f"service {name}", part="ingress"))
    return found


def problems(topology: Topology, nodes: Sequence[NodePlan]) -> list[Problem]:
    found = [
        (f"services.{name}.{key}".rstrip("."), message)
        for name, service in topology.services.items()
        for key, message in _service(topology, name, service, nodes)
    ]
    found += [*_subnets(topology, nodes), *_parents(topology)]
    if topology.policies:
        found.append(("policies", "Swarm has no NetworkPolicy; orchestrator kubernetes has"))
    return [*found, *_of_kubernetes(topology)]


def _of_kubernetes(topology: Topology) -> Iterator[Problem]:
    for name, service in topology.services.items():
        if service.namespace:
            yield f"services.{name}.namespace", "Swarm has no namespaces; orchestrator kubernetes has"


def notes(topology: Topology) -> list[str]:
    return [note for name, service in topology.services.items() for note in _notes(topology, name, service)]


def _notes(topology: Topology, name: str, service: Service) -> Iterator[str]:
    if not service.networks and service.network_mode is None:
        yield f"service {name} names no network: each container is on its node's default bridge"
    if service.node and any(port.mode == "ingress" for port in service.ports):
        yield f"service {name} is a plain container: its ports are published on {service.node} only"
    networks = [topology.networks[net] for net in service.networks if net in topology.networks]
    if service.ports and networks and all(network.internal for network in networks):
        yield f"service {name} is on internal networks only: its ports are not published"


def _service(topology: Topology, name: str, service: Service, nodes: Sequence[NodePlan]) -> Iterator[Problem]:
    yield from _network_mode(service)
    yield from constraints.mounts(service)
    if service.node:
        yield from _plain(topology, service)
    else:
        yield from _scheduled(service)
        yield from constraints.problems(service, nodes)
        yield from _hostnames(topology, name, nodes)


def _network_mode(service: Service) -> Iterator[Problem]:
    if service.network_mode in ("host", "none") and service.ports:
        yield "ports", f"nothing is published with network_mode {service.network_mode}"
    if service.network_mode == "none" and not service.node:
        yield "network_mode", "Swarm cannot run a scheduled service without a network; `node` can"


def _plain(topology: Topology, service: Service) -> Iterator[Problem]:
    for name, attachment in service.networks.items():
        network = topology.networks.get(name)
        if network is None:
            continue
        if network.driver == "overlay" and not network.attachable:
            yield f"networks.{name}", f"a plain container needs `attachable: true` in network {name}"
        for key in STATIC:
            if address := getattr(attachment, key):
                yield from _static(name, network, key, address)


def _static(name: str, network: Network, key: str, text: str) -> Iterator[Problem]:
    """The engine takes an address only from a subnet that the user configured."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        yield f"networks.{name}.{key}", f"{text!r} is no IP address"
        return
    if address.version != STATIC[key]:
        yield f"networks.{name}.{key}", f"{text} is an IPv{address.version} address"
    elif not any(address in ipaddress.ip_network(subnet) for subnet in network.subnets):
        yield f"networks.{name}.{key}", f"{text} is in no configured subnet of network {name}"


def _scheduled(service: Service) -> Iterator[Problem]:
    for network, attachment in service.networks.items():
        for key in STATIC:
            if getattr(attachment, key):
                message = "Swarm has no static addresses for scheduled services; `node` makes a plain container"
                yield f"networks.{network}.{key}", message
    yield from _endpoint_mode(service)


def _hostnames(topology: Topology, name: str, nodes: Sequence[NodePlan]) -> Iterator[Problem]:
    """Containers are called `web-1`, `edge-n2`, and so must no other service be."""
    is_global = topology.services[name].effective_deploy.mode == "global"
    for other in topology.services:
        prefix, _, suffix = other.rpartition("-")
        taken = suffix in [node.name for node in nodes] if is_global else suffix.isdigit()
        if prefix == name and taken:
            yield "", f"its containers have hostnames like {other!r}, which is also a service"


def _endpoint_mode(service: Service) -> Iterator[Problem]:
    if service.effective_deploy.endpoint_mode != "dnsrr":
        return
    for index, port in enumerate(service.ports):
        if port.mode == "ingress":
            message = "an ingress port needs endpoint_mode vip; `mode: host` publishes it on the containers' nodes"
            yield f"ports.{index}", message


def _subnets(topology: Topology, nodes: Sequence[NodePlan]) -> Iterator[Problem]:
    """Swarm gives an address to every container, to every node (its load balancer) and to every VIP."""
    for name, network in topology.networks.items():
        if network.driver in ("macvlan", "ipvlan"):
            yield from constraints.slices(name, network, len(nodes))
            continue
        if not network.subnets_of(4):
            continue
        needed, room = _needed(topology, name, len(nodes)), _room(network)
        if needed > room:
            message = f"room for {room} addresses; its containers and nodes need {needed}"
            yield f"networks.{name}.ipam.config.0.subnet", message


def _parents(topology: Topology) -> Iterator[Problem]:
    """The engine gives a parent interface to one network ("is already using parent interface")."""
    first: dict[str, str] = {}
    for name, network in topology.networks.items():
        if network.driver in ("macvlan", "ipvlan"):
            parent = network.parent
            other = first.setdefault(parent, name)
            if other != name:
                message = f"network {other} has the parent {parent} already; Docker gives it to one network only"
                yield f"networks.{name}.driver_opts.parent", message


def _needed(topology: Topology, network: str, nodes: int) -> int:
    needed = nodes
    for service in topology.services.values():
        if network not in service.networks:
            continue
        deploy = service.effective_deploy
        needed += not service.node and deploy.endpoint_mode == "vip"
        needed += 1 if service.node else deploy.replicas if deploy.mode == "replicated" else nodes
    return needed


def _room(network: Network) -> int:
    ranges = [config.ip_range or config.subnet for config in network.subnets_of(4)]
    return sum(max(0, ipaddress.ip_network(text).num_addresses - RESERVED) for text in ranges if text)
