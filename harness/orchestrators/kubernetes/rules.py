"""What Kubernetes cannot express, found before anything is changed; and what is worth a note."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence

from harness.model.plan import Demand, NodePlan
from harness.model.topology import Service, Topology
from harness.orchestrators import constraints
from harness.orchestrators.kubernetes import names

Problem = tuple[str, str]
#: A Service's name: RFC 1035, as core/v1 wants it.
_LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_USER = re.compile(r"\d+(:\d+)?")
STATIC = ("ipv4_address", "ipv6_address")


def demands(topology: Topology) -> list[Demand]:  # noqa: ARG001 - what a cluster lacks, its pods say
    return []


def problems(topology: Topology, nodes: Sequence[NodePlan]) -> list[Problem]:
    found = [
        (f"services.{name}.{key}".rstrip("."), message)
        for name, service in topology.services.items()
        for key, message in _service(name, service, nodes)
    ]
    attached = _attached(topology, len(nodes))
    foreign = _foreign(topology) if topology.cluster.is_foreign_kubernetes else ()
    rest = [*_ambiguous(topology), *_modes(topology), *_policies(topology)]
    return [*found, *attached, *rest, *foreign]


def notes(topology: Topology) -> list[str]:
    return [*_cluster_notes(topology), *_service_notes(topology)]


def _cluster_notes(topology: Topology) -> Iterator[str]:
    if topology.cluster.heartbeat_s:
        yield "heartbeat_s is Swarm's: the cluster's own periods stay; a silent node is noticed after 40 s"
    for name, network in topology.networks.items():
        unused = ["attachable"] if network.attachable else []
        unused += sorted(key for key in network.driver_opts if key.startswith("com.docker."))
        if unused:
            yield f"network {name}: without a meaning here, since Docker's: {', '.join(unused)}"
    if topology.cluster.is_foreign_kubernetes:
        yield from _foreign_notes(topology)
    clusters = [name for name in topology.networks if not names.is_attached(topology, name)]
    with_subnets = [name for name in clusters if topology.networks[name].subnets]
    ours = topology.cluster.provider == "kind" and topology.cluster.cni is None
    for name in with_subnets[1:] if ours else with_subnets:
        yield f"network {name}: its subnet is not used, since all pods of a cluster are in one"


def _foreign_notes(topology: Topology) -> Iterator[str]:
    for name, volume in topology.volumes.items():
        if volume.driver != "claim":
            yield f"volume {name}: the nodes are not ours, so each pod has an empty directory in its place"
    if any(port.published and port.mode == "ingress" for s in topology.services.values() for port in s.ports):
        yield "ports in ingress mode: the cluster allocates them, whatever is written"


def _service_notes(topology: Topology) -> Iterator[str]:
    for name, service in topology.services.items():
        if not service.networks and service.network_mode is None and not topology.policies:
            yield f"service {name} names no network: its pods are on the cluster's, and nothing keeps them apart"
        if service.node and any(port.mode == "ingress" for port in service.ports):
            yield f"service {name} is a plain container: its ports are published on {service.node} only"
        if service.ports and names.is_internal(topology, service):
            yield f"service {name} is on internal networks only: its ports are not published"


def _service(name: str, service: Service, nodes: Sequence[NodePlan]) -> Iterator[Problem]:
    yield from _names(name, service)
    if service.network_mode in ("none", "bridge"):
        yield "network_mode", f"Kubernetes has no network_mode {service.network_mode}; leave it out, or host"
    if service.network_mode == "host" and service.ports:
        yield "ports", "nothing is published with network_mode host"
    if service.user and not _USER.fullmatch(service.user):
        yield "user", f"Kubernetes takes numbers (1000 or 1000:1000), not {service.user!r}"
    for network, attachment in service.networks.items():
        for key in STATIC:
            if getattr(attachment, key):
                yield f"networks.{network}.{key}", "pods have no static addresses: the CNI gives them"
    if service.namespace and service.networks:
        yield "namespace", "names of a network do not lead into other namespaces: leave `networks` out, or this"
    yield from constraints.mounts(service)
    if not service.node:
        yield from constraints.problems(service, nodes)


def _names(name: str, service: Service) -> Iterator[Problem]:
    if service.is_stable and service.effective_deploy.endpoint_mode == "vip":
        yield "hostname", "names of single pods need a headless Service: leave endpoint_mode out, or say dnsrr"
    if not _LABEL.fullmatch(name):
        yield "", f"{name!r} is no name of Kubernetes: lower case, digits and -, not at its end (RFC 1035)"
    for network, attachment in service.networks.items():
        for index, alias in enumerate(attachment.aliases):
            if not _LABEL.fullmatch(alias) or len(alias) > 63:
                message = f"{alias!r} is no name of a Service: lower case, digits and - (RFC 1035)"
                yield f"networks.{network}.aliases.{index}", message


def _attached(topology: Topology, nodes: int) -> Iterator[Problem]:
    """Networks beside the cluster's: their nodes share the addresses, and no name leads to one."""
    for name, network in topology.networks.items():
        if names.is_attached(topology, name):
            yield from constraints.slices(name, network, nodes)
    for service, spec in topology.services.items():
        for name, attachment in spec.networks.items():
            if attachment.aliases and name in topology.networks and names.is_attached(topology, name):
                key = f"services.{service}.networks.{name}.aliases"
                yield key, "names lead to pods' addresses on the cluster's network; on this one there are none"


def _foreign(topology: Topology) -> Iterator[Problem]:
    """All is in one namespace of a cluster that is not ours, and its nodes have no directories for us. Nor do they
    share out addresses: pods of one template would all ask for the same.
    """
    yield from _few_addresses(topology)
    for name, service in topology.services.items():
        for network in service.networks:
            if not service.node and network in topology.networks and names.is_attached(topology, network):
                message = "on a cluster that exists only plain containers (`node: n1`) have addresses on it"
                yield f"services.{name}.networks.{network}", message
        if service.namespace:
            yield f"services.{name}.namespace", "on a cluster that exists all is in one namespace: leave it out"
        for index, mount in enumerate(service.volumes):
            if mount.type == "bind":
                yield f"services.{name}.volumes.{index}", "a bind takes a directory of nodes that are not ours"


def _few_addresses(topology: Topology) -> Iterator[Problem]:
    """Each pod on a further network is given one: all but the first, the last and the gateway's."""
    for name, network in topology.networks.items():
        members = [spec for spec in topology.services.values() if name in spec.networks]
        for config in network.subnets_of(4)[:1] if names.is_attached(topology, name) else ():
            room = ipaddress.ip_network(config.ip_range or config.subnet or "").num_addresses - 3
            if len(members) > room:
                yield f"networks.{name}.ipam", f"it has room for {max(room, 0)} of its {len(members)} containers"


def _ambiguous(topology: Topology) -> Iterator[Problem]:
    """A name means the same everywhere in a namespace, so it must mean the same on each of its networks."""
    named = [network for network in topology.networks if not names.is_attached(topology, network)]
    for service, spec in topology.services.items():
        for network in names.resolving(topology, spec):
            attachment = spec.networks[network]
            for index, name in enumerate((service, *attachment.aliases)):
                here = names.carriers(topology, network, name)
                for other in named:
                    there = names.carriers(topology, other, name)
                    if there and there != here:
                        key = f"services.{service}.networks.{network}" + (f".aliases.{index - 1}" if index else "")
                        message = (
                            f"{name!r} means {names.joined(here)} on {network}, {names.joined(there)} on {other}; "
                            "on Kubernetes a name means the same for all: choose two"
                        )
                        yield key, message


def _modes(topology: Topology) -> Iterator[Problem]:
    """A name is a virtual IP or its pods' addresses."""
    for service, spec in topology.services.items():
        for network, attachment in spec.networks.items():
            for index, alias in enumerate(attachment.aliases):
                carried = names.carriers(topology, network, alias)
                modes = {topology.services[name].effective_deploy.endpoint_mode for name in carried}
                if len(modes) > 1:
                    key = f"services.{service}.networks.{network}.aliases.{index}"
                    yield key, f"{alias!r} is shared by services of endpoint_mode vip and dnsrr: choose one"


def _policies(topology: Topology) -> Iterator[Problem]:
    spaces = {names.DEFAULT_NAMESPACE, *(s.namespace for s in topology.services.values() if s.namespace)}
    seen: set[tuple[str, str]] = set()
    for index, policy in enumerate(topology.policies):
        space = policy.metadata.namespace or names.DEFAULT_NAMESPACE
        if space not in spaces:
            key = f"policies.{index}.metadata.namespace"
            yield key, f"no service is in a namespace {space!r}; there is {names.joined(spaces)}"
        if (space, policy.metadata.name) in seen:
            yield f"policies.{index}.metadata.name", f"two policies of namespace {space} are called so"
        seen.add((space, policy.metadata.name))
