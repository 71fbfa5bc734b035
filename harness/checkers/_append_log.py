"""The append log, judged on columns: what was acknowledged, attempted and found, and in which order.

An append is an operation with a start and a finish; the file is the order in which appends took effect. A file is
right iff the appends can be put in one order that respects real time (whatever finished before another started
comes first) and equals the file. Records are unique, so that order can only be the file's own, and right means:

- every acknowledged record is in the file, and every record of the file was attempted, each once;
- no record stands before one that had finished when it started. With entries in the order of their offsets that
  is: no entry's start lies after the smallest finish behind it. One suffix minimum tells (Wing and Gong 1993;
  Gibbons and Korach 1997 for why unique values need no search).

An append without an answer may or may not have happened: it may be missing, and its finish is NEVER.
Everything here is O(n log n) on arrays; nothing loops over rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from harness.checkers._sources import Places
from harness.model.columns import is_constant
from harness.model.history import NEVER

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

WRITER_SHIFT = 32
#: Writers' numbers up to here are counted in a table.
_FEW = 1 << 16


@dataclass(frozen=True)
class Appends:
    """Invocations of append, a row each; `ids` are distinct. Times in nanoseconds.

    `host` numbers the writers' hosts: within one host clocks agree, across hosts they may be off by `err`.
    `acknowledged` and `refused` (it certainly did not happen) exclude each other; neither: nobody knows.
    `reserved_first` and `reserved_count` are blocks of ids that writers may have used without telling.
    """

    ids: Ints
    host: Ints
    start: Ints
    end: Ints
    err: Ints
    acknowledged: Mask
    refused: Mask
    reserved_first: Ints
    reserved_count: Ints

    @cached_property
    def finish(self) -> Ints:
        finish: Ints = np.where(self.acknowledged, self.end, NEVER)
        return finish

    @cached_property
    def _places(self) -> Places:
        return Places(self.ids)

    def repeated(self) -> Ints:
        """Ids that were reported more than once: the record of the run contradicts itself."""
        return self._places.repeated

    def find(self, ids: Ints) -> Ints:
        """The row of each id, -1 where it was never reported."""
        return self._places.of(ids)

    def reserved(self, ids: Ints) -> Mask:
        """Which ids lie in a reserved block. Blocks of one writer do not overlap."""
        if not len(self.reserved_first):
            return np.zeros(len(ids), dtype=bool)
        order = np.argsort(self.reserved_first, kind="stable")
        firsts, counts = self.reserved_first[order], self.reserved_count[order]
        block = np.searchsorted(firsts, ids, side="right") - 1
        return (block >= 0) & (ids < firsts[block] + counts[block])


@dataclass(frozen=True)
class Inversion:
    """Two rows of Appends: `early` stands before `late` in the file but started after `late` had finished."""

    early: int
    late: int
    early_offset: int
    late_offset: int


@dataclass(frozen=True)
class Findings:
    """What one content of the file shows.

    `rows` are the rows of Appends that are in it, each once, in the order of the file, at `offsets`.
    `unexpected` and `duplicates` are ids; `misordered` counts rows that stand before one that had finished.
    """

    rows: Ints
    offsets: Ints
    unexpected: Ints
    unexpected_offsets: Ints
    duplicates: Ints
    misordered: int
    inversion: Inversion | None

    def present(self, appends: Appends) -> Mask:
        """Which appends are in the file."""
        mask = np.zeros(len(appends.ids), dtype=bool)
        mask[self.rows] = True
        return mask


def examine(appends: Appends, ids: Ints, offsets: Ints) -> Findings:
    """Judge one content: the whole records found, `ids` at `offsets`, in any order."""
    ids, offsets = _by_offset(ids, offsets)
    rows = appends.find(ids)
    unexpected = _unexpected(appends, ids, rows)
    once = _first_of_each(rows, len(appends.ids)) & ~unexpected
    kept, places = rows[once], offsets[once]
    misordered, inversion = order_violations(appends, kept, places)
    return Findings(
        rows=kept,
        offsets=places,
        unexpected=ids[unexpected],
        unexpected_offsets=offsets[unexpected],
        duplicates=_duplicates(ids, rows, len(appends.ids), appends),
        misordered=misordered,
        inversion=inversion,
    )


def _by_offset(ids: Ints, offsets: Ints) -> tuple[Ints, Ints]:
    if bool(np.all(offsets[1:] >= offsets[:-1])):
        return ids, offsets
    order = np.argsort(offsets, kind="stable")
    return ids[order], offsets[order]


def _unexpected(appends: Appends, ids: Ints, rows: Ints) -> Mask:
    """Records that nobody attempted, or whose append certainly did not happen."""
    unreported = rows < 0
    unexpected = np.zeros(len(ids), dtype=bool)
    unexpected[unreported] = ~appends.reserved(ids[unreported])
    if appends.refused.any():
        unexpected |= ~unreported & appends.refused[rows]
    return unexpected


def _first_of_each(rows: Ints, count: int) -> Mask:
    """Marks each known row where it appears first; the rest are repeats or unknown."""
    first = np.full(count, -1, dtype=np.int64)
    places = np.flatnonzero(rows >= 0)[::-1]
    first[rows[places]] = places
    mask = np.zeros(len(rows), dtype=bool)
    mask[first[first >= 0]] = True
    return mask


def _duplicates(ids: Ints, rows: Ints, count: int, appends: Appends) -> Ints:
    known = np.flatnonzero(np.bincount(rows[rows >= 0], minlength=count) > 1)
    others, counts = np.unique(ids[rows < 0], return_counts=True)
    return np.concatenate([appends.ids[known], others[counts > 1]])


def order_violations(appends: Appends, rows: Ints, offsets: Ints) -> tuple[int, Inversion | None]:
    """How many entries stand before one that had finished when they started, and one such pair.

    `rows` in the order of the file. Within a host times are exact; across hosts each is widened by its `err`,
    so that what clocks cannot tell apart is never a violation.
    """
    start, finish = appends.start[rows], appends.finish[rows]
    err = None if is_constant(appends.err) and not appends.err[0] else appends.err[rows]
    earliest, latest = _widened(start, finish, err)
    bad = _suffix_min(latest) < earliest
    if err is not None:
        bad |= _suffix_min_within(finish, appends.host[rows]) < start
    count = int(np.count_nonzero(bad))
    if not count:
        return 0, None
    behind = _suffix_argmin(latest)
    if err is not None:
        within = _suffix_argmin_within(finish, appends.host[rows])
        behind = np.where(latest[behind] < earliest, behind, within)
    return count, _inversion(rows, offsets, bad, behind)


def _widened(start: Ints, finish: Ints, err: Ints | None) -> tuple[Ints, Ints]:
    if err is None:
        return start, finish
    return start - err, np.where(finish > NEVER - err, NEVER, finish + err)


def _inversion(rows: Ints, offsets: Ints, bad: Mask, behind: Ints) -> Inversion:
    """Of all violating pairs that the suffix minimum names, one whose entries stand closest together."""
    candidates = np.flatnonzero(bad)
    early = int(candidates[np.argmin(behind[candidates] - candidates)])
    late = int(behind[early])
    return Inversion(int(rows[early]), int(rows[late]), int(offsets[early]), int(offsets[late]))


def _suffix_min(values: Ints) -> Ints:
    """For each place the smallest value at or behind it."""
    smallest: Ints = np.minimum.accumulate(values[::-1])[::-1]
    return smallest


def _suffix_argmin(values: Ints) -> Ints:
    """For each place, where the smallest value at or behind it stands; the nearest of equals."""
    backward = values[::-1]
    smallest = np.minimum.accumulate(backward)
    places = np.where(backward == smallest, np.arange(len(values)), 0)
    return len(values) - 1 - np.maximum.accumulate(places)[: len(values)][::-1]


def _suffix_min_within(values: Ints, groups: Ints) -> Ints:
    """The same among the places of one group only."""
    result = np.empty(len(values), dtype=np.int64)
    for group in np.unique(groups).tolist():
        places = np.flatnonzero(groups == group)
        result[places] = _suffix_min(values[places])
    return result


def _suffix_argmin_within(values: Ints, groups: Ints) -> Ints:
    """The same among the places of one group only."""
    result = np.empty(len(values), dtype=np.int64)
    for group in np.unique(groups).tolist():
        places = np.flatnonzero(groups == group)
        result[places] = places[_suffix_argmin(values[places])]
    return result


def passed_over(appends: Appends, found: Findings, hosts: Sequence[int]) -> Ints:
    """Rows of acknowledged appends of these hosts that are not in a content though they had finished when one that
    is in it started: they would stand before it.
    """
    if not len(found.rows):
        return np.zeros(0, dtype=np.int64)
    latest = (appends.start[found.rows] - appends.err[found.rows]).max()
    due = appends.acknowledged & np.isin(appends.host, hosts) & (appends.end < latest - appends.err)
    due[found.rows] = False
    return np.flatnonzero(due)


def same_content(one: tuple[Ints, Ints], other: tuple[Ints, Ints]) -> bool:
    """Whether two lists of (ids, offsets) are the same records at the same places."""
    first, second = _by_offset(*one), _by_offset(*other)
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def writers(ids: Ints) -> Ints:
    """The writers' numbers in these ids, each once, ascending."""
    numbers = ids >> WRITER_SHIFT
    if len(numbers) and numbers.min() >= 0 and numbers.max() < _FEW:
        return np.flatnonzero(np.bincount(numbers))
    return np.unique(numbers)


def islands(hosts: int, sees: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Hosts that are joined by seeing each other's records, directly or through others; at least one each."""
    root = list(range(hosts))

    def top(host: int) -> int:
        while root[host] != host:
            host = root[host]
        return host

    for reader, writer in sees:
        root[top(reader)] = top(writer)
    found: dict[int, list[int]] = {}
    for host in range(hosts):
        found.setdefault(top(host), []).append(host)
    return list(found.values())
