"""Registers whose values are written once each: linearizable or not, without a search (Gibbons and Korach, SIAM J.
Comput. 26(4), 1997).

Of a value v let f be the earliest finish among its write and its reads, and s the latest start. All operations
on v stand together in any order that is right, since no other write may come between a write and its reads. So v
comes before w if some operation on v had finished when some operation on w started: f(v) < s(w). Two values that
each come before the other are a contradiction, a cycle of two; and where there is no such pair, no read of what
nobody wrote, and no read that finished before its write started, an order exists. A write that was never
answered finishes never: that drops it by itself where nobody read it.

In terms of zones: where f < s, v has the zone [f, s] to itself (forward). A pair contradicts itself iff two
forward zones overlap, or the zone [s, f] of a value without one lies inside a forward zone.

All registers are laid one after another along one line of time, far enough apart that none reaches the next, so
that one sort and one running maximum judge them all. Everything is O(n log n) on arrays; nothing loops over
rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from harness.model.history import NEVER

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

#: `Registers.source` of rows whose value is no row's: the initial value; one that somebody may have written
#: without telling; one that nobody wrote.
INITIAL, UNREPORTED, PHANTOM = -1, -2, -3
#: The line of time must fit into 63 bits.
_LINE_BITS = 62


@dataclass(frozen=True)
class Registers:
    """Operations, a row each: writes that may have happened, and reads that were answered.

    `key` numbers registers from 0. `source` is the row of the write of the value that is written or read, or
    INITIAL, UNREPORTED, PHANTOM. `value` tells unreported values apart. `finish` is NEVER for a write without an
    answer.
    """

    key: Ints
    value: Ints
    write: Mask
    source: Ints
    start: Ints
    finish: Ints


class Cycle(NamedTuple):
    """Rows of four operations: the first on v had finished when the last on w started, and the other way round.

    Of a value that nobody reported, or the initial one, `None` stands for its write.
    """

    first_v: int | None
    last_w: int | None
    first_w: int | None
    last_v: int | None


@dataclass(frozen=True)
class Findings:
    """`phantoms` and `early` are rows of reads: of what nobody wrote, and of what was not begun to be written.

    `contradictions` counts values that contradict another one; `cycle` is the pair that was certain first. `stale`
    are rows of reads of a value that had been overwritten, and for how long: `stale_ns` since some operation on a
    value that was written after it had finished.
    """

    phantoms: Ints
    early: Ints
    contradictions: int
    cycle: Cycle | None
    stale: Ints
    stale_ns: Ints

    @property
    def right(self) -> bool:
        return not (len(self.phantoms) or len(self.early) or self.contradictions)


def examine(registers: Registers) -> Findings:
    """Judge all registers. Raises ValueError where their times do not fit on one line."""
    phantom = registers.source == PHANTOM
    line = _Line(registers)
    slots = _Slots(registers, line, ~phantom)
    pairs = _contradictions(slots)
    stale, stale_ns = slots.stale() if len(pairs) else (_none(), _none())
    return Findings(
        phantoms=np.flatnonzero(phantom),
        early=slots.early(),
        contradictions=len(pairs),
        cycle=_first_cycle(slots, pairs) if len(pairs) else None,
        stale=stale,
        stale_ns=stale_ns,
    )


class _Line:
    """Times of all registers on one line: register k has [k * width, (k + 1) * width). Its first tick is before
    all times, its last one after all of them.
    """

    def __init__(self, registers: Registers) -> None:
        start, finish = registers.start, registers.finish
        origin = int(start.min()) if len(start) else 0
        known = finish[finish < NEVER]
        last = max(int(known.max()) if len(known) else origin, int(start.max()) if len(start) else origin)
        self.registers = int(registers.key.max()) + 1 if len(registers.key) else 0
        self.width = last - origin + 3
        if (self.registers * self.width).bit_length() > _LINE_BITS:
            raise ValueError(f"{self.registers} registers over {self.width / 1e9:.0f} s are too much for one line")
        base = registers.key * self.width
        self.start: Ints = base + (start - (origin - 1))
        self.finish: Ints = base + np.where(finish < NEVER, finish - (origin - 1), self.width - 1)

    def within(self, times: Ints) -> Ints:
        """Times of any register as if it were the first."""
        return times % self.width


class _Slots:
    """Values, a slot each: first the initial ones of all registers, then those of all writes, then unreported
    ones.

    `first` and `last` are f and s; `begin` and `end` are those of its write alone.
    """

    def __init__(self, registers: Registers, line: _Line, counted: Mask) -> None:
        self.registers, self.line = registers, line
        self.writes = np.flatnonzero(registers.write)
        self.reads = np.flatnonzero(~registers.write & counted)
        self.read_slot, unreported = self._slots_of_reads()
        nothing = np.arange(line.registers, dtype=np.int64) * line.width
        hidden = registers.key[unreported] * line.width
        self.begin = np.concatenate([nothing, line.start[self.writes], hidden])
        self.end = np.concatenate([nothing, line.finish[self.writes], hidden + line.width - 1])
        self.first, self.last = self.end.copy(), self.begin.copy()
        np.minimum.at(self.first, self.read_slot, line.finish[self.reads])
        np.maximum.at(self.last, self.read_slot, line.start[self.reads])

    def _slots_of_reads(self) -> tuple[Ints, Ints]:
        """The slot of each read, and for each unreported value a row that read it."""
        registers, count = self.registers, self.line.registers
        source = registers.source[self.reads]
        ordinal = np.zeros(len(registers.write), dtype=np.int64)
        ordinal[self.writes] = np.arange(len(self.writes))
        slot = np.where(source >= 0, count + ordinal[np.maximum(source, 0)], registers.key[self.reads])
        hidden = np.flatnonzero(source == UNREPORTED)
        if not len(hidden):
            return slot, _none()
        rows = self.reads[hidden]
        places = np.stack([registers.key[rows], registers.value[rows]])
        _, chosen, number = np.unique(places, axis=1, return_index=True, return_inverse=True)
        slot[hidden] = count + len(self.writes) + number.reshape(-1)
        return slot, rows[chosen]

    def early(self) -> Ints:
        """Reads that had finished when the write of their value started."""
        mask = self.line.finish[self.reads] < self.begin[self.read_slot]
        return self.reads[mask]

    def stale(self) -> tuple[Ints, Ints]:
        rows = self.reads
        delta = overdue(self.begin, self.end, self.first, self.read_slot, self.line.start[rows])
        late = delta > 0
        return rows[late], delta[late]

    def row_of_first(self, slot: int) -> int | None:
        """The operation that finished first: the write where it did."""
        return self._row(slot, self.end[slot] == self.first[slot], self.line.finish, int(self.first[slot]))

    def row_of_last(self, slot: int) -> int | None:
        """The operation that started last: a read where one did."""
        return self._row(slot, self.begin[slot] == self.last[slot], self.line.start, int(self.last[slot]))

    def _row(self, slot: int, is_write: bool, times: Ints, time: int) -> int | None:
        if is_write:
            number = slot - self.line.registers
            return int(self.writes[number]) if 0 <= number < len(self.writes) else None
        mine = self.reads[self.read_slot == slot]
        return int(mine[np.flatnonzero(times[mine] == time)[0]])


def overdue(begin: Ints, end: Ints, complete: Ints, slot: Ints, start: Ints) -> Ints:
    """How long before each read's `start` a value was complete that was written after the value it read.

    Values have writes from `begin` to `end`, and are complete at `complete`; `slot` is the value of each read.
    What is not positive is not overdue.
    """
    order = np.argsort(begin, kind="stable")
    earliest = np.minimum.accumulate(complete[order][::-1])[::-1]
    after = np.searchsorted(begin[order], end, side="right")
    bound = np.append(earliest, NEVER)[after]
    read = bound[slot]
    return np.where(read < NEVER, start - read, 0)


def _contradictions(slots: _Slots) -> Ints:
    """Pairs of slots (v, w), a row each, that come before each other; for each w one v is named."""
    first, last = slots.first, slots.last
    forward = np.flatnonzero(first < last)
    forward = forward[np.argsort(first[forward], kind="stable")]
    if not len(forward):
        return np.zeros((0, 2), dtype=np.int64)
    begin = first[forward]
    reach = np.maximum.accumulate(last[forward])
    overlapping = np.flatnonzero(reach[:-1] > begin[1:]) + 1
    backward = np.flatnonzero(first >= last)
    behind = np.searchsorted(begin, last[backward], side="left") - 1
    inside = (behind >= 0) & (reach[behind] > first[backward])
    if not len(overlapping) and not inside.any():
        return np.zeros((0, 2), dtype=np.int64)
    widest = forward[_prefix_argmax(last[forward])]
    v = np.concatenate([widest[overlapping - 1], widest[behind[inside]]])
    w = np.concatenate([forward[overlapping], backward[inside]])
    return np.stack([v, w], axis=1)


def _prefix_argmax(values: Ints) -> Ints:
    """For each place, where the largest value at or before it stands; the last of equals."""
    largest = np.maximum.accumulate(values)
    places = np.where(values == largest, np.arange(len(values)), 0)
    return np.maximum.accumulate(places)


def _first_cycle(slots: _Slots, pairs: Ints) -> Cycle:
    """Of all pairs the one that was certain first: when the last of its four operations had started.

    The value that stood first is called v: the one whose first operation finished earlier.
    """
    certain = slots.line.within(slots.last[pairs]).max(axis=1)
    v, w = pairs[int(np.argmin(certain))].tolist()
    if slots.first[w] < slots.first[v]:
        v, w = w, v
    return Cycle(slots.row_of_first(v), slots.row_of_last(w), slots.row_of_first(w), slots.row_of_last(v))


def _none() -> Ints:
    return np.zeros(0, dtype=np.int64)
