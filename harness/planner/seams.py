"""What the planner is handed: the drivers, and how an orchestrator writes services down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from harness.model.plan import Demand, NodePlan, Plan
from harness.model.topology import Service, Topology
from harness.ports import Declared, NetworkDriver, Store, VolumeDriver


class Rendering(Protocol):
    """Services in an orchestrator's words. Pure."""

    def demands(self, topology: Topology) -> list[Demand]: ...

    def problems(self, topology: Topology, nodes: Sequence[NodePlan]) -> list[tuple[str, str]]:
        """What changes the experiment and cannot be expressed: (dotted key, message)."""

    def notes(self, topology: Topology) -> list[str]:
        """What has no meaning here, or means something else than a reader may think."""

    def eligible(self, service: Service, nodes: Sequence[NodePlan]) -> list[str]:
        """The nodes on which a scheduled service may run."""

    def tasks_name(self, service: str) -> str:
        """The name that means a scheduled service's containers exactly, beside its own; empty: none."""

    def declare(
        self, plan: Plan, networks: Mapping[str, Declared], volumes: Mapping[str, Declared], image: str
    ) -> Declared:
        """Steps, undo steps (in the order in which they are executed) and documents of all services."""


@dataclass(frozen=True)
class Choice:
    """One orchestrator: its rendering, the drivers by (orchestrator, driver), and stores by kind."""

    rendering: Rendering
    networks: Mapping[tuple[str, str], NetworkDriver]
    volumes: Mapping[tuple[str, str], VolumeDriver]
    stores: Mapping[str, Store] = field(default_factory=dict)

    def network(self, topology: Topology, name: str) -> NetworkDriver | None:
        key = (topology.cluster.orchestrator, topology.networks[name].driver)
        return self.networks.get(key)

    def volume(self, topology: Topology, name: str) -> VolumeDriver | None:
        key = (topology.cluster.orchestrator, topology.volumes[name].driver)
        return self.volumes.get(key)

    def store(self, topology: Topology, name: str) -> Store | None:
        return self.stores.get(topology.stores[name].kind)
