"""The agent's side of writers: passes their wishes and grants on, and makes rows of what they report."""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
import threading
import time
from array import array
from collections.abc import Callable

from .frames import record_id
from .nursery import Nursery
from .protocol import Call
from .rows import NEVER, Row, chained, packed
from .writer import STOP_GRACE_S, Frames, send_frame, unpack_rows

#: Writers that say nothing this long after a stop are given up: a process that is frozen cannot answer.
_GIVE_UP_S = STOP_GRACE_S + 3.0
_LOOK_S = 0.2
_SHARED = ("record_bytes", "rate_per_s", "block", "fsync", "shim")


def append(nursery: Nursery) -> Callable[[Call], Row]:
    """The handler of the call `append`."""

    def handler(call: Call) -> Row:
        appending = _Appending(call)
        try:
            appending.start(nursery)
            return appending.serve()
        finally:
            appending.close()

    return handler


class _Writer:
    """What the agent knows of one writer. `next` is the first sequence number that it has not reported."""

    def __init__(self, params: Row, sock: socket.socket) -> None:
        self.process = str(params["process"])
        self.at = str(params["at"])
        self.writer = int(params["writer"])
        self.sock = sock
        self.frames = Frames(sock)
        self.granted = 0
        self.next = 0
        self.last_ns = time.monotonic_ns()
        self.ended: str | None = None


class _Appending:
    def __init__(self, call: Call) -> None:
        self._call = call
        self._params = call.params
        self._writers: dict[int, _Writer] = {}
        self._selector = selectors.DefaultSelector()
        self._sending = threading.Lock()
        self._give_up_at: float | None = None

    def start(self, nursery: Nursery) -> None:
        for params in self._params["writers"]:
            spec = {**params, **{name: self._params.get(name) for name in _SHARED}}
            writer = _Writer(params, nursery.writer(spec))
            self._writers[writer.writer] = writer
            self._selector.register(writer.sock, selectors.EVENT_READ, writer)
        self._call.on_grant = self._grant
        self._call.on_stop = self._stop
        if self._call.stopped.is_set():
            self._stop()

    def serve(self) -> Row:
        """Until every writer has ended. Raises OSError where one could not open its file."""
        while any(writer.ended is None for writer in self._writers.values()):
            for key, _events in self._selector.select(_LOOK_S):
                self._hear(key.data)
            if self._give_up_at and time.monotonic() > self._give_up_at:
                self._give_up()
        return {"writers": {w.process: {"appended": w.next, "end": w.ended} for w in self._writers.values()}}

    def close(self) -> None:
        """A writer that still runs ends when its socket does."""
        self._call.on_grant = lambda _grant: None
        self._call.on_stop = lambda: None
        with self._sending:
            for writer in self._writers.values():
                writer.sock.close()
        self._selector.close()

    def _grant(self, grant: Row) -> None:
        writer = self._writers[grant["writer"]]
        writer.granted = max(writer.granted, grant["first"] + grant["count"])
        self._send(writer, b"G", json.dumps(grant).encode())

    def _stop(self) -> None:
        self._give_up_at = time.monotonic() + _GIVE_UP_S
        for writer in self._writers.values():
            self._send(writer, b"S")

    def _send(self, writer: _Writer, kind: bytes, body: bytes = b"") -> None:
        """A writer that is gone is noticed where it is heard."""
        with self._sending, contextlib.suppress(OSError):
            send_frame(writer.sock, kind, body)

    def _hear(self, writer: _Writer) -> None:
        try:
            frames = writer.frames.read()
        except OSError:
            self._vanished(writer, "its process ended")
            return
        for kind, body in frames:
            if kind == b"R":
                self._rows(writer, *unpack_rows(body))
            elif kind == b"W":
                self._call.reserve(json.loads(body))
            elif kind == b"E":
                self._end(writer, json.loads(body))

    def _rows(self, writer: _Writer, first: int, starts: array[int], ends: array[int]) -> None:
        writer.next = first + len(ends)
        writer.last_ns = ends[-1]
        common = self._common(writer, len(ends), self._params["record_bytes"])
        ids = {"from": record_id(writer.writer, first)}
        self._call.batch({**common, "value": ids, "start_ns": chained(starts, ends), "end_ns": packed(ends)})

    def _common(self, writer: _Writer, rows: int, length: int) -> Row:
        return {
            "n": rows, "process": writer.process, "at": writer.at, "f": "append", "key": self._params["key"],
            "length": length,
        }  # fmt: skip

    def _end(self, writer: _Writer, how: Row) -> None:
        if "refused" in how:
            raise OSError(how["errno"], f"{writer.process} at {writer.at}: {how['refused']}")
        if "sequence" in how:
            self._indeterminate(writer, how["sequence"], how["start_ns"], how["errno"], how["length"])
        self._forget(writer, how.get("why", "stopped"))

    def _vanished(self, writer: _Writer, why: str) -> None:
        """The first number that it may have used is indeterminate for sure; its reservations cover the others."""
        if writer.next < writer.granted:
            self._indeterminate(writer, writer.next, writer.last_ns, 0, self._params["record_bytes"])
        self._forget(writer, why)

    def _indeterminate(self, writer: _Writer, sequence: int, start_ns: int, errno: int, length: int) -> None:
        row = {"value": record_id(writer.writer, sequence), "start_ns": start_ns, "end_ns": NEVER}
        self._call.batch({**self._common(writer, 1, length), **row, "outcome": "info", "errno": errno})

    def _forget(self, writer: _Writer, why: str) -> None:
        if writer.ended is None:
            writer.ended = why
            self._selector.unregister(writer.sock)

    def _give_up(self) -> None:
        for writer in self._writers.values():
            if writer.ended is None:
                self._vanished(writer, "it did not answer to a stop")
