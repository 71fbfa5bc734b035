"""The command line as a user has it: a process of its own, its lines, its signals, its exit code."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

RUN_TIMEOUT_S = 180.0
LINE_TIMEOUT_S = 90.0
HARNESS = (sys.executable, "-m", "harness.cli.main")


@dataclass(frozen=True)
class Ended:
    code: int
    stdout: str
    stderr: str

    @property
    def told(self) -> str:
        """For assertion messages."""
        return f"exit code {self.code}\n{self.stdout}\n{self.stderr}"


class Process:
    """A command under way. Lines of standard error are kept, and can be waited for."""

    def __init__(self, argv: Sequence[str], *, cwd: Path | None = None) -> None:
        self._process = subprocess.Popen(
            list(argv), cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._stdout: list[str] = []
        self._stderr: list[str] = []
        self._threads = [
            threading.Thread(target=_pump, args=(self._process.stdout, self._stdout.append), daemon=True),
            threading.Thread(target=_pump, args=(self._process.stderr, self._take), daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def wait_for(self, text: str, timeout_s: float = LINE_TIMEOUT_S) -> None:
        """Until a line with `text` was written. Fails where the process ends first, or says nothing for long."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            try:
                if text in self._lines.get(timeout=0.2):
                    return
            except queue.Empty:
                if self._process.poll() is not None:
                    break
        raise AssertionError(f"{text!r} was not said\n{''.join(self._stderr)}")

    def send(self, sign: signal.Signals) -> None:
        os.kill(self._process.pid, sign)

    def end(self, timeout_s: float = RUN_TIMEOUT_S) -> Ended:
        """Waits for its end. A process that outlives its time is killed, and the test fails."""
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            raise AssertionError(f"it did not end within {timeout_s:g} s\n{''.join(self._stderr)}") from None
        for thread in self._threads:
            thread.join(5)
        return Ended(code, "".join(self._stdout), "".join(self._stderr))

    def _take(self, line: str) -> None:
        self._stderr.append(line)
        self._lines.put(line)


def _pump(stream: IO[str] | None, sink: Callable[[str], object]) -> None:
    assert stream is not None
    with stream:
        for line in stream:
            sink(line)


def start(*arguments: str | Path) -> Process:
    return Process([*HARNESS, *map(str, arguments)])


def harness(*arguments: str | Path) -> Ended:
    return start(*arguments).end()


def only_run(runs_dir: Path) -> Path:
    """The folder of the one run in `runs_dir`."""
    folders = [path for path in runs_dir.iterdir() if path.is_dir() and not path.is_symlink()]
    assert len(folders) == 1, folders
    return folders[0]
