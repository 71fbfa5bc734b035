"""What stores that exist have in common: each run makes a directory of its own in them, mounts that alone, and
removes it again. Another run's files are not its own, and nothing else of theirs is touched. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.model.plan import Plan, Step, StorePlan
from harness.model.topology import Topology
from harness.stores._scripted import each_node

MAKING = "mkdir -p -m 1777"
REMOVING = "rm -rf"


def misfits(topology: Topology, store: str, decided: Sequence[str]) -> Iterator[tuple[str, str]]:
    """`decided` are options that only a store of ours has."""
    spec = topology.stores[store]
    if spec.nodes:
        yield "nodes", "a server that exists is on none of the nodes: leave `nodes` out"
    for option in decided:
        if option in spec.options:
            yield f"options.{option}", "a store that exists has its own already: leave it out"


def aside_script(plan: Plan, store: StorePlan, attach: str, act: str) -> str:
    """Does `act` to the run's directory, in the whole store, which `attach` mounts at `$aside` for so long."""
    return f"""
set -eu
aside=$(mktemp -d)
trap 'cd /; umount "$aside" 2>/dev/null || umount -l "$aside" 2>/dev/null || true; rmdir "$aside"' EXIT
timeout -k 2 20 {attach} && cd "$aside" && timeout -k 2 20 {act} {plan.engine_name(store.name)}
"""


def making(plan: Plan, store: StorePlan, script: str) -> Iterator[Step]:
    """One node makes the directory by `script`."""
    argv = ["sh", "-c", script]
    phase, first = f"store {store.name}, directory", plan.nodes[0].name
    yield from each_node(plan, phase, "make the run's directory", argv, nodes=[first])


def leaving_script(plan: Plan, store: StorePlan, removing: str) -> str:
    """One node removes the directory by the script `removing`; where it fails, it is told, not fatal."""
    told = f"the directory {plan.engine_name(store.name)} of {store.address} could not be removed"
    return f"""
if [ "$(uname -n)" = {plan.nodes[0].name} ]; then
(
{removing.strip()}
) || echo "{told}" >&2
fi
"""
