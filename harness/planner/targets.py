"""Which containers a plan expects, and under which names they answer."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from harness.model.plan import NetworkPlan, NodePlan, Target
from harness.model.topology import Port, Service, Topology
from harness.planner.scopes import on_node
from harness.planner.seams import Rendering


def targets(
    topology: Topology, rendering: Rendering, nodes: Sequence[NodePlan], networks: Sequence[NetworkPlan]
) -> Iterator[Target]:
    """One target a service. `mounts` maps a volume of the topology to its path inside the container."""
    unlinked = {network.name for network in networks if not network.linked}
    for name, service in topology.services.items():
        deploy = service.effective_deploy
        yield Target(
            service=name,
            containers=_count(service, rendering, nodes),
            kind="plain" if service.node else deploy.mode,
            networks=_names(name, service, unlinked),
            node=service.node or "",
            host=service.network_mode == "host",
            ports=tuple(_port(port, service) for port in service.ports),
            endpoint_mode="dnsrr" if service.node else deploy.endpoint_mode,
            mounts=_mounts(topology, service),
            stable=service.is_stable,
            tasks="" if service.node else rendering.tasks_name(name),
        )


def _count(service: Service, rendering: Rendering, nodes: Sequence[NodePlan]) -> int:
    if service.node:
        return 1
    deploy = service.effective_deploy
    return len(rendering.eligible(service, nodes)) if deploy.mode == "global" else deploy.replicas


def _names(name: str, service: Service, unlinked: Collection[str]) -> Mapping[str, tuple[str, ...]]:
    return {
        on_node(network, service.node) if service.node and network in unlinked else network: tuple(
            dict.fromkeys((name, *attachment.aliases))
        )
        for network, attachment in service.networks.items()
    }


def _port(port: Port, service: Service) -> Mapping[str, Any]:
    """A plain container's ports are always those of its node."""
    return {**port.model_dump(), "mode": "host" if service.node else port.mode}


def _mounts(topology: Topology, service: Service) -> Mapping[str, str]:
    return {
        mount.source: mount.target
        for mount in service.volumes
        if mount.type == "volume" and mount.source in topology.volumes
    }
