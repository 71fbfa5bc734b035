"""Which write a value comes from. Values are a writer's number and its sequence number, `writer << 32 |
sequence`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.checkers._zones import INITIAL, PHANTOM, UNREPORTED, Ints, Mask

NOTHING = 0
_SHIFT, _LOW = 32, 0xFFFFFFFF
#: A table by writer and sequence is taken where it needs at most so many places an operation.
_SPARSE = 8


@dataclass(frozen=True)
class Reserved:
    """Blocks of values that workers may have used without telling; `refused` are values that certainly were
    not.
    """

    first: Ints
    count: Ints
    refused: Ints

    def hold(self, values: Ints) -> Mask:
        if not len(self.first) or not len(values):
            return np.zeros(len(values), dtype=bool)
        order = np.argsort(self.first, kind="stable")
        firsts, counts = self.first[order], self.count[order]
        block = np.searchsorted(firsts, values, side="right") - 1
        inside = (block >= 0) & (values < firsts[block] + counts[block])
        return inside & ~np.isin(values, self.refused)


def sources(key: Ints, value: Ints, write: Mask, reserved: Reserved) -> tuple[Ints, Ints]:
    """For each row the row of the write of its value, or INITIAL, UNREPORTED or PHANTOM; and the values that two
    rows claim to have written, which makes the record worthless.

    A value that is read from another register than it was written to is a phantom there.
    """
    rows = np.flatnonzero(write)
    written = value[rows]
    places = Places(written)
    found = places.of(value)
    source = np.where(found >= 0, rows[found] if len(rows) else PHANTOM, PHANTOM)
    source[value == NOTHING] = INITIAL
    lost = np.flatnonzero((source == PHANTOM) & ~write)
    source[lost[reserved.hold(value[lost])]] = UNREPORTED
    known = source >= 0
    source[known & (key[np.maximum(source, 0)] != key)] = PHANTOM
    return source, places.repeated


class Places:
    """Where values stand among those that were written: a table by writer and sequence where there are few gaps,
    else a sorted copy.
    """

    def __init__(self, written: Ints) -> None:
        self._written = written
        addresses = _Addresses(written) if len(written) else None
        self._addresses = addresses if addresses and addresses.size <= _SPARSE * len(written) + 1000 else None
        self.repeated = self._by_table(self._addresses) if self._addresses else self._by_order()

    def of(self, values: Ints) -> Ints:
        """The row of each value, -1 for none."""
        if not len(self._written):
            return np.full(len(values), -1, dtype=np.int64)
        if self._addresses:
            return self._table[self._addresses.of(values)].astype(np.int64)
        place = np.minimum(np.searchsorted(self._ascending, values), len(self._written) - 1)
        return np.where(self._ascending[place] == values, self._order[place], -1)

    def _by_table(self, addresses: _Addresses) -> Ints:
        """Values that stand there twice."""
        self._table = np.full(addresses.size + 1, -1, dtype=np.int32)
        places = addresses.of(self._written)
        numbers = np.arange(len(self._written), dtype=np.int32)
        self._table[places] = numbers
        return np.unique(self._written[self._table[places] != numbers])

    def _by_order(self) -> Ints:
        self._order = np.argsort(self._written, kind="stable")
        self._ascending = self._written[self._order]
        return np.unique(self._ascending[1:][self._ascending[1:] == self._ascending[:-1]])


class _Addresses:
    """A place for every value that a known writer can have, up to its highest; the last place is for all
    others.
    """

    def __init__(self, written: Ints) -> None:
        writer = written >> _SHIFT
        if int(writer.min()) < 0 or int(writer.max()) > _SPARSE * len(written) + 1000:
            self.size = np.iinfo(np.int64).max
            return
        highest = np.full(int(writer.max()) + 1, -1, dtype=np.int64)
        np.maximum.at(highest, writer, written & _LOW)
        ends = np.cumsum(highest + 1)
        self._highest, self._first = highest, ends - highest - 1
        self.size = int(ends[-1])

    def of(self, values: Ints) -> Ints:
        writer, sequence = values >> _SHIFT, values & _LOW
        inside = (writer >= 0) & (writer < len(self._highest))
        writer = np.where(inside, writer, 0)
        return np.where(inside & (sequence <= self._highest[writer]), self._first[writer] + sequence, self.size)
