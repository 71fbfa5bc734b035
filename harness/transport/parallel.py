"""Several calls at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

T = TypeVar("T")

MAX_PARALLEL = 16


def at_once(calls: Sequence[Callable[[], T]]) -> list[T]:
    """What each call returned, in order. The first error, or an interrupt, is raised after all have ended, so that
    nothing is left half under way.
    """
    if not calls:
        return []
    pool = ThreadPoolExecutor(min(len(calls), MAX_PARALLEL))
    try:
        futures = [pool.submit(call) for call in calls]
        wait(futures)
    finally:
        pool.shutdown(wait=True)  # not by `with`: an interrupt while its exit waits would end the waiting
    return [future.result() for future in futures]
