"""The agent's side of workers: passes wishes and grants on, hears them out, and gives up those that are mute."""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
import threading
import time
from collections.abc import Iterable

from .nursery import Nursery
from .protocol import Call
from .rows import Row
from .worker import STOP_GRACE_S, Frames, send_frame

#: Workers that say nothing this long after a stop are given up: a process that is frozen cannot answer.
_GIVE_UP_S = STOP_GRACE_S + 3.0
_LOOK_S = 0.2


class Member:
    """What the agent knows of one worker. `next` counts what it has reported."""

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


class Crew:
    """Workers of one call. A subclass makes rows of their reports.

    `deadline_s`: they are told to stop then, for workers that end by themselves and may hang.
    """

    def __init__(self, call: Call, deadline_s: float | None = None) -> None:
        self._call = call
        self._params = call.params
        self._members: dict[int, Member] = {}
        self._selector = selectors.DefaultSelector()
        self._sending = threading.Lock()
        self._stop_at = time.monotonic() + deadline_s if deadline_s else None
        self._give_up_at: float | None = None

    def start(self, nursery: Nursery, specs: Iterable[Row]) -> None:
        for spec in specs:
            member = Member(spec, nursery.worker(spec))
            self._members[member.writer] = member
            self._selector.register(member.sock, selectors.EVENT_READ, member)
        self._call.on_grant = self._grant
        self._call.on_stop = self._stop
        if self._call.stopped.is_set():
            self._stop()

    def serve(self) -> list[Member]:
        """Until every worker has ended. Raises OSError where one could not begin."""
        while any(member.ended is None for member in self._members.values()):
            for key, _events in self._selector.select(_LOOK_S):
                self._hear(key.data)
            self._mind_the_time(time.monotonic())
        return list(self._members.values())

    def close(self) -> None:
        """A worker that still runs ends when its socket does."""
        self._call.on_grant = lambda _grant: None
        self._call.on_stop = lambda: None
        with self._sending:
            for member in self._members.values():
                member.sock.close()
        self._selector.close()

    def _take(self, member: Member, body: bytes) -> None:
        """Rows that a worker reports."""
        raise NotImplementedError

    def _finished(self, member: Member, how: Row) -> None:
        """What a worker's last frame says of an operation that was under way."""

    def _vanished(self, member: Member) -> None:
        """A worker ended without a word, or does not answer: what it may have done."""

    def _grant(self, grant: Row) -> None:
        member = self._members[grant["writer"]]
        member.granted = max(member.granted, grant["first"] + grant["count"])
        self._send(member, b"G", json.dumps(grant).encode())

    def _stop(self) -> None:
        self._give_up_at = time.monotonic() + _GIVE_UP_S
        for member in self._members.values():
            self._send(member, b"S")

    def _mind_the_time(self, now: float) -> None:
        if self._stop_at and now > self._stop_at and self._give_up_at is None:
            self._stop()
        if self._give_up_at and now > self._give_up_at:
            self._give_up()

    def _send(self, member: Member, kind: bytes, body: bytes = b"") -> None:
        """A worker that is gone is noticed where it is heard."""
        with self._sending, contextlib.suppress(OSError):
            send_frame(member.sock, kind, body)

    def _hear(self, member: Member) -> None:
        try:
            frames = member.frames.read()
        except OSError:
            self._vanished(member)
            self._forget(member, "its process ended")
            return
        for kind, body in frames:
            if kind == b"R":
                self._take(member, body)
            elif kind == b"W":
                self._call.reserve(json.loads(body))
            elif kind == b"E":
                self._end(member, json.loads(body))

    def _end(self, member: Member, how: Row) -> None:
        if "refused" in how:
            raise OSError(how["errno"], f"{member.process} at {member.at}: {how['refused']}")
        self._finished(member, how)
        self._forget(member, how.get("why", "stopped" if self._give_up_at else "done"))

    def _forget(self, member: Member, why: str) -> None:
        if member.ended is None:
            member.ended = why
            self._selector.unregister(member.sock)

    def _give_up(self) -> None:
        for member in self._members.values():
            if member.ended is None:
                self._vanished(member)
                self._forget(member, "it did not answer to a stop")
