"""Stores in a cluster's life: up before the orchestrator, gone with it or before the next topology."""

from __future__ import annotations

from functools import partial

from harness import stores
from harness.model.plan import Plan
from harness.ports import Cluster, Progress
from harness.transport.parallel import at_once


def up(plan: Plan, cluster: Cluster, progress: Progress) -> None:
    """All stores of `plan` at once, mounted on all nodes; those that exist last, since what serves them may be one
    that does not yet.
    """
    for exists in (False, True):
        mine = [store.name for store in plan.stores if bool(store.address) == exists]
        at_once([partial(_up, plan, cluster, name, progress) for name in mine])


def _up(plan: Plan, cluster: Cluster, store: str, progress: Progress) -> None:
    mine = plan.store(store)
    progress(f"store {store}: {mine.kind} on {mine.served_by}")
    stores.REGISTRY[mine.kind].up(cluster, plan, store, progress)


def down(plan: Plan, cluster: Cluster) -> None:
    """Remove the stores of `plan`, with their data; the cluster stays."""
    for store in plan.stores:
        stores.REGISTRY[store.kind].down(cluster, store.name)


def clear(cluster: Cluster) -> list[str]:
    """Remove whatever stores the nodes have, whoever left them. Returns their names."""
    return stores.clear(cluster)
