"""Judges reads and writes of cells by processes on several hosts: a read after a write sees it, or what came
later.

Each cell must behave as a register that is linearizable; `_zones` holds the algorithm. What is broken is told by
the four operations that no order fits.
"""

from __future__ import annotations

from typing import Any

from harness.checkers._cells import Cells, read_cells, staleness, verdict_of
from harness.checkers._volumes import Measured
from harness.checkers._zones import Cycle, Findings, examine
from harness.model.history import History
from harness.model.plan import Plan
from harness.model.topology import Check
from harness.model.verdict import Verdict

PROMISE = "read-after-write"


def check(history: History, plan: Plan, check: Check) -> Verdict:
    """Params used: `volume`, `workers_per_node`. Rows used: put get reserve mount nonce."""
    cells = read_cells(history, check.params["volume"], ("put", "get"))
    found = examine(cells.registers)
    kept = _measured(cells, found)
    return verdict_of(cells, PROMISE, kept, _figures(found), history, plan, check)


def _measured(cells: Cells, found: Findings) -> Measured:
    """Breaches are reads: phantoms, early ones, stale ones; at least one where values contradict each other."""
    wrong = set(found.phantoms.tolist()) | set(found.early.tolist()) | set(found.stale.tolist())
    count = max(len(wrong), 1 if found.contradictions else 0)
    return Measured(count, cells.reads, witness_of(cells, found) if count else "")


def witness_of(cells: Cells, found: Findings) -> str:
    if len(found.phantoms):
        row = int(found.phantoms[0])
        return f"{cells.operation(row)} brought from {cells.cell(row)} what nobody wrote there"
    if len(found.early):
        row = int(found.early[0])
        write = int(cells.registers.source[row])
        return f"{cells.operation(row)} had ended when {cells.operation(write)} began: {cells.cell(row)}"
    return _told(cells, found.cycle) if found.cycle else ""


def _told(cells: Cells, cycle: Cycle) -> str:
    """The four operations, as two reasons that contradict each other."""
    first_v, last_w, first_w, last_v = (
        cells.operation(row) if row is not None else "the state at the start" for row in cycle
    )
    row = next(row for row in reversed(cycle) if row is not None)
    return (
        f"no order fits {cells.cell(row)}: {first_v} had ended when {last_w} began, "
        f"and {first_w} had ended when {last_v} began"
    )


def _figures(found: Findings) -> dict[str, Any]:
    return {
        **staleness(found.stale_ns),
        "phantoms": len(found.phantoms),
        "early": len(found.early),
        "contradictions": found.contradictions,
    }
