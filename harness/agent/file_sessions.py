"""Program `sessions`: open, write or read, close, one session after another on cells that all workers share.

Rows `save` (open, pwrite, close) and `load` (open, pread, close), each from before its open to after its close.
Parameters as those of `register`. Shims: `stale-open` (now and then a session returns the first value that this
worker saw in the cell), `stale-close` (now and then close returns, and the data is written with the next session).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import Any

from .cells import NOT_WHOLE, NOTHING, Cell, Turns, Values, cells_of
from .hand import REST_S, Hand, Unsure


def run(hand: Hand) -> None:
    sessions = _Sessions(hand)
    cells = list(cells_of(hand.spec))
    if hand.spec.get("final"):
        for cell in cells:
            sessions.load(cell)
        return
    for path in {cell.path for cell in cells}:
        os.close(hand.open(path, os.O_WRONLY | os.O_CREAT))
    writes = hand.spec["writes"]
    while hand.going():
        cell = hand.rng.choice(cells)
        if hand.rng.random() < writes:
            sessions.save(cell)
        else:
            sessions.load(cell)


class _Sessions:
    def __init__(self, hand: Hand) -> None:
        self._hand = hand
        self._values = Values(hand.writer, hand.spec["block_bytes"])
        self._length = hand.spec["block_bytes"]
        self._first: dict[str, int] = {}
        self._kept: list[tuple[Cell, int]] = []
        self._turns = Turns()

    def save(self, cell: Cell) -> None:
        sequence = self._hand.sequence()
        keep = self._hand.shim == "stale-close" and self._turns.strikes()
        kept, self._kept = self._kept, [(cell, sequence)] if keep else []

        def session() -> None:
            for place, number in kept if keep else [*kept, (cell, sequence)]:
                self._in_session(place, os.O_WRONLY, lambda fd: self._values.put(fd, place.offset, number))  # noqa: B023

        number = self._values.number(sequence)
        try:
            self._hand.do("save", cell.key, session, value=number, offset=cell.offset, length=self._length)
        except Unsure:
            self._hand.reborn()
            self._hand.pause(REST_S)

    def load(self, cell: Cell) -> None:
        stale = self._hand.shim == "stale-open" and self._turns.strikes()

        def session() -> Any:
            found = self._in_session(cell, os.O_RDONLY, lambda fd: self._values.get(fd, cell.offset))
            if found > NOTHING:
                self._first.setdefault(cell.key, found)
            return self._first.get(cell.key, found) if stale else found

        found = self._hand.do(
            "load", cell.key, session, offset=cell.offset, length=self._length, missing=NOT_WHOLE, changes=False
        )
        if found is None:
            self._hand.pause(REST_S)

    def _in_session(self, cell: Cell, flags: int, work: Callable[[int], Any]) -> Any:
        """What `work` returns. Raises OSError, that of close included: it may be the one that tells of a loss."""
        fd = self._hand.open(cell.path, flags)
        try:
            result = work(fd)
        except BaseException:
            with contextlib.suppress(OSError):
                os.close(fd)
            raise
        os.close(fd)
        return result
