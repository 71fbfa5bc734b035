"""A worker that runs a program: a small module of its own (`file_*.py`) that does one operation after another.

A program is a function of one `Hand`. It asks `going` before each round, takes numbers for what it writes from
`sequence`, and does everything that counts by `do`, which writes down when it began and how it ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import time
from array import array
from collections.abc import Callable, Collection
from typing import Any

from .namespaces import inside
from .rows import NEVER, Batch, packed
from .worker import Spec, Worker

#: Rows a batch: keeps a line of the stream within a MiB.
BATCH_ROWS = 10_000
#: With a rate: who is early by less than this does not sleep.
_EARLY_S = 0.001
#: How long a worker waits after an error before it tries again.
REST_S = 0.2
#: Fewer integers than this are cheaper as a list.
_PACK_FROM = 16

_COLUMNS = ("process", "f", "key", "value", "offset", "length", "errno", "start_ns", "end_ns", "outcome")
_END = _COLUMNS.index("end_ns")
#: `end_ns` of a row whose operation is under way.
_PENDING = -1


class Stopped(Exception):
    """The worker is to end."""


class Unsure(OSError):
    """An operation that changes something failed, and nobody knows whether it happened. It stands in the history
    as `info`. The program ends, or calls `reborn` and goes on.
    """


class Hand(Worker):
    """What a program works with. `spec` holds the worker's parameters, `rng` choices that follow from the seed."""

    def __init__(self, spec: Spec, control: socket.socket, program: Callable[[Hand], None]) -> None:
        super().__init__(spec, control)
        self.spec = spec
        self.writer: int = spec["writer"]
        self.shim: str = spec.get("shim") or "none"
        self.rng = random.Random(f"{spec.get('seed', 0)}/{self.writer}")  # noqa: S311 - choices, no secrets
        #: Why the last `do` that returned None failed.
        self.errno = 0
        self._program = program
        self._process = str(spec["process"])
        self._lives = 1
        self._rows: list[tuple[Any, ...]] = []
        self._numbers = iter(range(0))
        self._due = time.monotonic()
        self._begun = False

    def path(self, path: str) -> str:
        """`path`, absolute in the container, as this process can open it."""
        return inside(self._spec["pid"], path)

    def open(self, path: str, flags: int, mode: int = 0o644) -> int:
        """A descriptor of `path` in the container. Raises OSError."""
        return os.open(self.path(path), flags | os.O_CLOEXEC, mode)

    def going(self) -> bool:
        """Whether to do another round; with a rate (`rate_per_s`), only when it is time for it."""
        rate = self._spec.get("rate_per_s") or 0
        if rate:
            now = time.monotonic()
            self._due = max(self._due + 1 / rate, now - 1)  # who was held up does not storm for more than a second
            if self._due - now > _EARLY_S:
                self._nap(self._due)
        return not self._stopping.is_set()

    def pause(self, seconds: float) -> None:
        """Do nothing for a while, or until the stop."""
        self._nap(time.monotonic() + seconds)

    def sequence(self) -> int:
        """The next number that this worker may use: it stands in the history already. Raises Stopped."""
        while True:
            number = next(self._numbers, None)
            if number is not None:
                return number
            if not self._asked:
                self._ask()
            granted = self._grants.get()
            if granted is None:
                raise Stopped
            self._ask()  # one block ahead, so that it need not wait
            self._numbers = iter(granted)

    def do(
        self,
        f: str,
        key: str,
        action: Callable[[], Any],
        *,
        value: int | str | None = None,
        offset: int = -1,
        length: int = 0,
        missing: int | str = "",
        changes: bool = True,
        refusals: Collection[int] = (),
    ) -> Any:
        """What `action` returns, and a row about it. Without `value` the row's value is what it returned, or
        `missing` where it did not return.

        Where it raises OSError, None is returned, and the row is `fail`: it certainly did not happen, as for all
        that only looks (`changes` False) and for the errnos in `refusals`. Else Unsure is raised, the row is
        `info`, and stays concurrent to the end.
        """
        rows, process = self._rows, self._process
        known = missing if value is None else value
        start_ns = time.monotonic_ns()
        rows.append((process, f, key, known, offset, length, 0, start_ns, _PENDING, "info"))
        self._begun = True
        try:
            result = action()
        except OSError as error:
            number = self.errno = error.errno or 0
            sure = not changes or number in refusals
            end_ns, outcome = (time.monotonic_ns(), "fail") if sure else (NEVER, "info")
            rows[-1] = (process, f, key, known, offset, length, number, start_ns, end_ns, outcome)
            if sure:
                return None
            raise Unsure(number, str(error)) from error
        told = result if value is None else value
        rows[-1] = (process, f, key, told, offset, length, 0, start_ns, time.monotonic_ns(), "ok")
        return result

    def saw(self, f: str, key: str, found: list[tuple[int, int]], length: int, start_ns: int) -> None:
        """Rows of one read that found many things: their values and offsets, `length` bytes each."""
        end_ns = time.monotonic_ns()
        self._begun = True
        self._rows.extend(
            (self._process, f, key, value, offset, length, 0, start_ns, end_ns, "ok") for value, offset in found
        )

    def retry(self, attempt: Callable[[], None]) -> None:
        """`attempt`, after a rest and again until it raises no OSError, or until the stop."""
        while self.going():
            self.pause(REST_S)
            with contextlib.suppress(OSError):
                attempt()
                return

    def reborn(self) -> None:
        """Go on as another process of the history: the last one has an operation without an end."""
        self._lives += 1
        self._process = f"{self._spec['process']}.{self._lives}"

    def _work(self) -> Spec:
        try:
            self._program(self)
        except Stopped:
            return {}
        except OSError as error:
            told = {"errno": error.errno or 0, "why": str(error)}
            return told if self._begun else {**told, "refused": str(error)}
        return {}

    def _report(self) -> None:
        """Only the last row can be under way; the other thread adds behind it, or replaces it, meanwhile."""
        with self._reporting:
            count = len(self._rows)
            while count and self._rows[count - 1][_END] == _PENDING:
                count -= 1
            done = self._rows[:count]
            del self._rows[:count]
            for at in range(0, len(done), BATCH_ROWS):
                self._send_rows(done[at : at + BATCH_ROWS])

    def _left(self) -> Spec:
        """Its last row may be complete by now."""
        left = [row if row[_END] != _PENDING else _unanswered(row) for row in self._rows[:1]]
        if left:
            self._send_rows(left)
        return {}

    def _send_rows(self, rows: list[tuple[Any, ...]]) -> None:
        self._send(b"R", json.dumps(batch_of(rows), separators=(",", ":")).encode())


def _unanswered(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return (*row[:_END], NEVER, *row[_END + 1 :])


def batch_of(rows: list[tuple[Any, ...]]) -> Batch:
    """Rows as columns: one value where all are equal, packed where they are many integers."""
    batch: Batch = {"n": len(rows)}
    for name, column in zip(_COLUMNS, zip(*rows)):  # noqa: B905 - strict came with Python 3.10
        if column.count(column[0]) == len(column):
            batch[name] = column[0]
        elif len(column) >= _PACK_FROM and all(type(value) is int for value in column):
            batch[name] = packed(array("q", column))
        else:
            batch[name] = list(column)
    return batch
