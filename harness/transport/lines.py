"""Lines on their way from the thread that reads a program's output to whoever receives them."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable

from harness.model.errors import ChannelLost

_MAX_LINES = 256


class Lines:
    """At most so many wait: a reader that is not heard waits too, and so does the program.

    `lost` makes the error that says why nothing more can come.
    """

    def __init__(self, lost: Callable[[str], ChannelLost]) -> None:
        self._lost = lost
        self._queue: queue.Queue[bytes | None] = queue.Queue(_MAX_LINES)
        self.closed = threading.Event()

    def put(self, line: bytes) -> None:
        self._queue.put(line)

    def end(self) -> None:
        """No more will come. Does not wait once `closed`: nobody makes room then."""
        with contextlib.suppress(queue.Full):
            self._queue.put(None, block=not self.closed.is_set())

    @property
    def full(self) -> bool:
        return self._queue.full()

    def receive(self, timeout_s: float) -> bytes | None:
        """The next line with its newline; None when none came in time. Raises ChannelLost at the end."""
        if self.closed.is_set():
            raise self._lost("the channel was closed")
        try:
            line = self._queue.get(timeout=max(0.0, timeout_s))
        except queue.Empty:
            return None
        if line is None:
            self._queue.put(None)
            raise self._lost("it ended")
        return line

    def make_room(self) -> None:
        """Let the reader go on to the end; nobody wants these lines any more. Wakes a waiting `receive`."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._queue.get_nowait()
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait(None)
