"""Writes that the kernel took less of than it was given: as a rule there is no room (pwrite(2), write(2)).

Such a write tells no error; the next one does. So the rest is written too, and the row of an operation carries the
errno that the file system gave.
"""

from __future__ import annotations

import errno
import os

Bytes = bytes | memoryview


def put_whole(fd: int, data: Bytes, at: int) -> None:
    """One pwrite(2), and others for what it left. Raises OSError."""
    rest = memoryview(data)
    while rest:
        done = os.pwrite(fd, rest, at)
        if not done:
            raise OSError(errno.ENOSPC, "a write took nothing")
        rest, at = rest[done:], at + done


def put_at_once(fd: int, data: Bytes, at: int) -> None:
    """One pwrite(2). Raises OSError: where it took fewer bytes, what the rest was told; EIO where the rest was
    taken, since others may have read one part without the other.
    """
    done = os.pwrite(fd, data, at)
    if done != len(data):
        put_whole(fd, memoryview(data)[done:], at + done)
        raise OSError(errno.EIO, "a write in two parts")
