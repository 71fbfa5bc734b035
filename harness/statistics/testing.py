"""Student's t and the rank sum, exact, without a library of statistics: two functions are all that is needed."""

from __future__ import annotations

import math
from collections.abc import Sequence

_TINY = 1e-300
_STEPS = 300
#: More subsets than this are not counted one by one but approximated.
_MOST_PAIRS = 40_000


def student_p(t: float, dof: float) -> float:
    """How likely it is that |T| is at least |t|, for Student's T with `dof` degrees of freedom (two-sided)."""
    return 1.0 if t == 0 else _incomplete_beta(dof / (dof + t * t), dof / 2, 0.5)


def student_quantile(coverage: float, dof: float) -> float:
    """The t that |T| stays below with probability `coverage`."""
    low, high = 0.0, 1.0
    while student_p(high, dof) > 1 - coverage:
        low, high = high, high * 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if student_p(middle, dof) > 1 - coverage else (low, middle)
    return high


def _incomplete_beta(x: float, a: float, b: float) -> float:
    """The regularized incomplete beta function, by its continued fraction (DLMF 8.17.22)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - _incomplete_beta(1 - x, b, a)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    return math.exp(log_front) / a * _fraction(x, a, b)


def _fraction(x: float, a: float, b: float) -> float:
    """Lentz's algorithm."""
    c, d = 1.0, 1 / _apart_from_zero(1 - (a + b) * x / (a + 1))
    whole = d
    for m in range(1, _STEPS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for step in (even, odd):
            d = 1 / _apart_from_zero(1 + step * d)
            c = _apart_from_zero(1 + step / c)
            whole *= c * d
        if abs(c * d - 1) < 1e-14:
            break
    return whole


def _apart_from_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY


def rank_p(a: Sequence[float], b: Sequence[float]) -> float:
    """How likely a rank sum of `a` at least as far from its mean is, if both come from one distribution.

    Mann and Whitney's test, two-sided: exact over all ways to share the ranks out, ties included; by the normal
    approximation where both are long. 1 where either is empty.
    """
    if not a or not b:
        return 1.0
    ranks = _doubled_ranks([*a, *b])
    observed, expected = sum(ranks[: len(a)]), len(a) * (len(ranks) + 1)
    far = abs(observed - expected)
    if len(ranks) ** 3 > _MOST_PAIRS:
        return _normal_p(far, ranks, len(a))
    counts = _sums(ranks, len(a))
    extreme = sum(count for total, count in counts.items() if abs(total - expected) >= far)
    return extreme / math.comb(len(ranks), len(a))


def _doubled_ranks(values: Sequence[float]) -> list[int]:
    """Twice the rank of each value, so that the mean rank of ties is whole."""
    ordered = sorted(values)
    first: dict[float, int] = {}
    for place, value in enumerate(ordered, 1):
        first.setdefault(value, place)
    return [2 * first[value] + ordered.count(value) - 1 for value in values]


def _sums(ranks: Sequence[int], size: int) -> dict[int, int]:
    """How many subsets of `size` ranks have which sum."""
    by_size: list[dict[int, int]] = [{0: 1}, *({} for _ in range(size))]
    for rank in ranks:
        for taken in range(size, 0, -1):
            for total, count in by_size[taken - 1].items():
                by_size[taken][total + rank] = by_size[taken].get(total + rank, 0) + count
    return by_size[size]


def _normal_p(far: float, ranks: Sequence[int], size: int) -> float:
    mean = sum(ranks) / len(ranks)
    spread = sum((rank - mean) ** 2 for rank in ranks) / (len(ranks) - 1)
    variance = size * (len(ranks) - size) / len(ranks) * spread
    return 1.0 if variance == 0 else math.erfc(far / math.sqrt(2 * variance))
