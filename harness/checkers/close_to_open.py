"""Judges sessions on cells by processes on several hosts: who opens after a close reads what was closed.

`_sessions` holds the rule. Writes of sessions that overlap leave a choice, and reads within one session are not
judged here: that is what `register` is for.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from harness.checkers._cells import Cells, read_cells, staleness, verdict_of
from harness.checkers._sessions import Findings, examine
from harness.checkers._volumes import Measured
from harness.model.history import History
from harness.model.plan import Plan
from harness.model.topology import Check
from harness.model.verdict import Verdict

PROMISE = "close-to-open"


def check(history: History, plan: Plan, check: Check) -> Verdict:
    """Params used: `volume`, `workers_per_node`. Rows used: save load reserve mount nonce."""
    cells = read_cells(history, check.params["volume"], ("save", "load"))
    found = examine(cells.registers)
    kept = _measured(cells, found)
    return verdict_of(cells, PROMISE, kept, _figures(found), history, plan, check)


def _measured(cells: Cells, found: Findings) -> Measured:
    wrong = set(found.phantoms.tolist()) | set(found.early.tolist()) | set(found.stale.tolist())
    return Measured(len(wrong), cells.reads, _witness(cells, found) if wrong else "")


def _witness(cells: Cells, found: Findings) -> str:
    if len(found.phantoms):
        row = int(found.phantoms[0])
        return f"{cells.operation(row)} brought from {cells.cell(row)} what nobody wrote there"
    if len(found.early):
        row = int(found.early[0])
        write = int(cells.registers.source[row])
        return f"{cells.operation(row)} had closed when {cells.operation(write)} opened: {cells.cell(row)}"
    return _stale(cells, found)


def _stale(cells: Cells, found: Findings) -> str:
    """The one that is stale for longest."""
    worst = int(np.argmax(found.stale_ns))
    row, missed = int(found.stale[worst]), int(found.missed[worst])
    source = int(cells.registers.source[row])
    older = cells.operation(source) if source >= 0 else "the state at the start"
    return (
        f"{cells.operation(row)} opened {found.stale_ns[worst] / 1e6:.3f} ms after {cells.operation(missed)} had "
        f"closed, which had opened after {older} had closed: {cells.cell(row)}"
    )


def _figures(found: Findings) -> dict[str, Any]:
    return {**staleness(found.stale_ns), "phantoms": len(found.phantoms), "early": len(found.early)}
