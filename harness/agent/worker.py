"""What every process that works on files has: a socket to the agent, grants, a stop, and a clerk that reports.

Two threads: the first works and only works; the clerk reports what was done, four times a second and also while an
operation hangs, and talks with the agent over a socket. Frames on it: kind (one byte), length (u32), body.
    to the agent: `W` wants numbers, `R` rows, `E` the end       to the worker: `G` a grant, `S` stop
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
from typing import Any

from .rows import FLUSH_S

#: How long an operation that hangs may go on after a stop; then it is indeterminate and the worker ends.
STOP_GRACE_S = 5.0
_LONGEST_NAP_S = 0.05

FRAME = struct.Struct("<cI")

Spec = dict[str, Any]


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


class Worker:
    """Runs one `spec`: an entry of the call's list of workers, with what the call says to all of them.

    `writer` in it is the worker's number, `block` how many sequence numbers it reserves at a time. A subclass does
    the work in `_work`, sends what is complete in `_report`, and tells in `_left` what is under way.
    """

    def __init__(self, spec: Spec, control: socket.socket) -> None:
        self._spec = spec
        self._control = control
        self._frames = Frames(control)
        self._grants: queue.Queue[range | None] = queue.Queue()
        self._stopping = threading.Event()
        self._reporting = threading.RLock()
        self._asked = 0

    def run(self) -> None:
        """To the end; its last frame says how it was. Opening may hang as well as working: the clerk is first."""
        threading.Thread(target=self._clerk, daemon=True).start()
        self._end(self._work())

    def _work(self) -> Spec:
        """How it ended: nothing for a stop, `refused` and `errno` where it could not begin, else `why`."""
        raise NotImplementedError

    def _report(self) -> None:
        """Send the rows that are complete. The other thread only adds at the end meanwhile."""
        raise NotImplementedError

    def _left(self) -> Spec:
        """What the last frame says of the operation that is under way; nothing where there is none."""
        raise NotImplementedError

    def _late(self) -> Spec:
        """How it ended where an operation did not come back after a stop."""
        return {"why": "it did not come back"}

    def _ask(self) -> None:
        """Want the next block of sequence numbers."""
        count = self._spec["block"]
        wanted = {"writer": self._spec["writer"], "first": self._asked, "count": count}
        self._asked += count
        self._send(b"W", json.dumps(wanted).encode())

    def _send(self, kind: bytes, body: bytes) -> None:
        with self._reporting:
            send_frame(self._control, kind, body)

    def _nap(self, until: float) -> None:
        """Wait for the time at which a rate lets the worker go on, or for a stop."""
        while not self._stopping.is_set():
            rest_s = until - time.monotonic()
            if rest_s <= 0:
                return
            time.sleep(min(rest_s, _LONGEST_NAP_S))

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
                    self._end(self._late())

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

    def _end(self, how: Spec) -> None:
        """Report what is left, with the operation that is under way if there is one, and end the process."""
        with self._reporting, contextlib.suppress(OSError):
            self._report()
            self._send(b"E", json.dumps({**how, **self._left()}).encode())
            os._exit(0)
        os._exit(1)
