"""Increments under a lock, judged on columns.

An increment is an operation with a start and an end; in between it certainly held the lock for a while, and wrote
a token, one more than it had read. Two certain holds that overlap break the exclusion. Tokens need no clock: where
locks exclude and reads are not stale, each token is given once, and never a smaller one to an increment that began
after another had ended. What follows upon a double grant shows nothing about reads any more, so only what was
written before it is judged for them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

_NO_TIME = np.iinfo(np.int64).max
_BEFORE_ALL = np.iinfo(np.int64).min


@dataclass(frozen=True)
class Increments:
    """Acknowledged ones. `held` to `until` is when the lock was certainly held; `err` widens all times."""

    token: Ints
    start: Ints
    end: Ints
    held: Ints
    until: Ints
    err: Ints

    def __len__(self) -> int:
        return len(self.token)

    def where(self, mask: Mask) -> Increments:
        columns = (self.token, self.start, self.end, self.held, self.until, self.err)
        return Increments(*(column[mask] for column in columns))


class Pair(NamedTuple):
    """Two rows, the one that should have come first and the other."""

    early: int
    late: int


class Grants(NamedTuple):
    """`double` rows got the lock while another certainly held it, the first of them at `first_ns`; `contended`
    rows asked for it before another gave it back that had got it before them.
    """

    double: int
    contended: int
    pair: Pair | None
    first_ns: int


def grants(found: Increments) -> Grants:
    """Holds, each shrunk by what its clock may be off: what then overlaps did so by any clock."""
    contended = _contended(found)
    held, until = found.held + found.err, found.until - found.err
    certain = np.flatnonzero(held < until)
    order = certain[np.lexsort((until[certain], held[certain]))]
    if not len(order):
        return Grants(0, contended, None, _NO_TIME)
    latest = np.maximum.accumulate(until[order])
    before = np.concatenate([[_BEFORE_ALL], latest[:-1]])
    hits = np.flatnonzero(held[order] < before)
    if not len(hits):
        return Grants(0, contended, None, _NO_TIME)
    late = int(hits[0])
    early = int(np.argmax(until[order][:late]))
    return Grants(len(hits), contended, Pair(int(order[early]), int(order[late])), int(held[order[late]]))


def _contended(found: Increments) -> int:
    """By any clock. A hold that is shorter than its clock may be off shows no double grant, and who waited for its
    end has waited all the same.
    """
    got = found.held + found.err
    order = np.argsort(got, kind="stable")
    latest = np.maximum.accumulate((found.until - found.err)[order])
    count = np.searchsorted(got[order], found.held - found.err, side="left")
    given_back = np.where(count > 0, latest[np.maximum(count - 1, 0)], _BEFORE_ALL)
    return int(np.count_nonzero(found.start + found.err < given_back))


class Tokens(NamedTuple):
    """`stale` rows wrote a token that another had, or a smaller one than an increment that had ended before they
    began. `pair` is such a row and the other one.
    """

    stale: int
    pair: Pair | None
    distinct: int


def tokens(found: Increments) -> Tokens:
    if not len(found):
        return Tokens(0, None, 0)
    twin = _twins(found)
    highest, holder = _highest_before(found)
    late = highest > found.token
    stale = np.flatnonzero(late | (twin >= 0))
    distinct = len(np.unique(found.token))
    if not len(stale):
        return Tokens(0, None, distinct)
    row = int(stale[np.argmin(found.start[stale])])
    early = int(twin[row]) if twin[row] >= 0 else int(holder[row])
    return Tokens(len(stale), Pair(early, row), distinct)


def _twins(found: Increments) -> Ints:
    """For each row one that held the lock earlier and wrote the same token, or -1."""
    order = np.lexsort((found.held, found.token))
    same = np.flatnonzero(np.diff(found.token[order]) == 0)
    twin = np.full(len(found), -1, dtype=np.int64)
    twin[order[same + 1]] = order[same]
    return twin


def _highest_before(found: Increments) -> tuple[Ints, Ints]:
    """For each row the highest token among those that had certainly ended before it began, and whose it was."""
    ended = found.end + found.err
    order = np.argsort(ended, kind="stable")
    running = np.maximum.accumulate(found.token[order])
    # the row that brought the running maximum to where it is
    rises = np.concatenate([[True], running[1:] > running[:-1]])
    holder = order[np.maximum.accumulate(np.where(rises, np.arange(len(order)), 0))]
    count = np.searchsorted(ended[order], found.start - found.err, side="left")
    some = count > 0
    place = np.maximum(count - 1, 0)
    return np.where(some, running[place], _BEFORE_ALL), np.where(some, holder[place], -1)
