"""Measurements between nodes: on each network, and on the wire itself as the baseline."""

from __future__ import annotations

import random

from harness.model.errors import UsageError
from harness.model.plan import Plan
from harness.model.topology import Check
from harness.ports import Scene
from harness.workloads._places import Peer, across_nodes, between_nodes, live_networks


def chosen_networks(network: str | None, check: Check, plan: Plan, scene: Scene) -> list[str]:
    """The one that is named, or all that have containers. Raises UsageError for one without containers."""
    live = live_networks(scene, plan)
    if network is None:
        return live
    if network not in live:
        raise UsageError(f"check {check.id}: no running container is on network {network!r}")
    return [network]


def measured_pairs(
    network: str | None, check: Check, plan: Plan, scene: Scene, *, rng: random.Random, limit: int
) -> list[list[Peer]]:
    """Pairs of nodes by network, the wire first; networks that stay on one node are left out."""
    groups = [between_nodes(scene, limit)]
    for name in chosen_networks(network, check, plan, scene):
        groups.append(across_nodes(scene, name, rng, limit))
    if not any(groups[1:]):
        raise UsageError(
            f"check {check.id}: no network has containers on two nodes, so there is nothing to compare"
        )
    return [group for group in groups if group]
