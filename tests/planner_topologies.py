"""Topologies and choices for tests of the planner and of the orchestrators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from harness import drivers, stores
from harness.model.plan import Demand, Plan
from harness.model.topology import Topology
from harness.orchestrators.kubernetes import KubernetesRendering
from harness.orchestrators.swarm import SwarmRendering
from harness.planner import Choice, plan, problems

CHOICE = Choice(SwarmRendering(), drivers.REGISTRY, drivers.VOLUMES, stores.REGISTRY)
KUBERNETES = Choice(KubernetesRendering(), drivers.REGISTRY, drivers.VOLUMES, stores.REGISTRY)
ON_KIND = {"provider": "kind", "orchestrator": "kubernetes", "nodes": {"manager": 1, "worker": 2}}
FOREIGN = {
    "provider": "existing",
    "orchestrator": "kubernetes",
    "nodes": {"manager": 1, "worker": 2},
    "kubeconfig": "/etc/theirs",
    "context": "prod",
}
IMAGE = "harness/workload:test"
RUN = "r1"

#: The example of the format, as far as Swarm goes, with the control volume in place of a store.
EXAMPLE = """
name: overlay
cluster: {nodes: {manager: 1, worker: 2}, heartbeat_s: 2}
networks:
  app: {driver: overlay, attachable: true, ipam: {config: [{subnet: 10.60.0.0/16}]}}
volumes:
  shared: {driver: local, driver_opts: {type: none, o: bind, device: /harness/shared}}
services:
  web:
    deploy: {mode: replicated, replicas: 3}
    networks: {app: {aliases: [www]}}
    volumes: [{type: volume, source: shared, target: /data}]
  edge: {deploy: {mode: global}, networks: [app], ports: [{target: 5000, published: 8000, mode: host}]}
  probe: {node: n1, networks: [app]}
  bare: {node: n2, network_mode: host}
"""


def topology(text: str = EXAMPLE, **changes: Any) -> Topology:
    return Topology.model_validate({**yaml.safe_load(text), **changes})


def planned(text: str = EXAMPLE, *, wire_mtu: int = 1500, demands: Sequence[Demand] = (), **changes: Any) -> Plan:
    made = topology(text, **changes)
    return plan(made, CHOICE, run=RUN, seed=7, workload_image=IMAGE, wire_mtu=wire_mtu, demands=demands)


def planned_on_kubernetes(text: str = EXAMPLE, **changes: Any) -> Plan:
    made = topology(text, **{"cluster": ON_KIND, **changes})
    return plan(made, KUBERNETES, run=RUN, seed=7, workload_image=IMAGE)


def problem_keys(text: str, *, wire_mtu: int = 1500) -> list[str]:
    return [key for key, _ in problems(topology(text), CHOICE, wire_mtu=wire_mtu)]


def stack_of(made: Plan) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(made.document("stack.yaml").text)
    return document
