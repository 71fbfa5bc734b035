"""What a few repeated measurements allow to be said: differences, drift, shares. Pure (docs/decisions)."""

from harness.statistics.differences import Comparison, call, compare
from harness.statistics.drifting import Drift, drift
from harness.statistics.shares import interval
from harness.statistics.testing import rank_p, student_p, student_quantile

__all__ = [
    "Comparison",
    "Drift",
    "call",
    "compare",
    "drift",
    "interval",
    "rank_p",
    "student_p",
    "student_quantile",
]
