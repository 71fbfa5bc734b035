"""The nodes of a topology: n1..nN, managers first."""

from __future__ import annotations

from harness.model.plan import NodePlan
from harness.model.topology import Topology


def node_plans(topology: Topology) -> tuple[NodePlan, ...]:
    wanted = topology.cluster.nodes
    return tuple(
        NodePlan(name, "manager" if index < wanted.manager else "worker")
        for index, name in enumerate(wanted.names)
    )
