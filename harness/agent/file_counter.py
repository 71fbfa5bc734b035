"""Program `counter`: lock a file, read the number in it, write the next one, unlock; nothing else guards it.

Rows `increment`, from before the lock is asked for to after it is given back, and `total` (`final`: read the
number once, under the lock, and end). Parameters: `path key lock` (fcntl or flock). Shims: `no-lock` (no lock is
taken), `stale-read` (now and then the number of an earlier read is used).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
import time
import zlib

from .cells import Turns
from .hand import Hand, Unsure
from .puts import put_at_once

_NUMBER = struct.Struct("<Q")
_RECORD = struct.Struct("<QI")
#: Without a lock, so long between read and write: what it is to show must not depend on luck.
_LINGER_S = 0.0005
#: A lock that was not given, or a number that cannot be read: nothing was written.
_REFUSALS = (errno.ENOLCK, errno.EDEADLK, errno.EOPNOTSUPP, errno.EAGAIN, errno.EILSEQ)


def run(hand: Hand) -> None:
    counter = _Counter(hand)
    if hand.spec.get("final"):
        hand.do("total", hand.spec["key"], counter.total, changes=False)
        return
    counter.open()
    while hand.going():
        hand.sequence()
        try:
            hand.do("increment", hand.spec["key"], counter.increment, refusals=_REFUSALS)
        except Unsure:
            hand.reborn()
            counter.again()


class _Counter:
    def __init__(self, hand: Hand) -> None:
        self._hand = hand
        self._lock = fcntl.flock if hand.spec["lock"] == "flock" else fcntl.lockf
        self._fd = -1
        self._turns = Turns()
        self._seen: int | None = None

    def open(self) -> None:
        """Raises OSError."""
        self._fd = self._hand.open(self._hand.spec["path"], os.O_RDWR | os.O_CREAT)

    def again(self) -> None:
        """Give the descriptor up, and every lock with it; another one as soon as the volume gives any."""
        with contextlib.suppress(OSError):
            os.close(self._fd)
        self._hand.retry(self.open)

    def increment(self) -> str:
        """The number that was written, and from when to when the lock was certainly held. Raises OSError."""
        if self._hand.shim == "no-lock":
            return self._next()
        self._lock(self._fd, fcntl.LOCK_EX)
        try:
            return self._next()
        finally:
            self._lock(self._fd, fcntl.LOCK_UN)

    def total(self) -> int:
        """Raises OSError."""
        self._fd = self._hand.open(self._hand.spec["path"], os.O_RDWR)
        try:
            self._lock(self._fd, fcntl.LOCK_EX)
            return self._read()
        finally:
            os.close(self._fd)

    def _next(self) -> str:
        held_ns = time.monotonic_ns()
        number = self._read()
        if self._hand.shim == "no-lock":
            time.sleep(_LINGER_S)
        if self._seen is not None and self._hand.shim == "stale-read" and self._turns.strikes():
            number = self._seen
        self._seen = number
        self._write(number + 1)
        return f"{number + 1} {held_ns} {time.monotonic_ns()}"

    def _read(self) -> int:
        """0 where nobody has written. Raises OSError, EILSEQ where the record is not whole."""
        data = os.pread(self._fd, _RECORD.size, 0)
        if not data:
            return 0
        if len(data) == _RECORD.size:
            number, crc = _RECORD.unpack(data)
            if zlib.crc32(_NUMBER.pack(number)) == crc:
                return int(number)
        raise OSError(errno.EILSEQ, "not a whole record")

    def _write(self, number: int) -> None:
        data = _RECORD.pack(number, zlib.crc32(_NUMBER.pack(number)))
        put_at_once(self._fd, data, 0)
