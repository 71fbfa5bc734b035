"""Whether two sets of runs differ in one figure: an interval of their ratio, and two locks on the word."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from harness.statistics.testing import rank_p, student_p, student_quantile

#: With fewer runs on either side nothing is called.
LEAST_RUNS = 3
#: Of the differences that are called in one table, about this share may be none.
FALSE_SHARE = 0.05
COVERAGE = 0.95
#: Figures have three digits: a spread (of logarithms) below this is what rounding hides.
_LEAST_SPREAD = 0.002


@dataclass(frozen=True)
class Comparison:
    """Two sets of runs in one figure. `ratio` is the second's geometric mean over the first's, `low` and `high`
    its 95 % interval; None where they cannot be had. `p` is of Welch's test on logarithms, `separate` says that
    the ranks alone allow a difference.
    """

    runs: tuple[int, int]
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    p: float = 1.0
    separate: bool = False

    @property
    def too_few(self) -> bool:
        return min(self.runs) < LEAST_RUNS


def compare(a: Sequence[float], b: Sequence[float]) -> Comparison:
    """`a` is the reference. Figures that are not all above 0 have no ratio, and nothing is said of them."""
    runs = (len(a), len(b))
    if not a or not b or min(*a, *b) <= 0:
        return Comparison(runs)
    first, second = [math.log(value) for value in a], [math.log(value) for value in b]
    distance = statistics.fmean(second) - statistics.fmean(first)
    if min(runs) < LEAST_RUNS:
        return Comparison(runs, math.exp(distance))
    error, dof = _error(first, second)
    half = student_quantile(COVERAGE, dof) * error
    return Comparison(
        runs,
        math.exp(distance),
        math.exp(distance - half),
        math.exp(distance + half),
        student_p(distance / error, dof),
        rank_p(a, b) <= max(1 - COVERAGE, _least_rank_p(*runs)) + 1e-12,
    )


def _error(a: Sequence[float], b: Sequence[float]) -> tuple[float, float]:
    """The standard error of the difference of means, and Welch's degrees of freedom."""
    x, y = (max(statistics.variance(values), _LEAST_SPREAD**2) / len(values) for values in (a, b))
    return math.sqrt(x + y), (x + y) ** 2 / (x * x / (len(a) - 1) + y * y / (len(b) - 1))


def _least_rank_p(first: int, second: int) -> float:
    """What two sets that do not overlap at all have: with 3 and 3 runs, 0.1."""
    return 2 / math.comb(first + second, first)


def call(comparisons: Sequence[Comparison]) -> list[bool]:
    """Which of all the comparisons in one table are differences (Benjamini and Hochberg, 1995, and the ranks)."""
    tested = sorted((c.p, place) for place, c in enumerate(comparisons) if c.low is not None)
    kept = 0
    for number, (p, _) in enumerate(tested, 1):
        if p <= FALSE_SHARE * number / len(tested):
            kept = number
    called = {place for _, place in tested[:kept]}
    return [place in called and each.separate for place, each in enumerate(comparisons)]
