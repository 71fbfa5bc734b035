"""Clocks of hosts that do not share a kernel: from measurements to times that can be compared.

A `clock` row is one measurement of one host: between `start_ns` and `end_ns` of the controller's CLOCK_MONOTONIC
the host's own read `value`. Each says within which bounds the two differed at that moment. Clocks drift apart at
MAX_DRIFT at most, so every measurement also bounds the moments around it, and all of them together do so best.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.model.columns import Coded, Values
from harness.model.history import INT_COLUMNS, NEVER, TEXT_COLUMNS, History

CLOCK = "clock"
#: NTP slews a clock by 500 parts in a million at most (adjtimex(2)); two may be slewed apart, and crystals err.
MAX_DRIFT = 1.2e-3
#: Kinds of rows that the runner writes about a node, in the controller's own time; so are those of its commands.
OF_RUNNER = ("endpoint", "endpoint6", "task", "mac", "reserve", CLOCK)
CONTROLLER = "controller"

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Columns = dict[str, npt.NDArray[Any] | Coded | Values]


@dataclass(frozen=True)
class HostClock:
    """By how much the controller's clock is ahead of a host's: `low` to `high` at each moment `at` of the host."""

    at: Ints
    low: Ints
    high: Ints

    @classmethod
    def of(cls, rows: History) -> HostClock:
        """From the `clock` rows of one host; there is at least one."""
        at = rows.value_int()
        order = np.argsort(at, kind="stable")
        return cls(at[order], (rows["start_ns"] - at)[order], (rows["end_ns"] - at)[order])

    @property
    def error_ns(self) -> int:
        """The half-width of the best measurement."""
        return int((self.high - self.low).min() + 1) // 2

    def offsets(self, moments: Ints) -> tuple[Ints, Ints]:
        """What to add to each moment of the host, and the half-width of that. Keeps the order of moments."""
        base, origin = int(self.low[0]), int(self.at[0])
        at, low, high = ((each - zero).astype(float) for each, zero in self._from(origin, base))
        x = (moments - origin).astype(float)
        best_low, best_high = _highest(at, low), -_highest(at, -high)
        fits = best_low <= best_high
        middle = np.interp(x, at, np.where(fits, best_low + best_high, low + high) / 2)
        error = _error(x, middle, at, (low, high), (best_low, best_high))
        return np.rint(middle).astype(np.int64) + base, np.ceil(error).astype(np.int64)

    def _from(self, origin: int, base: int) -> tuple[tuple[Ints, int], ...]:
        """Small numbers: nanoseconds since a boot long ago do not fit into a double."""
        return (self.at, origin), (self.low, base), (self.high, base)


def _highest(at: Floats, bounds: Floats) -> Floats:
    """The highest lower bound at each measurement, by itself or by another less what drift takes from that."""
    best = bounds.copy()
    fall = np.diff(at) * MAX_DRIFT
    for i in range(1, len(best)):
        best[i] = max(best[i], best[i - 1] - fall[i - 1])
    for i in range(len(best) - 2, -1, -1):
        best[i] = max(best[i], best[i + 1] - fall[i])
    return best


def _error(
    x: Floats, middle: Floats, at: Floats, seen: tuple[Floats, Floats], best: tuple[Floats, Floats]
) -> Floats:
    """How far `middle` may be off at each x. Where measurements contradict each other (a clock that stood still),
    what the two around it saw counts, and everything between the two.
    """
    right = np.clip(np.searchsorted(at, x), 0, len(at) - 1)
    left = np.clip(right - 1, 0, len(at) - 1)
    left = np.where(x > at[-1], right, left)
    right = np.where(x < at[0], left, right)
    from_left, from_right = np.abs(x - at[left]) * MAX_DRIFT, np.abs(at[right] - x) * MAX_DRIFT
    low = np.maximum(best[0][left] - from_left, best[0][right] - from_right)
    high = np.minimum(best[1][left] + from_left, best[1][right] + from_right)
    wide = from_left + from_right
    least = np.minimum(seen[0][left], seen[0][right]) - wide
    most = np.maximum(seen[1][left], seen[1][right]) + wide
    fits = low <= high
    return np.maximum(np.where(fits, high, most) - middle, middle - np.where(fits, low, least))


def clocks_of(history: History) -> dict[str, HostClock]:
    """By host; empty where hosts share a kernel, for then nothing was measured."""
    rows = history.only(f=CLOCK)
    hosts = sorted(set(rows["host"].tolist()))
    return {host: HostClock.of(rows.only(host=host)) for host in hosts}


def aligned(history: History) -> History:
    """The same history with all times on the controller's clock, and `err_ns` by how much they may be off.

    Where no clock was measured it is `history` itself.
    """
    clocks = clocks_of(history)
    if not clocks:
        return history
    columns: Columns = {name: history.coded(name) for name in TEXT_COLUMNS}
    columns |= {name: history[name].astype(np.int64) for name in INT_COLUMNS}  # copies, to be written to
    columns["value"] = history.values()
    theirs = ~(history.coded("f").is_in(OF_RUNNER) | history.coded("process").is_in([CONTROLLER]))
    for host, clock in clocks.items():
        _move(columns, np.flatnonzero(theirs & history.coded("host").is_in([host])), clock)
    _move_values(columns, history, theirs, clocks)
    return History(columns)


def _move(columns: Columns, rows: Ints, clock: HostClock) -> None:
    start, end, err = (np.asarray(columns[name]) for name in ("start_ns", "end_ns", "err_ns"))
    ended = rows[end[rows] != NEVER]
    for column, chosen in ((start, rows), (end, ended)):
        offset, error = clock.offsets(column[chosen])
        column[chosen] += offset
        err[chosen] = np.maximum(err[chosen], error)


def _move_values(
    columns: Columns,
    history: History,
    theirs: npt.NDArray[np.bool_],
    clocks: dict[str, HostClock],
) -> None:
    """An `increment` says in its value from when to when it held its lock, by the same clock."""
    rows = np.flatnonzero(
        theirs & history.coded("f").is_in(["increment"]) & history.coded("host").is_in(list(clocks))
    )
    if not len(rows):
        return
    hosts, value = history["host"], history["value"].copy()
    for row in rows:
        words = str(value[row]).split(" ")
        if len(words) == 3:
            moments = np.array(words[1:], dtype=np.int64)
            moved = moments + clocks[hosts[row]].offsets(moments)[0]
            value[row] = f"{words[0]} {moved[0]} {moved[1]}"
    columns["value"] = Values.of(value.tolist())
