"""Values that are right one by one and cannot stand together."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.loader.problems import Problems
from harness.loader.sensitive import check_sensitive
from harness.loader.tree import Tree
from harness.model.topology import Deploy, IpamConfig, Service, Topology

Subnet = ipaddress.IPv4Network | ipaddress.IPv6Network


def check_conflicts(topology: Topology, root: Tree, problems: Problems) -> None:
    """`root` holds what `topology` was made of, and gives the places."""
    _subnets(topology, root, problems)
    for name, service in topology.services.items():
        tree = root.find("services", name)
        _ports_of_mode(service, tree, problems)
        _mounts(service, tree, problems)
        if topology.cluster.orchestrator == "swarm":
            _round_robin(service, tree, problems)
    published = [each for name in topology.services for each in _published(topology, name, root, problems)]
    _same_ports(published, problems)
    _too_few_nodes(topology, published, problems)
    check_sensitive(topology, root, problems)


# --- networks ----------------------------------------------------------------------------------------------


def _subnets(topology: Topology, root: Tree, problems: Problems) -> None:
    found: list[tuple[Subnet, Tree]] = []
    for name, network in topology.networks.items():
        for i, config in enumerate(network.ipam.config):
            tree = root.find("networks", name, "ipam", "config", i)
            if config.subnet:
                found.append((ipaddress.ip_network(config.subnet), tree.find("subnet")))
            _inside(config, tree, problems)
    for pair in _overlapping(found):
        (first, first_tree), (second, tree) = sorted(pair, key=lambda each: each[1].place)
        where = f"{first_tree.key} in line {first_tree.place.line}"
        problems.at(tree, f"{second} (line {tree.place.line}) overlaps {first}, {where}")


def _overlapping(
    found: Sequence[tuple[Subnet, Tree]],
) -> Iterator[tuple[tuple[Subnet, Tree], tuple[Subnet, Tree]]]:
    """Subnets nest or are apart: in order of address each is held against the last that was in no other."""
    cover: tuple[Subnet, Tree] | None = None
    for each in sorted(found, key=lambda item: (item[0].version, int(item[0].network_address), item[0].prefixlen)):
        if cover and cover[0].version == each[0].version and cover[0].overlaps(each[0]):
            yield cover, each
        else:
            cover = each


def _inside(config: IpamConfig, tree: Tree, problems: Problems) -> None:
    """A gateway and a range lie in their subnet."""
    if not config.subnet:
        return
    subnet = ipaddress.ip_network(config.subnet)
    if config.gateway and ipaddress.ip_address(config.gateway) not in subnet:
        problems.at(tree.find("gateway"), f"{config.gateway} is not an address of the subnet {subnet}")
    if config.ip_range:
        part = ipaddress.ip_network(config.ip_range)
        if part.version != subnet.version or not part.subnet_of(subnet):  # type: ignore[arg-type]
            problems.at(tree.find("ip_range"), f"{part} is not a part of the subnet {subnet}")


# --- services ----------------------------------------------------------------------------------------------


def _ports_of_mode(service: Service, tree: Tree, problems: Problems) -> None:
    if service.network_mode in ("host", "none") and service.ports:
        why = "its ports are the node's own" if service.network_mode == "host" else "it has no network"
        message = f"ports have no meaning with network_mode: {service.network_mode} ({why})"
        problems.at(tree.find("ports"), message)


def _mounts(service: Service, tree: Tree, problems: Problems) -> None:
    first: dict[str, int] = {}
    for i, mount in enumerate(service.volumes):
        at = tree.find("volumes", i)
        if first.setdefault(mount.target.rstrip("/"), i) != i:
            line = tree.find("volumes", first[mount.target.rstrip("/")]).place.line
            problems.at(at, f"two mounts have the target {mount.target}, the other is in line {line}")
        if mount.type == "bind" and not mount.source:
            problems.at(at, "a bind mount needs a `source`, a directory of the node")


def _round_robin(service: Service, tree: Tree, problems: Problems) -> None:
    """Swarm refuses an ingress port without a VIP: "EndpointSpec: port published with ingress mode can't be
    used with dnsrr mode".
    """
    deploy = service.effective_deploy
    if service.node or deploy.endpoint_mode != "dnsrr" or _is_doubtful(tree, problems):
        return
    for i, port in enumerate(service.ports):
        if port.mode == "ingress" and not problems.below(f"{tree.find('ports', i).key}.mode"):
            message = (
                "Swarm refuses an ingress port with endpoint_mode dnsrr, the default here: "
                "give the port `mode: host`, or the service `deploy: {endpoint_mode: vip}`"
            )
            problems.at(tree.find("ports", i), message)


def _is_doubtful(tree: Tree, problems: Problems) -> bool:
    """Whether a mistake may have hidden what the service means by `node` or `deploy.endpoint_mode`."""
    deploy = f"{tree.key}.deploy"
    settled = {f"{deploy}.{name}" for name in Deploy.model_fields} - {f"{deploy}.endpoint_mode"}
    below = [key for key in problems.keys if key == deploy or key.startswith(f"{deploy}.")]
    wrong_node = tree.get("node") is None and f"{tree.key}.node" in problems.keys
    return wrong_node or any(key not in settled and not key.startswith(f"{deploy}.placement") for key in below)


# --- published ports ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Published:
    """A published port of a service. `node` is empty where the scheduler chooses it."""

    service: str
    number: int
    protocol: str
    mode: str
    node: str
    constrained: bool
    tree: Tree


def _published(topology: Topology, name: str, root: Tree, problems: Problems) -> Iterator[_Published]:
    service = topology.services[name]
    if service.network_mode in ("host", "none"):
        return
    constrained = bool(service.effective_deploy.placement.constraints)
    for i, port in enumerate(service.ports):
        tree = root.find("services", name, "ports", i)
        mode_is_known = not any(problems.below(f"{tree.key}.{key}") for key in ("mode", "protocol"))
        if port.published and mode_is_known:
            mode = "host" if service.node else port.mode
            yield _Published(name, port.published, port.protocol, mode, service.node or "", constrained, tree)


def _same_ports(published: Sequence[_Published], problems: Problems) -> None:
    """A port is held against the earlier ones of its number, and reported once."""
    earlier: dict[tuple[int, str], list[_Published]] = {}
    for port in published:
        others = earlier.setdefault((port.number, port.protocol), [])
        clash = next((other for other in others if _meet(other, port)), None)
        if clash is None:
            others.append(port)
            continue
        where = f"in line {clash.tree.place.line}{f', on {clash.node}' if clash.node else ''}"
        problems.at(
            port.tree, f"port {port.number}/{port.protocol} is published by {clash.service} as well, {where}"
        )


def _meet(first: _Published, second: _Published) -> bool:
    """Whether two ports of one number want the same node. An ingress port is open on every node."""
    if "ingress" in (first.mode, second.mode) or first.service == second.service:
        return True
    if first.node and second.node:
        return first.node == second.node
    return not (first.constrained or second.constrained)


def _too_few_nodes(topology: Topology, published: Sequence[_Published], problems: Problems) -> None:
    if problems.below("cluster.nodes"):
        return
    nodes = len(topology.cluster.nodes.names)
    for port in published:
        deploy = topology.services[port.service].effective_deploy
        scheduled = port.mode == "host" and not port.node and deploy.mode == "replicated"
        if scheduled and deploy.replicas > nodes:
            message = (
                f"{deploy.replicas} replicas publish port {port.number} in mode host on {nodes} nodes: "
                "a node can hold one of them"
            )
            problems.at(port.tree, message)
