"""One writer of the append log: a worker whose loop is short, since it is measured."""

from __future__ import annotations

import os
import socket
import struct
import time
from array import array
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from .frames import builder
from .namespaces import inside
from .shims import Write, shimmed
from .worker import Spec, Worker

#: Records between two looks at the stop flag: a look costs about as much as a time stamp.
_CHUNK_RECORDS = 64
#: With a rate, as many records as fall into this time are written in one go.
_PACE_S = 0.01
#: A writer that did something else for longer than this has paused: what it writes next does not begin before.
_PAUSE_NS = 100_000

_HEAD = struct.Struct("<QqI")
_PAUSE = struct.Struct("<Iq")

Build = Callable[[int], bytes]


class Taken(NamedTuple):
    """Consecutive records that are complete: the first one's number and when it began, and when each ended. Each
    begins as the one before it ends, but for those in `pauses`: (place among them, when it began).
    """

    first: int
    begin_ns: int
    pauses: list[tuple[int, int]]
    ends: array[int]

    def packed(self) -> bytes:
        head = _HEAD.pack(self.first, self.begin_ns, len(self.pauses))
        return b"".join([head, *(_PAUSE.pack(*pause) for pause in self.pauses), self.ends.tobytes()])

    @classmethod
    def unpacked(cls, body: bytes) -> Taken:
        first, begin_ns, count = _HEAD.unpack_from(body)
        pauses = [_PAUSE.unpack_from(body, _HEAD.size + i * _PAUSE.size) for i in range(count)]
        ends = array("q")
        ends.frombytes(memoryview(body)[_HEAD.size + count * _PAUSE.size :])
        return cls(first, begin_ns, pauses, ends)


class Short(Exception):
    """A write that took fewer bytes than it was given; `written` says how many."""

    def __init__(self, written: int) -> None:
        super().__init__(f"{written} bytes were written")
        self.written = written


def append_records(sequences: range, *, build: Build, write: Write, ends: list[int]) -> None:
    """The loop that is measured: one time stamp a record, taken when its write has come back.

    Raises OSError, Short; the record that it was at has no end then.
    """
    now, stamp = time.monotonic_ns, ends.append
    whole = len(build(sequences.start))
    for sequence in sequences:
        written = write(build(sequence))
        if written != whole:
            raise Short(written)
        stamp(now())


class Stamps:
    """When records began and ended. One thread enters chunks and adds ends, another takes what is complete.

    A record begins when the one before it has ended: earlier than its write by the time that it takes to build it,
    which is sound (an operation may be told to have begun earlier than it did, never later) and costs half as much
    as a stamp of its own. After a pause it begins when its chunk does.
    """

    def __init__(self) -> None:
        #: Ends that were not taken yet. A list takes one faster than an array does.
        self.ends: list[int] = []
        #: Records that begin after a pause, and when.
        self._begins: list[tuple[int, int]] = []
        self._left_ns = self._last_ns = 0
        self._taken = self._entered = 0

    def enter(self, sequences: range) -> None:
        """The records that are written next."""
        now_ns = time.monotonic_ns()
        if now_ns - self._left_ns > _PAUSE_NS:
            self._begins.append((sequences.start, now_ns))
        self._entered = sequences.stop

    def leave(self) -> None:
        """All records that were entered have ended."""
        self._left_ns = time.monotonic_ns()

    def take(self) -> Taken:
        """What is complete and was not taken before."""
        ends = array("q", self.ends)
        del self.ends[: len(ends)]
        first, self._taken = self._taken, self._taken + len(ends)
        begin_ns, pauses = self._last_ns, []
        while self._begins and self._begins[0][0] < self._taken:
            sequence, begun_ns = self._begins.pop(0)
            if sequence == first:
                begin_ns = begun_ns
            else:
                pauses.append((sequence - first, begun_ns))
        self._last_ns = ends[-1] if ends else self._last_ns
        return Taken(first, begin_ns, pauses, ends)

    def under_way(self) -> tuple[int, int] | None:
        """Number and start of the record that has begun and not ended, once all that have ended are taken."""
        if self._taken >= self._entered:
            return None
        begins = dict(self._begins)
        return self._taken, begins.get(self._taken, self._last_ns)


class Writer(Worker):
    """A worker of the call `append`, with the call's record_bytes, rate_per_s, block, fsync and shim."""

    def __init__(self, spec: Spec, control: socket.socket) -> None:
        super().__init__(spec, control)
        self._stamps = Stamps()

    def _work(self) -> Spec:
        try:
            build = builder(self._spec["writer"], self._spec["record_bytes"])
            write, close = shimmed(self._spec.get("shim") or "", self._open())
        except (OSError, ValueError) as error:
            return {"refused": str(error), "errno": getattr(error, "errno", None) or 0}
        return self._append_all(build, write, close)

    def _open(self) -> Write:
        """What writes a record to the file. Raises OSError."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        fd = os.open(inside(self._spec["pid"], self._spec["path"]), flags, 0o644)
        return partial(_write_synced, fd) if self._spec.get("fsync") else partial(os.write, fd)

    def _append_all(self, build: Build, write: Write, close: Callable[[], None]) -> Spec:
        """How it ended: nothing for a stop, or what went wrong with the record that is under way."""
        try:
            self._ask()
            while (granted := self._grants.get()) is not None and not self._stopping.is_set():
                self._ask()
                self._append_block(granted, build, write)
            close()
        except Short as error:
            return {"errno": 0, "length": error.written, "why": str(error)}
        except OSError as error:
            return {"errno": error.errno or 0, "length": self._spec["record_bytes"], "why": str(error)}
        return {}

    def _append_block(self, granted: range, build: Build, write: Write) -> None:
        rate = self._spec.get("rate_per_s") or 0
        step = max(1, int(rate * _PACE_S)) if rate else 1 if self._spec.get("fsync") else _CHUNK_RECORDS
        begin = time.monotonic()
        for at in range(0, len(granted), step):
            if self._stopping.is_set():
                return
            part = granted[at : at + step]
            self._stamps.enter(part)
            append_records(part, build=build, write=write, ends=self._stamps.ends)
            self._stamps.leave()
            if rate:
                self._nap(begin + (at + step) / rate)

    def _report(self) -> None:
        with self._reporting:
            taken = self._stamps.take()
            if taken.ends:
                self._send(b"R", taken.packed())

    def _left(self) -> Spec:
        left = self._stamps.under_way()
        return {} if left is None else {"sequence": left[0], "start_ns": left[1]}

    def _late(self) -> Spec:
        return {"errno": 0, "length": self._spec["record_bytes"], **super()._late()}


def _write_synced(fd: int, record: bytes) -> int:
    written = os.write(fd, record)
    os.fsync(fd)
    return written
