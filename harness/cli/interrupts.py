"""Ctrl-C and SIGTERM: the first ends the work and cleans up; a second one does not break that by accident."""

from __future__ import annotations

import os
import signal
from types import FrameType

from harness.cli.output import errors

#: This many signals give up on cleaning up.
GIVE_UP_AFTER = 3


class Interrupts:
    """Counts signals of this process; install once, in the main thread."""

    def __init__(self) -> None:
        self._count = 0

    def install(self) -> None:
        signal.signal(signal.SIGINT, self._handle)
        signal.signal(signal.SIGTERM, self._handle)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        self._count += 1
        if self._count == 1:
            raise KeyboardInterrupt
        if self._count >= GIVE_UP_AFTER:
            errors.print("given up: `harness down --all` removes what is left")
            os._exit(130)
        errors.print("cleaning up; once more gives up and leaves things behind")
