"""Whether a figure of a check has moved: its last runs against those before, by medians, so that one bad night
does not hide a change and does not make one.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

#: A change is looked for in the last runs, this many at least and at most.
RECENT, LATEST = 3, 10
#: The runs before it that it is held against.
LEAST_BEFORE, WINDOW = 8, 30
#: How many (scaled) median deviations each of the last runs must lie off, and the median of them.
OFF, FAR = 3.0, 5.0
#: A normal distribution's standard deviation is this many median absolute deviations.
_SCALE = 1.4826
#: Deviations below this part of the median are not believed: figures are rounded.
_LEAST_PART = 0.005


@dataclass(frozen=True)
class Drift:
    """`since` is the place of the first run after the change. `before` and `now` are medians; `low` and `high` are
    the range of the runs before.
    """

    since: int
    before: float
    now: float
    low: float
    high: float
    deviations: float

    @property
    def ratio(self) -> float | None:
        return self.now / self.before if self.before else None


def drift(values: Sequence[float]) -> Drift | None:
    """The earliest change that the last runs show, values in order of time; None where the spread allows none.

    Every run since it lies on one side of all runs of the window before it, `OFF` deviations away or more.
    """
    first = max(LEAST_BEFORE, len(values) - LATEST)
    for since in range(first, len(values) - RECENT + 1):
        found = _moved(values[max(0, since - WINDOW) : since], values[since:], since)
        if found is not None:
            return found
    return None


def _moved(before: Sequence[float], recent: Sequence[float], since: int) -> Drift | None:
    low, high = min(before), max(before)
    if low <= max(recent) and min(recent) <= high:
        return None
    center, now = statistics.median(before), statistics.median(recent)
    deviation = _SCALE * statistics.median(abs(value - center) for value in before)
    deviation = max(deviation, _LEAST_PART * abs(center))
    nearest = min(abs(value - center) for value in recent)
    if nearest < OFF * deviation or abs(now - center) < FAR * deviation:
        return None
    return Drift(since, center, now, low, high, abs(now - center) / deviation if deviation else float("inf"))
