"""Longer conversations with listeners: stream (rates), rtt (round trips), beat (a kept connection)."""

from __future__ import annotations

import errno
import fcntl
import selectors
import socket
import struct
import termios
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

from .loop import Task, run, run_one, sleep
from .namespaces import by_pid, each_network, in_network
from .protocol import Call
from .rows import NEVER, Row, probe_row
from .sockets import Missed, Peer, converse, deadline, missed, numeric, receive, send_all

_ECHO_BYTES = 64
_CHUNK = bytes(1 << 18)
#: How long a connection may take to come up where the call gives no time for it.
_CONNECT_TIMEOUT_S = 5.0

#: A wait without an end, in pieces.
_LONG_S = 3600.0

Item = dict[str, Any]
Talk = Callable[[Call, Item, Peer], None]


def stream(call: Call) -> Row:
    """One transfer after another, so that none takes another's share."""
    for item in call.params["transfers"]:
        _with_peer(call, item, "stream", "sink", timeout_s=_CONNECT_TIMEOUT_S, talk=_stream)
        call.rows.flush()
    return {}


def rtt(call: Call) -> Row:
    """One pair after another, so that none waits behind another."""
    for item in call.params["pairs"]:
        _with_peer(call, item, "rtt", "echo", timeout_s=item["timeout_s"], talk=_round_trips)
    return {}


def beat(call: Call) -> Row:
    def work(_pid: int, group: list[Item]) -> None:
        run([_beat(call, item) for item in group], limit=len(group), stopped=call.stopped.is_set)

    each_network(by_pid(call.params["connections"]), work, lambda group: _gone(call, group))
    return {}


def _with_peer(call: Call, item: Item, f: str, op: str, *, timeout_s: float, talk: Talk) -> None:
    """Connect from the item's namespace, then `talk(call, item, peer)`; a row where there is no such peer."""
    start_ns = time.monotonic_ns()
    wanted = {"op": op, "bytes": 0}
    try:
        until = deadline(timeout_s)
        peer = in_network(item["pid"], lambda: run_one(converse(item, numeric(item["address"]), wanted, until)))
    except Missed as why:
        call.rows.add(probe_row(item, f, why.got, start_ns, time.monotonic_ns(), errno=why.number))
        return
    except (FileNotFoundError, ProcessLookupError):
        _gone_row(call, item, f)
        return
    with closing(peer.sock):
        if peer.value == "ok ?":
            row = probe_row(item, f, peer.value, start_ns, time.monotonic_ns(), errno=peer.number, outcome="fail")
            call.rows.add(row)
            return
        talk(call, item, peer)


def _gone_row(call: Call, item: Item, f: str) -> None:
    now = time.monotonic_ns()
    process = item.get("process", "agent")
    call.rows.add(probe_row(item, f, "unreachable", now, now, errno=errno.ESRCH, process=process))


def _gone(call: Call, group: list[Item]) -> None:
    for item in group:
        _gone_row(call, item, "beat")


# --- stream ---------------------------------------------------------------------------------------------------


def _stream(call: Call, item: Item, peer: Peer) -> None:
    """A row an interval: the bytes that the peer's kernel acknowledged in it, by SIOCOUTQ (tcp(7))."""
    end = deadline(item["duration_s"])
    sent = counted = 0
    with selectors.DefaultSelector() as selector:
        selector.register(peer.sock, selectors.EVENT_WRITE)
        while time.monotonic() < end and not call.stopped.is_set():
            start_ns = time.monotonic_ns()
            try:
                sent += _pump(peer.sock, selector, min(end, deadline(item["interval_s"])))
            except OSError as error:
                why = missed(error)
                now = time.monotonic_ns()
                call.rows.add(probe_row(item, "stream", why.got, start_ns, now, errno=why.number))
                return
            arrived = sent - _unacknowledged(peer.sock)
            value = peer.value if arrived > counted else "timeout"
            row = probe_row(item, "stream", value, start_ns, time.monotonic_ns(), length=arrived - counted)
            call.rows.add(row)
            counted = arrived


def _pump(sock: socket.socket, selector: selectors.BaseSelector, until: float) -> int:
    """Send as fast as the socket takes it; the bytes taken. Raises OSError."""
    sent = 0
    while True:
        rest_s = until - time.monotonic()
        if rest_s <= 0:
            return sent
        if selector.select(rest_s):
            try:
                sent += sock.send(_CHUNK)
            except BlockingIOError:
                continue


def _unacknowledged(sock: socket.socket) -> int:
    size: int = struct.unpack("=i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)))[0]
    return size


# --- rtt ------------------------------------------------------------------------------------------------------


def _round_trips(call: Call, item: Item, peer: Peer) -> None:
    """A row a round trip; the first that does not come back is the last."""
    sock = peer.sock
    sock.settimeout(item["timeout_s"])
    for _count in range(item["count"]):
        if call.stopped.is_set():
            return
        start_ns = time.monotonic_ns()
        why = _round_trip(sock)
        end_ns = time.monotonic_ns()
        value, number = (why.got, why.number) if why else (peer.value, 0)
        call.rows.add(probe_row(item, "rtt", value, start_ns, end_ns, length=_ECHO_BYTES, errno=number))
        if why:
            return


def _round_trip(sock: socket.socket) -> Missed | None:
    try:
        sock.sendall(bytes(_ECHO_BYTES))
        size = 0
        while size < _ECHO_BYTES:
            chunk = sock.recv(_ECHO_BYTES - size)
            if not chunk:
                return Missed("reset")
            size += len(chunk)
    except socket.timeout:  # noqa: UP041 (TimeoutError only since Python 3.10)
        return Missed("timeout", errno.ETIMEDOUT)
    except OSError as error:
        return missed(error)
    return None


# --- beat -----------------------------------------------------------------------------------------------------


class _Beat:
    """The echo that is under way on one kept connection, and the rows that it makes."""

    def __init__(self, call: Call, item: Item, peer: str) -> None:
        self._call = call
        self._item = item
        self._peer = peer
        self._start_ns = 0

    def begin(self) -> None:
        self._start_ns = time.monotonic_ns()

    def end(self, value: str = "", number: int = 0) -> None:
        """Without `value`: it came back. May be called again for one echo: late, and then after all."""
        self._row(value or self._peer, time.monotonic_ns(), number)

    def unanswered(self) -> None:
        """Stopped while it was under way: nobody knows whether it would have come back."""
        self._row("timeout", NEVER, 0, "info")

    def _row(self, value: str, end_ns: int, number: int, outcome: str = "") -> None:
        row = probe_row(
            self._item, "beat", value, self._start_ns, end_ns,
            length=_ECHO_BYTES, errno=number, outcome=outcome, process=self._item["process"],
        )  # fmt: skip
        self._call.rows.add(row)


def _beat(call: Call, item: Item) -> Task[None]:
    """Echoes until the connection ends; it is never replaced."""
    echo = _Beat(call, item, "ok ?")
    echo.begin()
    try:
        until = deadline(max(_CONNECT_TIMEOUT_S, call.params["reply_s"]))
        peer = yield from converse(item, numeric(item["address"]), {"op": "echo", "bytes": 0}, until)
    except Missed as why:
        echo.end(why.got, why.number)
        return
    with closing(peer.sock):
        if peer.value == "ok ?":
            echo.end("reset" if peer.number == 0 else "timeout", peer.number)
            return
        yield from _beats(call, peer, _Beat(call, item, peer.value))


def _beats(call: Call, peer: Peer, echo: _Beat) -> Task[None]:
    while True:
        next_at = deadline(call.params["interval_s"])
        echo.begin()
        try:
            yield from send_all(peer.sock, bytes(_ECHO_BYTES), deadline(call.params["reply_s"]))
            yield from _await_reply(peer.sock, echo, call.params["reply_s"])
        except Missed as why:
            echo.end(why.got, why.number)
            return
        echo.end()
        yield from sleep(next_at - time.monotonic())


def _await_reply(sock: socket.socket, echo: _Beat, reply_s: float) -> Task[None]:
    """One row when the reply is late; the wait then goes on without an end. Raises Missed with `reset`."""
    until = deadline(reply_s)
    size, late = 0, False
    try:
        while size < _ECHO_BYTES:
            try:
                chunk = yield from receive(sock, until)
            except Missed as why:
                if why.got != "timeout":
                    raise
                if not late:
                    echo.end("timeout", errno.ETIMEDOUT)
                late, until = True, deadline(_LONG_S)
                continue
            if not chunk:
                raise Missed("reset", errno.ECONNRESET)
            size += len(chunk)
    except GeneratorExit:
        if not late:
            echo.unanswered()
        raise
