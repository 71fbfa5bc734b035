"""What `networks` mean where all pods are on one: NetworkPolicy objects. Pure.

A pod takes what comes from pods that share a network with it, and what comes to its published ports. One with
internal networks only reaches nothing but those pods, and the cluster's DNS. Decision 018 says why.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

from harness.model.plan import LABEL, Plan
from harness.model.topology import Topology
from harness.orchestrators.kubernetes import names

Object = dict[str, Any]
#: Of the cluster's DNS, whichever program it is.
DNS = {"namespaceSelector": {}, "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}


def is_needed(topology: Topology) -> bool:
    """Whether a network keeps anything apart: two services share none, or one leads nowhere else."""
    networked = [service for service in topology.services.values() if service.networks]
    apart = any(not set(one.networks) & set(other.networks) for one, other in combinations(networked, 2))
    return apart or any(network.internal for network in topology.networks.values())


def has_policies(topology: Topology) -> bool:
    return bool(topology.policies) or is_needed(topology)


def policies(plan: Plan) -> Iterator[Object]:
    """Those that keep networks apart, and the topology's own."""
    yield from _between_networks(plan) if is_needed(plan.topology) else ()
    for policy in plan.topology.policies:
        made = policy.as_object()
        own = made["metadata"]
        space = names.namespace(plan, policy.metadata.namespace)
        labels = {**own.get("labels", {}), LABEL: plan.run}
        yield {**made, "metadata": {**own, "namespace": space, "labels": labels}}


def _between_networks(plan: Plan) -> Iterator[Object]:
    for network, spec in plan.topology.networks.items():
        members = _networked(network)
        yield _policy(plan, f"network-{network}", members, "Ingress", [{"from": [{"podSelector": members}]}])
        if spec.internal:
            shut = {"matchLabels": {**members["matchLabels"], names.INTERNAL_LABEL: names.YES}}
            to = [{"to": [{"podSelector": members}]}, {"to": [DNS], "ports": _dns_ports()}]
            yield _policy(plan, f"internal-{network}", shut, "Egress", to)
    for name, service in plan.topology.services.items():
        if service.ports and service.networks and not names.is_internal(plan.topology, service):
            ports = [{"port": port.target, "protocol": port.protocol.upper()} for port in service.ports]
            own = {"matchLabels": {names.SERVICE_LABEL: name}}
            yield _policy(plan, f"ports-{name}", own, "Ingress", [{"ports": ports}])


def _networked(network: str) -> Object:
    return {"matchLabels": {f"{names.NETWORK_PREFIX}{network}": names.YES}}


def _dns_ports() -> list[Object]:
    return [{"port": 53, "protocol": protocol} for protocol in ("UDP", "TCP")]


def _policy(plan: Plan, name: str, selector: Object, direction: str, rules: list[Object]) -> Object:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": names.metadata(plan, name),
        "spec": {"podSelector": selector, "policyTypes": [direction], direction.lower(): rules},
    }
