"""Macvlan on Kubernetes: a NetworkAttachmentDefinition in Multus's form, by the reference plugins.

The definition has no configuration of its own: each node has one called so, with its aligned part of the
addresses, since the nodes' IPAM (host-local) do not know of each other. Multus looks for it in
/etc/cni/multus/net.d, as the Network Plumbing Working Group's standard says of a definition without `spec.config`.

Nodes of a cluster that exists are not written to: there the definition holds the configuration, and each pod that
stands by itself asks for an address of its own (IPAM `static`, the standard's `ips`).
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterator
from typing import Any

import yaml

from harness.drivers.swarm_macvlan import Macvlan as SwarmMacvlan
from harness.drivers.swarm_macvlan import own_ranges, parent_checks
from harness.model.plan import LABEL, Demand, Document, NetworkPlan, Plan, Step
from harness.model.topology import IpamConfig, Network
from harness.ports import Declared, NetworkDriver

APPLY_TIMEOUT_S = 60.0
FILE_TIMEOUT_S = 15.0
KUBECTL = ("kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf")
#: Where Multus looks for configurations of definitions without one.
CONFIGS = "/etc/cni/multus/net.d"
#: As kubectl names Multus's resource.
RESOURCE = "network-attachment-definitions.k8s.cni.cncf.io"
#: Of the specification that added CHECK, and that 1.20's runtimes speak.
CNI_VERSION = "0.4.0"
#: host-local's leases end with the node, as its pods' networks do.
LEASES = "/run/cni-ipam-state"
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_WRITE = 'mkdir -p "$1" && cat >"$1/.$2.new" && mv "$1/.$2.new" "$1/$2.conf"'


class Macvlan(SwarmMacvlan):
    """`driver: macvlan` on Kubernetes."""

    def demands(self, name: str, network: Network) -> list[Demand]:
        wanted_by = f"network {name}"
        plugins = [Demand(f"cni:{plugin}", wanted_by) for plugin in ("macvlan", "host-local")]
        return [*super().demands(name, network), *plugins]

    def problems(self, name: str, network: Network) -> list[tuple[str, str]]:
        return [*super().problems(name, network), *_problems(name, network)]

    def plan(self, name: str, network: Network, wire_mtu: int) -> NetworkPlan:
        """Names mean pods' addresses on the cluster's network, never those on this one."""
        planned = super().plan(name, network.model_copy(update={"scope": "local"}), wire_mtu)
        assert not planned.resolves_names
        return planned

    def declare(self, name: str, network: Network, plan: Plan) -> Declared:
        """`stack` says what pods call it, and on a cluster that exists what each service asks for."""
        if plan.topology.cluster.is_foreign_kubernetes:
            return self._declare_by_api(name, network, plan)
        made, nodes = plan.engine_name(name), [node.name for node in plan.nodes]
        configs = [
            Document(f"{name}-{node}.conf", _config(network, plan, made, node, self.mode(network)))
            for node in nodes
        ]
        definition = Document(f"network-{name}.yaml", _definition(plan, made))
        write = [
            Step(
                "networks",
                f"configure network {name}",
                node,
                ("sh", "-c", _WRITE, "sh", CONFIGS, made),
                FILE_TIMEOUT_S,
                config.name,
            )
            for node, config in zip(nodes, configs, strict=True)
        ]
        apply = (*KUBECTL, "apply", "-f", "-")
        define = Step(
            "network definitions",
            f"define network {name}",
            plan.managers[0],
            apply,
            APPLY_TIMEOUT_S,
            definition.name,
        )
        forget = ("rm", "-f", f"{CONFIGS}/{made}.conf")
        undo = [
            Step("remove networks", f"remove what configures {name}", node, forget, FILE_TIMEOUT_S)
            for node in nodes
        ]
        return Declared(
            steps=(*parent_checks(name, network.parent, nodes), *write, define),
            undo=tuple(undo),
            documents=(definition, *configs),
            stack={"name": made},
        )

    def _declare_by_api(self, name: str, network: Network, plan: Plan) -> Declared:
        made, kubectl = plan.engine_name(name), plan.topology.cluster.kubectl
        plugin = {"type": "macvlan", "master": network.parent, "mode": self.mode(network)}
        given = {"capabilities": {"ips": True}, "ipam": {"type": "static"}}
        config = json.dumps({"cniVersion": CNI_VERSION, "name": made, **plugin, **given})
        definition = Document(f"network-{name}.yaml", yaml.safe_dump(_attachment(plan, made, {"config": config})))
        apply = (*kubectl, "apply", "-f", "-")
        gone = (*kubectl, "--namespace", plan.namespace, "delete", RESOURCE, made, "--ignore-not-found")
        phase, title, at = "network definitions", f"define network {name}", plan.managers[0]
        return Declared(
            steps=(Step(phase, title, at, apply, APPLY_TIMEOUT_S, definition.name),),
            undo=(Step("remove networks", f"remove network {name}", at, gone, APPLY_TIMEOUT_S),),
            documents=(definition,),
            stack={"name": made, "ips": _addresses(name, network, plan)},
        )


def _addresses(name: str, network: Network, plan: Plan) -> dict[str, list[str]]:
    """One of each family for each service on the network, in the topology's order: `10.70.0.2/24`."""
    members = [service for service, spec in plan.topology.services.items() if name in spec.networks]
    firsts = [next(iter(network.subnets_of(family)), None) for family in (4, 6)]
    columns = [_free(config) for config in firsts if config is not None]
    return {service: [next(column) for column in columns] for service in members}


def _free(config: IpamConfig) -> Iterator[str]:
    """All but the gateway's, which is the first one where nothing is said, with the subnet's length."""
    subnet = ipaddress.ip_network(config.subnet or "")
    gateway = ipaddress.ip_address(config.gateway) if config.gateway else subnet[1]
    for address in ipaddress.ip_network(config.ip_range or subnet).hosts():
        if address != gateway:
            yield f"{address}/{subnet.prefixlen}"


def _attachment(plan: Plan, made: str, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": made, "namespace": plan.namespace, "labels": {LABEL: plan.run}}
    kind = "NetworkAttachmentDefinition"
    return {
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": kind,
        "metadata": metadata,
        **({"spec": spec} if spec else {}),
    }


def _definition(plan: Plan, made: str) -> str:
    """In the namespace, which is called as the cluster; it goes with it."""
    labels = {LABEL: plan.run}
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": plan.cluster, "labels": labels}}
    return yaml.safe_dump_all([space, _attachment(plan, made, {})])


def _config(network: Network, plan: Plan, made: str, node: str, mode: str) -> str:
    ranges = [[_range(config)] for config in own_ranges(network, plan, node)]
    ipam = {"type": "host-local", "dataDir": LEASES, "ranges": ranges}
    plugin = {"type": "macvlan", "master": network.parent, "mode": mode, "ipam": ipam}
    return json.dumps({"cniVersion": CNI_VERSION, "name": made, **plugin}, indent=2) + "\n"


def _range(config: IpamConfig) -> dict[str, Any]:
    """host-local keeps the gateway free, by default the first address; a subnet's first and last address are not
    to be given either.
    """
    subnet = ipaddress.ip_network(config.subnet or "")
    part = ipaddress.ip_network(config.ip_range or subnet)
    first = part[1] if part[0] == subnet[0] else part[0]
    last = part[-2] if part[-1] == subnet[-1] else part[-1]
    gateway = {"gateway": config.gateway} if config.gateway else {}
    return {"subnet": str(subnet), "rangeStart": str(first), "rangeEnd": str(last), **gateway}


def _problems(name: str, network: Network) -> Iterator[tuple[str, str]]:
    if not _NAME.fullmatch(name):
        yield "", f"{name!r} is no name of a NetworkAttachmentDefinition: lower case, digits and - (RFC 1123)"
    for index, config in enumerate(network.ipam.config):
        if config in network.subnets_of(4)[1:]:
            yield f"ipam.config.{index}.subnet", "one IPv4 subnet a network: pods would have an address of each"


NETWORKS: dict[tuple[str, str], NetworkDriver] = {("kubernetes", "macvlan"): Macvlan()}
