"""Close-to-open: what a session reads is at least as new as what was closed before it opened.

A read session R that returns the value of write session W is stale iff some write session opened after W had
closed, and had closed itself before R opened. Write sessions that overlap leave a choice: R may see any of those
that no later one replaced. The initial value was closed before everything. A write session without an answer
closes never, so it makes nothing stale.

Seen from R: take the write sessions that closed before it opened; the latest open among them, a running maximum,
bounds when W must have closed. `overdue` asks the same from W's side, which also tells for how long R is stale.
Everything is O(n log n) on arrays; nothing loops over rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.checkers._zones import PHANTOM, UNREPORTED, Ints, Registers, overdue
from harness.model.history import NEVER


@dataclass(frozen=True)
class Findings:
    """Rows of read sessions: of what nobody wrote, of what was not opened yet when they had closed, and stale
    ones; for how long those were stale, and a write session that each of them missed.
    """

    phantoms: Ints
    early: Ints
    stale: Ints
    stale_ns: Ints
    missed: Ints

    @property
    def right(self) -> bool:
        return not (len(self.phantoms) or len(self.early) or len(self.stale))


def examine(registers: Registers) -> Findings:
    """Judge all cells, each by itself. `start` and `finish` of a row are the open and the close of its session."""
    reads = np.flatnonzero(~registers.write)
    phantom = registers.source[reads] == PHANTOM
    told = reads[~phantom & (registers.source[reads] != UNREPORTED)]
    source = registers.source[told]
    known = source >= 0
    is_early = np.zeros(len(told), dtype=bool)
    is_early[known] = registers.finish[told[known]] < registers.start[source[known]]
    stale, stale_ns, missed = _stale(registers, told)
    return Findings(reads[phantom], told[is_early], stale, stale_ns, missed)


def _stale(registers: Registers, told: Ints) -> tuple[Ints, Ints, Ints]:
    rows: list[Ints] = [np.zeros(0, dtype=np.int64)]
    late: list[Ints] = [np.zeros(0, dtype=np.int64)]
    missed: list[Ints] = [np.zeros(0, dtype=np.int64)]
    for writes, reads in _by_cell(registers, told):
        for part, found in zip((rows, late, missed), _stale_in_cell(registers, writes, reads), strict=True):
            part.append(found)
    return np.concatenate(rows), np.concatenate(late), np.concatenate(missed)


def _by_cell(registers: Registers, told: Ints) -> list[tuple[Ints, Ints]]:
    """Rows of writes and of reads, cell by cell."""
    count = int(registers.key.max()) + 1 if len(registers.key) else 0
    writes, reads = (_split(registers.key, rows, count) for rows in (np.flatnonzero(registers.write), told))
    return [(w, r) for w, r in zip(writes, reads, strict=True) if len(w) and len(r)]


def _split(key: Ints, rows: Ints, count: int) -> list[Ints]:
    order = np.argsort(key[rows], kind="stable")
    return np.split(rows[order], np.searchsorted(key[rows][order], np.arange(1, count)))


def _stale_in_cell(registers: Registers, writes: Ints, reads: Ints) -> tuple[Ints, Ints, Ints]:
    first = int(registers.start[writes].min()) - 1
    begin = np.append(registers.start[writes], first)
    end = np.append(registers.finish[writes], first)
    closed = np.append(registers.finish[writes], NEVER)  # the initial value makes nothing stale
    ordinal = np.zeros(len(registers.write), dtype=np.int64)
    ordinal[writes] = np.arange(len(writes))
    source = registers.source[reads]
    slot = np.where(source >= 0, ordinal[np.maximum(source, 0)], len(writes))
    delta = overdue(begin, end, closed, slot, registers.start[reads])
    late = np.flatnonzero(delta > 0)
    return reads[late], delta[late], _first_closed_after(registers, writes, end[slot[late]])


def _first_closed_after(registers: Registers, writes: Ints, ends: Ints) -> Ints:
    """For each end the row of the write that closed first of those that opened after it; there is one."""
    order = writes[np.argsort(registers.start[writes], kind="stable")]
    closes = registers.finish[order]
    earliest = np.minimum.accumulate(closes[::-1])[::-1]
    places = np.where(closes == earliest, np.arange(len(order)), len(order))
    nearest = np.minimum.accumulate(places[::-1])[::-1]
    after = np.searchsorted(registers.start[order], ends, side="right")
    found: Ints = order[nearest[after]] if len(ends) else np.zeros(0, dtype=np.int64)
    return found
