"""Program `durable`: records that are written and synced by a process of its own, which is killed now and then.

Rows `sync` (pwrite and fsync of a record, acknowledged by that process), `kill` (SIGKILL to it), and at the end,
with `final`, `kept`: which records each worker's file holds. Parameters: `path key record_bytes kill_share` (the
share of syncs that are met by a kill) and, with `final`, `writers`. Shims: `early-ack` (records are acknowledged
at once and written eight at a time: what a cache of the process's own would do), `no-sync` (after each process's
first none is synced: the process may die then, its machine may not).
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import struct
import subprocess
import sys
import time
from collections.abc import Iterator

from .frames import builder, id_at, record_id
from .hand import REST_S, Hand, Unsure

_OFFSET = struct.Struct("<Q")
_ERRNO = struct.Struct("<i")
#: A kill strikes at a random time within this: during the write, the fsync, or after both.
_KILL_WITHIN_S = 0.002
_READ_BYTES = 1 << 20

#: What the process runs: an offset and a record on standard input, `+` on standard output for each. An error is
#: told as `-` with its errno, and is the end.
_WRITER = """
import os, struct, sys
size, early, lazy, kept = int(sys.argv[2]), sys.argv[3] == "early-ack", False, []

def put(at, data):
    while data:
        done = os.pwrite(fd, data, at)
        data, at = data[done:], at + done  # after a short one the rest tells why

try:
    fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o644)
    while True:
        data = sys.stdin.buffer.read(8 + size)
        if len(data) < 8 + size:
            break
        kept.append(data)
        if not early or len(kept) == 8:
            for each in kept:
                put(struct.unpack("<Q", each[:8])[0], each[8:])
            if not lazy:
                os.fsync(fd)
            lazy = sys.argv[3] == "no-sync"
            kept.clear()
        os.write(1, b"+")
except OSError as error:
    os.write(1, b"-" + struct.pack("<i", error.errno or 0))
"""


def run(hand: Hand) -> None:
    if hand.spec.get("final"):
        for writer in hand.spec["writers"]:
            tell_kept(hand, writer)
        return
    durable = _Durable(hand)
    try:
        while hand.going():
            sequence = hand.sequence()
            try:
                durable.sync(sequence, kill=hand.rng.random() < hand.spec["kill_share"])
            except Unsure:
                hand.reborn()
                hand.pause(REST_S if durable.failed else 0)
    finally:
        durable.kill()


class _Durable:
    def __init__(self, hand: Hand) -> None:
        self._hand = hand
        self._key = f"{hand.spec['key']}|{hand.writer}"
        self._length = int(hand.spec["record_bytes"])
        self._build = builder(hand.writer, self._length)
        self._process: subprocess.Popen[bytes] | None = None
        #: Whether the last sync failed by itself, and not by a kill.
        self.failed = False

    def sync(self, sequence: int, *, kill: bool) -> None:
        """Raises Unsure where no acknowledgement came."""
        process = self._process or self._start()
        token = record_id(self._hand.writer, sequence)
        at = sequence * self._length
        self.failed = False
        try:
            self._hand.do(
                "sync",
                self._key,
                lambda: self._sync(process, at, self._build(sequence), kill=kill),
                value=str(token),
                offset=at,
                length=self._length,
            )
        except Unsure:
            self.failed = not kill
            self.kill()
            raise
        if kill:
            self.kill()

    def kill(self) -> None:
        """SIGKILL, and wait: it has no time to flush anything."""
        process, self._process = self._process, None
        if process is None:
            return
        self._hand.do("kill", self._key, lambda: _killed(process), value="", changes=False)

    def _start(self) -> subprocess.Popen[bytes]:
        path = self._hand.path(f"{self._hand.spec['path']}.{self._hand.writer}")
        argv = [sys.executable, "-c", _WRITER, path, str(self._length), self._hand.shim]
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        return self._process

    def _sync(self, process: subprocess.Popen[bytes], at: int, record: bytes, *, kill: bool) -> None:
        """Raises OSError where it was not acknowledged: with the error that the process was told, or ESRCH where
        it ended without a word, as one that was killed does.
        """
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # what it said before its end is still to be read
            process.stdin.write(_OFFSET.pack(at) + record)
        if kill:
            time.sleep(self._hand.rng.uniform(0, _KILL_WITHIN_S))
            process.kill()
        select.select([process.stdout], [], [])
        answer = process.stdout.read(1 + _ERRNO.size) or b""
        if answer[:1] == b"-":
            (number,) = _ERRNO.unpack(answer[1:])
            raise OSError(number, os.strerror(number))
        if answer != b"+":
            raise OSError(errno.ESRCH, "the process that writes ended")


def _killed(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()


def tell_kept(hand: Hand, writer: int) -> None:
    """A row `kept` about that writer's file."""
    length = int(hand.spec["record_bytes"])
    path = hand.path(f"{hand.spec['path']}.{writer}")
    hand.do("kept", f"{hand.spec['key']}|{writer}", lambda: _kept(path, writer, length), changes=False)


def _kept(path: str, writer: int, length: int) -> str:
    """Sequence numbers whose record stands whole in its place, as ranges: `0-12,14-20`."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        found = [
            n for n, record in enumerate(_records(fd, length)) if id_at(record, 0, length) == record_id(writer, n)
        ]
    finally:
        os.close(fd)
    return ranges(found)


def _records(fd: int, length: int) -> Iterator[bytes]:
    data = b""
    while chunk := os.read(fd, _READ_BYTES):
        data += chunk
        whole = len(data) // length * length
        for at in range(0, whole, length):
            yield data[at : at + length]
        data = data[whole:]


def ranges(numbers: list[int]) -> str:
    """Ascending numbers in short: `0-12,14`."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and spans[-1][1] == number - 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in spans)
