"""When reads were stale, for charts: the same rules that judge them, with the times kept."""

from __future__ import annotations

from dataclasses import dataclass

from harness.checkers import _sessions, _zones
from harness.checkers._cells import read_cells
from harness.checkers._zones import Ints
from harness.model.history import History
from harness.model.topology import Check


@dataclass(frozen=True)
class Stale:
    """Reads that returned what had been replaced: when each began, and since when it was out of date (ns)."""

    start_ns: Ints
    stale_ns: Ints


def stale_reads(history: History, check: Check) -> Stale | None:
    """None for a kind of check that knows no staleness, and for rows that its checker cannot read."""
    try:
        if check.kind == "register":
            cells = read_cells(history, check.params["volume"], ("put", "get"))
            zones = _zones.examine(cells.registers)
            return Stale(cells.rows["start_ns"][zones.stale], zones.stale_ns)
        if check.kind == "close-to-open":
            cells = read_cells(history, check.params["volume"], ("save", "load"))
            sessions = _sessions.examine(cells.registers)
            return Stale(cells.rows["start_ns"][sessions.stale], sessions.stale_ns)
    except ValueError:
        return None
    return None
