"""kind's configuration of a cluster, from the plan alone. Pure."""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Iterator
from typing import Any

import yaml

from harness.model.places import SHARED_DIR
from harness.model.plan import Plan

API = "kind.x-k8s.io/v1alpha4"
POD_SUBNETS = ("10.244.0.0/16", "10.245.0.0/16", "10.246.0.0/16", "172.29.0.0/16")
SERVICE_SUBNETS = ("10.96.0.0/16", "10.97.0.0/16", "10.98.0.0/16", "172.30.0.0/16")
#: Kubernetes' own range of node ports; one that the topology publishes may lie outside.
NODE_PORTS = (30000, 32767)
#: Room for pods on a node: kubeadm's own, and the least that is of use.
NODE_PREFIX, LONGEST_NODE_PREFIX = 24, 27
#: A kubelet looks every 10 s whether its node has become Ready; here it looks sooner. What has not changed it
#: reports as rarely as before: a node's heartbeats are its leases.
KUBELET_PATCH = {
    "kind": "KubeletConfiguration",
    "nodeStatusUpdateFrequency": "2s",
    "nodeStatusReportFrequency": "5m0s",
}
#: Of one control plane only: the first question comes before the API server knows who may ask it.
ELECTION = {"leader-elect-retry-period": "1s"}


def render(plan: Plan, *, wire: str, shared: str) -> str:
    """The configuration as YAML. `wire` is the nodes' own subnet; `shared` a directory on the engine's machine,
    which every node mounts at SHARED_DIR.
    """
    pods, services = subnets(plan, wire)
    document = {
        "kind": "Cluster",
        "apiVersion": API,
        "networking": {
            "podSubnet": pods,
            "serviceSubnet": services,
            "disableDefaultCNI": plan.topology.cluster.cni is not None,
            "kubeProxyMode": "iptables",
        },
        "kubeadmConfigPatches": [_text(_cluster_patch(plan, pods)), _text(KUBELET_PATCH)],
        "nodes": [_node(node.name, node.role == "manager", shared) for node in plan.nodes],
    }
    return yaml.dump(document, Dumper=_Blocks, sort_keys=False)


def subnets(plan: Plan, wire: str) -> tuple[str, str]:
    """Of pods and of services. Pods get the subnet that the topology gives its overlay, where that has room for
    all nodes; else one that overlaps nothing of the topology's. Where a user brings the network for pods that is
    10.244.0.0/16 at first, which manifests of flannel's say.
    """
    asked = [ipaddress.ip_network(text) for text in _topology_subnets(plan)]
    taken = [ipaddress.ip_network(wire), *asked]
    wanted = () if plan.topology.cluster.cni else _overlay_subnets(plan)
    own = next((text for text in wanted if _node_prefix(plan, text) <= LONGEST_NODE_PREFIX), None)
    pods = own or _free(POD_SUBNETS, taken)
    services = _free(SERVICE_SUBNETS, [*taken, ipaddress.ip_network(pods)])
    return pods, services


def node_ports(plan: Plan) -> tuple[int, int]:
    """Kubernetes' range, widened to every port that a service publishes."""
    published = [
        int(port["published"]) for target in plan.targets for port in target.ports if port.get("published")
    ]
    return min([NODE_PORTS[0], *published]), max([NODE_PORTS[1], *published])


def _topology_subnets(plan: Plan) -> Iterator[str]:
    for network in plan.topology.networks.values():
        yield from (subnet for subnet in network.subnets if ":" not in subnet)


def _overlay_subnets(plan: Plan) -> Iterator[str]:
    for network in plan.topology.networks.values():
        if network.driver == "overlay":
            yield from (subnet for subnet in network.subnets if ":" not in subnet)


def _node_prefix(plan: Plan, pods: str) -> int:
    """How long the prefix of a node's part of the pods' subnet is."""
    return max(NODE_PREFIX, ipaddress.ip_network(pods).prefixlen + math.ceil(math.log2(len(plan.nodes) + 1)))


def _free(candidates: tuple[str, ...], taken: list[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> str:
    """The first that overlaps nothing; the last one where all do, which kubeadm will say more about."""
    free = (text for text in candidates if not any(ipaddress.ip_network(text).overlaps(other) for other in taken))
    return next(free, candidates[-1])


def _cluster_patch(plan: Plan, pods: str) -> dict[str, Any]:
    low, high = node_ports(plan)
    mask = {"node-cidr-mask-size": str(_node_prefix(plan, pods))}
    return {
        "kind": "ClusterConfiguration",
        "apiServer": {"extraArgs": {"service-node-port-range": f"{low}-{high}"}},
        "controllerManager": {"extraArgs": {**mask, **ELECTION}},
        "scheduler": {"extraArgs": dict(ELECTION)},
    }


def _node(name: str, is_manager: bool, shared: str) -> dict[str, Any]:
    """Kubernetes calls nodes as the topology does, and services may run on all of them, as with Swarm."""
    kind = "InitConfiguration" if is_manager else "JoinConfiguration"
    patch = {"kind": kind, "nodeRegistration": {"name": name, "taints": []}}
    return {
        "role": "control-plane" if is_manager else "worker",
        "extraMounts": [{"hostPath": shared, "containerPath": SHARED_DIR}],
        "kubeadmConfigPatches": [_text(patch)],
    }


class _Blocks(yaml.SafeDumper):
    """Texts of several lines stand as they are: people read this file when a cluster does not come up."""


def _block(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Blocks.add_representer(str, _block)


def _text(document: dict[str, Any]) -> str:
    return yaml.safe_dump(document, sort_keys=False)
