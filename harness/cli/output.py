"""What a person sees while something goes on, and when something went wrong. All of it goes to standard error."""

from __future__ import annotations

import io
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.markup import escape

from harness.model.errors import HarnessError, TopologyError

errors = Console(stderr=True, highlight=False, soft_wrap=True)


def outlive_readers() -> None:
    """From now on a reader that goes away (`harness run ... | head`) ends the output and not the work: clusters
    are still removed, and the exit code is still the verdict's.
    """
    sys.stdout, sys.stderr = _outliving(1, "strict"), _outliving(2, "backslashreplace")


def _outliving(descriptor: int, bad_characters: str) -> io.TextIOWrapper:
    stream = io.BufferedWriter(_Outliving(descriptor, "w", closefd=False))
    encoding = sys.stdout.encoding
    return io.TextIOWrapper(stream, encoding, bad_characters, line_buffering=descriptor == 2 or stream.isatty())


class _Outliving(io.FileIO):
    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            return len(data)


class Progress:
    """Lines with the seconds since the start; on a terminal also a spinner with the latest line.

    Called from several threads. Use as a context manager.
    """

    def __init__(self, console: Console = errors) -> None:
        self._console = console
        self._start = time.monotonic()
        self._lock = threading.Lock()
        self._status = console.status("starting") if console.is_terminal else None

    def __enter__(self) -> Progress:
        if self._status:
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status:
            self._status.stop()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Without the spinner, so that something else can be printed."""
        if self._status:
            self._status.stop()
        yield
        if self._status:
            self._status.start()

    def __call__(self, line: str) -> None:
        with self._lock:
            self._console.print(f"{time.monotonic() - self._start:7.1f}s  {escape(line)}", emoji=False)
            if self._status:
                self._status.update(escape(line.splitlines()[0] if line else ""))


def show_error(error: HarnessError) -> None:
    """What failed, the command and its output, and what to do: one screen, no stack trace."""
    if isinstance(error, TopologyError):
        for problem in error.problems:
            errors.print(str(problem), markup=False, emoji=False)
        count = len(error.problems)
        errors.print(f"[bold red]error:[/] {count} problem{'s' if count > 1 else ''}; nothing was made")
    else:
        errors.print(f"[bold red]error:[/] {escape(error.message)}", emoji=False)
    if error.hint:
        errors.print(f"[bold]what to do:[/] {escape(error.hint)}", emoji=False)


def show_defect(trace: str) -> None:
    """The harness itself is wrong: everything that is needed to report it."""
    sys.stderr.write(trace)
    errors.print("[bold red]error:[/] this is a defect of the harness itself, not of your topology")
    errors.print("[bold]what to do:[/] report it with the lines above; `harness down --all` removes what was made")
