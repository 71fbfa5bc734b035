"""Judging while a load runs, so that it ends at the first proof that its check fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

#: Between two judgements at least, and so many times as long as the last one took: watching must not slow down.
EVERY_S = 1.0
_SHARE = 3.0


class Watch:
    """Asks `fails` again and again until it says yes; then calls `stop`, once, and `failed` is set.

    A context manager: what `fails` raises, for one, ends the watching and nothing else.
    """

    def __init__(self, fails: Callable[[], bool], stop: Callable[[], None], *, every_s: float = EVERY_S) -> None:
        self.failed = threading.Event()
        self._fails, self._stop, self._every_s = fails, stop, every_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def wait(self, seconds: float) -> None:
        """At most so long, and no longer than until it has failed."""
        self.failed.wait(max(0.0, seconds))

    def _run(self) -> None:
        pause_s = self._every_s
        while not self._over.wait(pause_s):
            begin = time.monotonic()
            if self._fails():
                self.failed.set()
                self._stop()
                return
            pause_s = max(self._every_s, _SHARE * (time.monotonic() - begin))
