"""A share of runs, and what it may really be."""

from __future__ import annotations

import math

#: Of a normal distribution, 95 % lie within this many standard deviations.
_Z = 1.959964


def interval(hits: int, of: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share (JASA 22, 1927): good for few runs, and for none that hit."""
    if of == 0:
        return 0.0, 1.0
    share, z = hits / of, _Z * _Z
    middle = (share + z / (2 * of)) / (1 + z / of)
    half = _Z / (1 + z / of) * math.sqrt(share * (1 - share) / of + z / (4 * of * of))
    low, high = (0.0 if hits == 0 else middle - half), (1.0 if hits == of else middle + half)
    return max(0.0, low), min(1.0, high)
