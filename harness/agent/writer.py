"""One writer of the append log: a process of its own, so that nothing of the agent stands in its way.

Two threads: the first writes and only writes; the clerk reports what was written, four times a second and also
while a write hangs, and talks with the agent over a socket. Frames on it: kind (one byte), length (u32), body.
    to the agent: `W` wants numbers, `R` rows, `E` the end       to the writer: `G` a grant, `S` stop
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import select
import socket
import struct
import threading
import time
from array import array
from collections.abc import Callable
from functools import partial
from typing import Any

from .frames import builder
from .namespaces import inside
from .rows import FLUSH_S
from .shims import Write, shimmed

#: How long a write that hangs may go on after a stop; then its record is indeterminate and the writer ends.
STOP_GRACE_S = 5.0
#: Records between two looks at the stop flag: a look costs about as much as a time stamp.
_CHUNK_RECORDS = 64
#: With a rate, as many records as fall into this time are written in one go.
_PACE_S = 0.01
_LONGEST_NAP_S = 0.05
#: A writer that did something else for longer than this has paused: what it writes next does not begin before.
_PAUSE_NS = 100_000

FRAME = struct.Struct("<cI")
_FIRST = struct.Struct("<Q")

Spec = dict[str, Any]
Build = Callable[[int], bytes]


def send_frame(sock: socket.socket, kind: bytes, body: bytes = b"") -> None:
    sock.sendall(FRAME.pack(kind, len(body)) + body)


class Frames:
    """Frames as they come in on a socket. `read` takes what is there; raises ConnectionError at the end."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._data = bytearray()

    def read(self) -> list[tuple[bytes, bytes]]:
        chunk = self._sock.recv(1 << 20)
        if not chunk:
            raise ConnectionError("the other side is gone")
        self._data += chunk
        return list(iter(self._next, None))

    def _next(self) -> tuple[bytes, bytes] | None:
        if len(self._data) < FRAME.size:
            return None
        kind, length = FRAME.unpack_from(self._data)
        if len(self._data) < FRAME.size + length:
            return None
        body = bytes(self._data[FRAME.size : FRAME.size + length])
        del self._data[: FRAME.size + length]
        return kind, body


def pack_rows(first: int, starts: array[int], ends: array[int]) -> bytes:
    """Rows of consecutive records: the first's number, all starts, all ends."""
    return _FIRST.pack(first) + starts.tobytes() + ends.tobytes()


def unpack_rows(body: bytes) -> tuple[int, array[int], array[int]]:
    """The first record's number, all starts, all ends."""
    stamps = array("q")
    stamps.frombytes(body[_FIRST.size :])
    half = len(stamps) // 2
    return _FIRST.unpack_from(body)[0], stamps[:half], stamps[half:]


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

    def take(self) -> tuple[int, array[int], array[int]]:
        """The number of the first record that is complete and was not taken before, all starts, all ends."""
        ends = array("q", self.ends)
        del self.ends[: len(ends)]
        first, self._taken = self._taken, self._taken + len(ends)
        starts = (array("q", [self._last_ns]) + ends)[: len(ends)]
        while self._begins and self._begins[0][0] < self._taken:
            sequence, begin_ns = self._begins.pop(0)
            starts[sequence - first] = begin_ns
        self._last_ns = ends[-1] if ends else self._last_ns
        return first, starts, ends

    def under_way(self) -> tuple[int, int] | None:
        """Number and start of the record that has begun and not ended, once all that have ended are taken."""
        if self._taken >= self._entered:
            return None
        begins = dict(self._begins)
        return self._taken, begins.get(self._taken, self._last_ns)


class Writer:
    """Runs one `spec`: a writer of the call's params, with the call's record_bytes, rate_per_s, block, fsync
    and shim.
    """

    def __init__(self, spec: Spec, control: socket.socket) -> None:
        self._spec = spec
        self._control = control
        self._frames = Frames(control)
        self._grants: queue.Queue[range | None] = queue.Queue()
        self._stopping = threading.Event()
        self._reporting = threading.RLock()
        self._stamps = Stamps()
        self._asked = 0

    def run(self) -> None:
        """To the end; its last frame says how it was. Opening may hang as well as writing: the clerk is first."""
        threading.Thread(target=self._clerk, daemon=True).start()
        try:
            build = builder(self._spec["writer"], self._spec["record_bytes"])
            write, close = shimmed(self._spec.get("shim") or "", self._open())
        except (OSError, ValueError) as error:
            self._end({"refused": str(error), "errno": getattr(error, "errno", None) or 0})
        else:
            self._end(self._append_all(build, write, close))

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

    def _nap(self, until: float) -> None:
        """Wait for the time at which a rate lets the writer go on, or for a stop."""
        while not self._stopping.is_set():
            rest_s = until - time.monotonic()
            if rest_s <= 0:
                return
            time.sleep(min(rest_s, _LONGEST_NAP_S))

    def _ask(self) -> None:
        count = self._spec["block"]
        wanted = {"writer": self._spec["writer"], "first": self._asked, "count": count}
        self._asked += count
        with self._reporting:
            send_frame(self._control, b"W", json.dumps(wanted).encode())

    def _clerk(self) -> None:
        deadline: float | None = None
        while True:
            readable, _, _ = select.select([self._control], [], [], FLUSH_S)
            if readable:
                self._hear()
            self._report()
            if self._stopping.is_set():
                deadline = deadline or time.monotonic() + STOP_GRACE_S
                if time.monotonic() >= deadline:
                    self._end({"errno": 0, "length": self._spec["record_bytes"], "why": "it did not come back"})

    def _hear(self) -> None:
        """Without the agent there is nobody to report to: what was granted stays indeterminate."""
        try:
            frames = self._frames.read()
        except OSError:
            os._exit(1)
        for kind, body in frames:
            if kind == b"G":
                grant = json.loads(body)
                self._grants.put(range(grant["first"], grant["first"] + grant["count"]))
            elif kind == b"S":
                self._stopping.set()
                self._grants.put(None)

    def _report(self) -> None:
        """Send the rows that are complete. The other thread only adds at the end meanwhile."""
        with self._reporting:
            first, starts, ends = self._stamps.take()
            if ends:
                send_frame(self._control, b"R", pack_rows(first, starts, ends))

    def _end(self, how: Spec) -> None:
        """Report what is left, with the record that is under way if there is one, and end the process."""
        with self._reporting, contextlib.suppress(OSError):
            self._report()
            if (left := self._stamps.under_way()) is not None:
                how = {**how, "sequence": left[0], "start_ns": left[1]}
            send_frame(self._control, b"E", json.dumps(how).encode())
            os._exit(0)
        os._exit(1)


def _write_synced(fd: int, record: bytes) -> int:
    written = os.write(fd, record)
    os.fsync(fd)
    return written
