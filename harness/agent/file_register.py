"""Program `register`: one pread or pwrite after another on cells that all workers share.

Rows `put` and `get`. Parameters: `path key keys layout block_bytes writes` (the share of writes), `final` (read
every cell once, through a descriptor of its own, and end). Shims: `stale-read` (now and then a read returns the
first value that this worker saw in the cell), `lost-write` (now and then a write is acknowledged and not done).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable

from .cells import NOT_WHOLE, NOTHING, Cell, Turns, Values, cells_of
from .hand import Hand, Unsure


def run(hand: Hand) -> None:
    register = _Register(hand)
    if hand.spec.get("final"):
        register.read_all()
        return
    register.open()
    writes = hand.spec["writes"]
    while hand.going():
        cell = hand.rng.choice(register.cells)
        if hand.rng.random() < writes:
            register.write(cell)
        else:
            register.read(cell)


class _Register:
    def __init__(self, hand: Hand) -> None:
        self.cells = list(cells_of(hand.spec))
        self._hand = hand
        self._values = Values(hand.writer, hand.spec["block_bytes"])
        self._length = hand.spec["block_bytes"]
        self._fds: dict[str, int] = {}
        self._first: dict[str, int] = {}
        self._turns = Turns()

    def open(self) -> None:
        """Raises OSError."""
        for cell in self.cells:
            if cell.path not in self._fds:
                self._fds[cell.path] = self._hand.open(cell.path, os.O_RDWR | os.O_CREAT)

    def write(self, cell: Cell) -> None:
        sequence = self._hand.sequence()
        lose = self._hand.shim == "lost-write" and self._turns.strikes()

        def put() -> None:
            if not lose:
                self._values.put(self._fds[cell.path], cell.offset, sequence)

        number = self._values.number(sequence)
        try:
            self._hand.do("put", cell.key, put, value=number, offset=cell.offset, length=self._length)
        except Unsure:
            self._hand.reborn()
            self._again()

    def read(self, cell: Cell) -> None:
        stale = self._hand.shim == "stale-read" and self._turns.strikes()

        def get() -> int:
            found = self._values.get(self._fds[cell.path], cell.offset)
            if found > NOTHING:
                self._first.setdefault(cell.key, found)
            return self._first.get(cell.key, found) if stale else found

        if self._get(cell, get) is None:
            self._again()

    def read_all(self) -> None:
        """A file that cannot be opened is a read that failed."""
        for cell in self.cells:

            def get(cell: Cell = cell) -> int:
                fd = self._hand.open(cell.path, os.O_RDONLY)
                try:
                    return self._values.get(fd, cell.offset)
                finally:
                    os.close(fd)

            self._get(cell, get)

    def _get(self, cell: Cell, get: Callable[[], int]) -> int | None:
        """None where it failed."""
        found: int | None = self._hand.do(
            "get", cell.key, get, offset=cell.offset, length=self._length, missing=NOT_WHOLE, changes=False
        )
        return found

    def _again(self) -> None:
        """New descriptors, as soon as the volume gives any; the old ones may be of no use."""
        for fd in self._fds.values():
            with contextlib.suppress(OSError):
                os.close(fd)
        self._fds.clear()
        self._hand.retry(self.open)
