"""Which nodes a fault strikes."""

from __future__ import annotations

import random
from collections.abc import Callable

from harness.faults.partition import cuts
from harness.model.errors import UsageError
from harness.model.plan import Plan
from harness.model.topology import Fault

#: Faults that strike nodes, or a daemon of a store.
OF_DAEMONS = frozenset({"kill", "pause"})
COUNTS: dict[str, Callable[[int], int]] = {
    "one": lambda _nodes: 1,
    "minority": lambda nodes: (nodes - 1) // 2,
    "majority": lambda nodes: nodes // 2 + 1,
    "all": lambda nodes: nodes,
}


def choose_targets(fault: Fault, plan: Plan, rng: random.Random) -> tuple[str, ...]:
    """Names of nodes in the plan's order, or the one daemon `STORE/DAEMON`; the same `rng` state gives the same.

    `target` is one, minority (fewer than half), majority (more than half), all, a role (every node that has it)
    or a node's name. Raises UsageError where that is no node, or where a partition would have one side only.
    """
    if "/" in fault.target and fault.fault not in OF_DAEMONS:
        raise UsageError(
            f"the fault {fault.fault!r} cannot have the target {fault.target!r}",
            hint="daemons of stores (`pool/osd`) are for: " + ", ".join(sorted(OF_DAEMONS)),
        )
    if "/" in fault.target:
        return (fault.target,)
    nodes = [node.name for node in plan.nodes]
    chosen = _chosen(fault.target, nodes, plan, rng)
    if not chosen:
        raise UsageError(
            f"the fault {fault.fault!r} has the target {fault.target!r}, which is no node of {len(nodes)}"
        )
    if fault.fault == "partition":
        cuts(nodes, [node for node in nodes if node in chosen], fault.params.get("form", "sides"), fault.direction)
    return tuple(node for node in nodes if node in chosen)


def _chosen(target: str, nodes: list[str], plan: Plan, rng: random.Random) -> set[str]:
    if target in COUNTS:
        return set(rng.sample(nodes, COUNTS[target](len(nodes))))
    if target in nodes:
        return {target}
    return {node.name for node in plan.nodes if node.role == target}
