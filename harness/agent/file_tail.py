"""Program `tail`: a reader that follows an append log while others write it.

Rows `glimpse`: whole records, one after another from the beginning of the file. Where something else stands it
waits, and looks there again: an append may be under way. Parameters: `path key record_bytes every_s`.
"""

from __future__ import annotations

import contextlib
import os
import time

from .frames import id_at
from .hand import Hand

_CHUNK_BYTES = 1 << 20


def run(hand: Hand) -> None:
    offset = 0
    while hand.going():
        before = offset
        with contextlib.suppress(OSError):  # it is not there yet, or cannot be read now: the next look will tell
            offset = _look(hand, offset)
        if offset - before < _CHUNK_BYTES:
            hand.pause(hand.spec["every_s"])


def _look(hand: Hand, offset: int) -> int:
    """Read on from `offset`; returns where to go on. Raises OSError."""
    size: int = hand.spec["record_bytes"]
    start_ns = time.monotonic_ns()
    fd = hand.open(hand.spec["path"], os.O_RDONLY)  # opened anew: what was closed before is to be seen
    try:
        data = os.pread(fd, _CHUNK_BYTES + size, offset)
    finally:
        os.close(fd)
    found = []
    for at in range(0, len(data), size):
        record = id_at(data, at, size)
        if record is None:
            break
        found.append((record, offset + at))
    hand.saw("glimpse", hand.spec["key"], found, size, start_ns)
    return offset + size * len(found)
