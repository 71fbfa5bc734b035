"""What of a check a live cluster cannot carry: it is skipped by the name of what is missing, and never passes."""

from __future__ import annotations

from collections.abc import Iterator

from harness import faults, features, workloads
from harness.model.topology import Check
from harness.model.verdict import Skip
from harness.session.clusters import Live


def skipped(live: Live, check: Check) -> list[Skip]:
    """What of `check` cannot run on this cluster: features that hosts lack, rights that a fault needs."""
    skips = features.skips(live.unmet, check.id)
    if workloads.REGISTRY[check.kind].asks_services:
        asked = {f"service {name}" for name in check.params.get("services") or live.plan.topology.services}
        skips += [
            Skip(check.id, f"{demand.part} of {demand.wanted_by}", what)
            for demand, what in live.unmet
            if demand.part and demand.wanted_by in asked
        ]
    for fault in check.faults:
        lacking = faults.REGISTRY[fault.fault].rights - live.cluster.rights
        skips += [Skip(check.id, "", f"right {right} (fault {fault.fault})") for right in sorted(lacking)]
    return skips + list(_without_shell(live, check))


def _without_shell(live: Live, check: Check) -> Iterator[Skip]:
    """What of `check` cannot run where hosts give no shell, or not even a pod may stand in their network."""
    if "shell" in live.cluster.rights:
        return
    workload = workloads.REGISTRY[check.kind]
    if workload.on_nodes:
        yield Skip(check.id, "", f"right shell (check {check.kind})")
    volume = live.plan.topology.volumes.get(check.params.get("volume", ""))
    if volume is not None and volume.driver != "claim":
        yield Skip(check.id, "", f"right shell (volume {check.params['volume']}, {volume.driver})")
    if not live.cluster.in_nodes and workload.node_part is not None:
        yield Skip(check.id, workload.node_part, "pods in the nodes' network (hostNetwork)")
