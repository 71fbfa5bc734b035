"""Many waiting tasks in one thread. A task is a generator that yields what it waits for and is told if it came."""

from __future__ import annotations

import selectors
import socket
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from typing import Any, NamedTuple, TypeVar

READ = selectors.EVENT_READ
WRITE = selectors.EVENT_WRITE

#: How soon a loop notices that it is to stop.
_STOP_NOTICE_S = 0.1

T = TypeVar("T")


class Wait(NamedTuple):
    """Until `sock` is ready for `events`, or, without a socket, until the time; `until` is time.monotonic()."""

    until: float
    sock: socket.socket | None = None
    events: int = READ


#: Is resumed with True when the socket is ready, False when the time is over.
Task = Generator[Wait, bool, T]


def sleep(seconds: float) -> Task[None]:
    yield Wait(time.monotonic() + seconds)


def run(tasks: Iterable[Task[None]], *, limit: int, stopped: Callable[[], bool] = lambda: False) -> None:
    """Run all tasks to their ends, at most `limit` at once. When `stopped`, close those that are left.

    What a task raises ends the loop; the other tasks are closed, so that each lets go of its socket.
    """
    loop = _Loop(tasks)
    try:
        while loop.fill(limit) and not stopped():
            loop.step()
    finally:
        loop.close()


def run_one(task: Task[T]) -> T:
    """Run one task to its end and return its result."""
    results: list[T] = []

    def collect() -> Task[None]:
        results.append((yield from task))

    run([collect()], limit=1)
    return results[0]


class _Loop:
    def __init__(self, tasks: Iterable[Task[None]]) -> None:
        self._queue: deque[Task[None]] = deque(tasks)
        self._waiting: dict[Task[None], Wait] = {}
        self._selector = selectors.DefaultSelector()

    def fill(self, limit: int) -> bool:
        """Start tasks while there is room; False when none is left."""
        while self._queue and len(self._waiting) < max(1, limit):
            task = self._queue.popleft()
            self._resume(task, lambda task=task: next(task))  # type: ignore[misc]
        return bool(self._waiting)

    def step(self) -> None:
        first = min(wait.until for wait in self._waiting.values())
        patience_s = min(max(0.0, first - time.monotonic()), _STOP_NOTICE_S)
        for key, _events in self._selector.select(patience_s):
            self._wake(key.data, True)
        now = time.monotonic()
        for task in [task for task, wait in self._waiting.items() if wait.until <= now]:
            self._wake(task, False)

    def close(self) -> None:
        for task in [*self._waiting, *self._queue]:
            task.close()
        self._selector.close()

    def _wake(self, task: Task[None], ready: bool) -> None:
        wait = self._waiting.pop(task)
        if wait.sock is not None:
            self._selector.unregister(wait.sock)
        self._resume(task, lambda: task.send(ready))

    def _resume(self, task: Task[None], advance: Callable[[], Any]) -> None:
        try:
            wait: Wait = advance()
        except StopIteration:
            return
        self._waiting[task] = wait
        if wait.sock is not None:
            self._selector.register(wait.sock, wait.events, task)
