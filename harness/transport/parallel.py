"""Several calls at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

MAX_PARALLEL = 16


def at_once(calls: Sequence[Callable[[], T]]) -> list[T]:
    """What each call returned, in order. The first error is raised after all have ended, so that nothing is left
    half under way.
    """
    if not calls:
        return []
    with ThreadPoolExecutor(min(len(calls), MAX_PARALLEL)) as pool:
        futures = [pool.submit(call) for call in calls]
    return [future.result() for future in futures]
