"""Program `blocks`: whole blocks that all workers write over each other, one pwrite each, and read by one pread.

Rows `blit` (a write) and `scan` (a read). Parameters: `path key blocks block_bytes writes direct` (O_DIRECT), and
`final` (read every block once, through a descriptor of its own, and end). Shims: `torn-read` (now and then a block
is read in two halves, with a pause between them), `mixed-write` (each block is written in two halves, likewise).
"""

from __future__ import annotations

import contextlib
import mmap
import os
import time

from .block_frames import FRAME_BYTES, block_of, text_of
from .cells import Turns
from .frames import record_id
from .hand import Hand, Unsure
from .puts import put_at_once

#: Between the halves of what a shim takes apart.
_LINGER_S = 0.003


def run(hand: Hand) -> None:
    blocks = _Blocks(hand)
    if hand.spec.get("final"):
        blocks.scan_all()
        return
    blocks.open()
    while hand.going():
        place = hand.rng.randrange(hand.spec["blocks"])
        if hand.rng.random() < hand.spec["writes"]:
            blocks.blit(place)
        else:
            blocks.scan(place)


class _Blocks:
    def __init__(self, hand: Hand) -> None:
        self._hand = hand
        self._length = int(hand.spec["block_bytes"])
        # O_DIRECT wants memory at the start of a page, open(2)
        self._memory = mmap.mmap(-1, self._length)
        self._fd = -1
        self._turns = Turns()

    def open(self) -> None:
        """Raises OSError."""
        self._fd = self._opened(os.O_RDWR | os.O_CREAT)

    def blit(self, place: int) -> None:
        sequence = self._hand.sequence()
        self._memory[:] = block_of(self._hand.writer, sequence, self._length)
        value = record_id(self._hand.writer, sequence)
        at = place * self._length
        try:
            self._hand.do(
                "blit", self._key(place), lambda: self._write(at), value=value, offset=at, length=self._length
            )
        except Unsure:
            self._hand.reborn()
            self._again()

    def scan(self, place: int) -> None:
        halves = self._hand.shim == "torn-read" and self._turns.strikes()
        if self._scan(place, halves=halves) is None:
            self._again()

    def scan_all(self) -> None:
        """A file that cannot be opened is a read that failed."""
        for place in range(self._hand.spec["blocks"]):
            self._scan(place, halves=False, fresh=True)

    def _scan(self, place: int, *, halves: bool, fresh: bool = False) -> str | None:
        at = place * self._length

        def scan() -> str:
            if not fresh:
                return text_of(self._read(self._fd, at, halves=halves), self._length)
            fd = self._opened(os.O_RDONLY)
            try:
                return text_of(self._read(fd, at, halves=False), self._length)
            finally:
                os.close(fd)

        found: str | None = self._hand.do(
            "scan", self._key(place), scan, offset=at, length=self._length, changes=False
        )
        return found

    def _key(self, place: int) -> str:
        return f"{self._hand.spec['key']}|{place}"

    def _opened(self, flags: int) -> int:
        direct = os.O_DIRECT if self._hand.spec["direct"] else 0
        return self._hand.open(self._hand.spec["path"], flags | direct)

    def _write(self, at: int) -> None:
        view = memoryview(self._memory)
        if self._hand.shim == "mixed-write":
            middle = self._middle()
            put_at_once(self._fd, view[:middle], at)
            time.sleep(_LINGER_S)
            put_at_once(self._fd, view[middle:], at + middle)
        else:
            put_at_once(self._fd, view, at)

    def _read(self, fd: int, at: int, *, halves: bool) -> bytes:
        view = memoryview(self._memory)
        if halves:
            middle = self._middle()
            count = os.preadv(fd, [view[:middle]], at)
            time.sleep(_LINGER_S)
            count += os.preadv(fd, [view[middle:]], at + middle) if count == middle else 0
        else:
            count = os.preadv(fd, [view], at)
        return bytes(view[:count])

    def _middle(self) -> int:
        return self._length // 2 // FRAME_BYTES * FRAME_BYTES

    def _again(self) -> None:
        """Another descriptor, as soon as the volume gives any; the old one may be of no use."""
        with contextlib.suppress(OSError):
            os.close(self._fd)
        self._hand.retry(self.open)
