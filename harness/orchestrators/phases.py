"""Execution of a plan's steps: phase by phase, in a phase node by node at once."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from harness.model.plan import Plan, Step
from harness.orchestrators.hosts import each
from harness.ports import Cluster, Host, Progress

Execute = Callable[[Host, Plan, Step], None]


def execute(cluster: Cluster, plan: Plan, steps: Sequence[Step], how: Execute, progress: Progress) -> None:
    """All steps of a phase end before the next one begins. Raises what `how` raises."""
    for phase, group in itertools.groupby(steps, key=lambda step: step.phase):
        mine = list(group)
        progress(f"{phase}: {len(mine)} step{'s' if len(mine) > 1 else ''}")
        by_node = {name: [step for step in mine if step.node == name] for name in cluster.hosts}
        each(
            [cluster.hosts[name] for name, own in by_node.items() if own],
            lambda host, by_node=by_node: _in_turn(host, plan, by_node[host.name], how),  # type: ignore[misc]
        )


def _in_turn(host: Host, plan: Plan, steps: Sequence[Step], how: Execute) -> None:
    for step in steps:
        how(host, plan, step)
