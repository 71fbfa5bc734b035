"""Listeners that say who they are: TCP and UDP, in the namespaces of containers."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import selectors
import socket
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from .namespaces import in_network
from .protocol import Call
from .sockets import request

_BACKLOG = 512
_MAX_DATAGRAM_BYTES = 2048
_MAX_REQUEST_BYTES = 4096
_CHUNK_BYTES = 1 << 18
#: How long a client may take to say what it wants.
_REQUEST_TIMEOUT_S = 10.0
#: Connections that are served at once; more are closed as they come.
_MAX_CONNECTIONS = 1024

#: TCP and UDP of one port; of each family where the endpoint has both.
Pair = tuple[socket.socket, socket.socket]
Pairs = list[Pair]


class _Owner(NamedTuple):
    """Everything that listens for one endpoint. `pid` is its first process, 0 for the host. `pidfd` is readable
    when it ends; None where unknown.
    """

    at: str
    pid: int
    token: str
    sockets: Pairs
    pidfd: int | None


class Listeners:
    """All listeners of an agent, served by one thread; a connection is served by one of its own.

    They close by themselves when the container's first process ends: they live in our process, and would
    otherwise go on answering for a container that is gone.
    """

    def __init__(self) -> None:
        self._owners: dict[str, _Owner] = {}
        self._changing = threading.RLock()
        self._selector = selectors.DefaultSelector()
        self._room = threading.BoundedSemaphore(_MAX_CONNECTIONS)
        self._wake_r, self._wake_w = os.pipe()
        self._selector.register(self._wake_r, selectors.EVENT_READ, self._woken)
        threading.Thread(target=self._serve, daemon=True).start()

    def listen(self, call: Call) -> dict[str, Any]:
        opened: dict[str, list[int]] = {}
        taken: dict[str, list[int]] = {}
        errors: dict[str, str] = {}
        names: dict[int, set[str]] = {}
        for endpoint in call.params["endpoints"]:
            names.setdefault(endpoint["pid"], set()).add(endpoint["at"])
        self._rename(names)
        for endpoint in call.params["endpoints"]:
            at = endpoint["at"]
            try:
                opened[at], taken[at] = self._open(endpoint, call.params["token"])
            except OSError as error:
                errors[at] = str(error)
        self._wake()
        return {"opened": opened, "taken": {at: ports for at, ports in taken.items() if ports}, "errors": errors}

    def unlisten(self, _call: Call) -> dict[str, Any]:
        with self._changing:
            for at in list(self._owners):
                self._close(at)
        self._wake()
        return {}

    def _rename(self, names: dict[int, set[str]]) -> None:
        """A container may be called otherwise now, as pods are that take the number of one that is gone: what
        answers by its old name would keep its ports. Within a pod an agent knows it as 0, too.
        """
        with self._changing:
            for owner in list(self._owners.values()):
                if owner.at not in names.get(owner.pid, {owner.at}):
                    self._close(owner.at)

    def _open(self, endpoint: dict[str, Any], token: str) -> tuple[list[int], list[int]]:
        """Raises OSError, for another reason than a taken port, with nothing left open."""
        at, pid = endpoint["at"], endpoint["pid"]
        with self._changing:
            self._close(at)
            pairs = in_network(pid, lambda: _bind_all(endpoint["ports"], ipv6=bool(endpoint.get("ipv6"))))
            owner = _Owner(at, pid, token, [pair for of_port in pairs.values() for pair in of_port], _pidfd(pid))
            self._owners[at] = owner
            self._watch(owner)
        return [port for port, pair in pairs.items() if pair], [port for port, pair in pairs.items() if not pair]

    def _watch(self, owner: _Owner) -> None:
        for tcp, udp in owner.sockets:
            self._selector.register(tcp, selectors.EVENT_READ, lambda tcp=tcp: self._accept(owner, tcp))
            self._selector.register(udp, selectors.EVENT_READ, lambda udp=udp: _answer(owner, udp))
        if owner.pidfd is not None:
            self._selector.register(owner.pidfd, selectors.EVENT_READ, lambda: self._end_of(owner))

    def _end_of(self, owner: _Owner) -> None:
        if self._owners.get(owner.at) is owner:
            self._close(owner.at)

    def _close(self, at: str) -> None:
        owner = self._owners.pop(at, None)
        if owner is None:
            return
        for sock in [sock for pair in owner.sockets for sock in pair]:
            self._selector.unregister(sock)
            sock.close()
        if owner.pidfd is not None:
            self._selector.unregister(owner.pidfd)
            os.close(owner.pidfd)

    def _serve(self) -> None:
        """Events that were collected before a change are stale after it; their sockets are closed and say so."""
        while True:
            for key, _events in self._selector.select():
                with self._changing, contextlib.suppress(OSError, ValueError):
                    key.data()

    def _wake(self) -> None:
        os.write(self._wake_w, b"w")

    def _woken(self) -> None:
        os.read(self._wake_r, 1 << 16)

    def _accept(self, owner: _Owner, tcp: socket.socket) -> None:
        connection, _address = tcp.accept()
        if not self._room.acquire(blocking=False):
            connection.close()
            return
        threading.Thread(target=self._converse, args=(owner, connection), daemon=True).start()

    def _converse(self, owner: _Owner, connection: socket.socket) -> None:
        """A client that breaks off, or that says nothing sensible, is let go."""
        try:
            with connection, contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                _serve_connection(owner, connection)
        finally:
            self._room.release()


def _bind_all(ports: list[int], *, ipv6: bool) -> dict[int, Pairs]:
    """A TCP and a UDP socket a port, and with `ipv6` two more; none where IPv4's are taken.

    Raises OSError with nothing left open.
    """
    pairs: dict[int, Pairs] = {}
    try:
        for port in ports:
            pairs[port] = []
            for family in (socket.AF_INET, socket.AF_INET6)[: 1 + ipv6]:
                pair = _bind(family, port)
                if pair is None:
                    break
                pairs[port].append(pair)
    except OSError:
        for sock in [sock for of_port in pairs.values() for pair in of_port for sock in pair]:
            sock.close()
        raise
    return pairs


def _bind(family: socket.AddressFamily, port: int) -> Pair | None:
    """None where the port is taken. A socket of IPv6 takes no IPv4 (ipv6(7), IPV6_V6ONLY)."""
    anywhere = "::" if family == socket.AF_INET6 else "0.0.0.0"
    with contextlib.ExitStack() as undo:
        tcp = undo.enter_context(socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK))
        udp = undo.enter_context(socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK))
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            for sock in (tcp, udp):
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            tcp.bind((anywhere, port))
            tcp.listen(_BACKLOG)
            udp.bind((anywhere, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            return None
        undo.pop_all()
    return tcp, udp


def _pidfd(pid: int) -> int | None:
    """None for the host itself, and where the kernel or Python has no pidfd_open(2)."""
    opener: Callable[[int], int] | None = getattr(os, "pidfd_open", None)
    if pid == 0 or opener is None:
        return None
    try:
        return opener(pid)
    except OSError:
        return None


def _answer(owner: _Owner, udp: socket.socket) -> None:
    data, client = udp.recvfrom(_MAX_DATAGRAM_BYTES)
    asked = json.loads(data)
    if isinstance(asked, dict) and asked.get("op") == "id":
        udp.sendto(request({"token": owner.token, "at": owner.at, "n": asked.get("n")}), client)


def _serve_connection(owner: _Owner, connection: socket.socket) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.settimeout(_REQUEST_TIMEOUT_S)
    line, rest = _read_request(connection)
    wanted = json.loads(line)
    connection.sendall(request({"token": owner.token, "at": owner.at}))
    connection.settimeout(None)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if wanted["op"] == "sink":
        _sink(connection, int(wanted["bytes"]), rest)
    elif wanted["op"] == "echo":
        _echo(connection, rest)


def _read_request(connection: socket.socket) -> tuple[bytes, bytes]:
    """The request's line and what came behind it. Raises ValueError where none comes."""
    data = b""
    while b"\n" not in data:
        chunk = connection.recv(_MAX_REQUEST_BYTES)
        if not chunk or len(data) > _MAX_REQUEST_BYTES:
            raise ValueError("no request")
        data += chunk
    line, _newline, rest = data.partition(b"\n")
    return line, rest


def _sink(connection: socket.socket, wanted: int, rest: bytes) -> None:
    """Read `wanted` bytes, or to the client's end for 0, and say how many came."""
    buffer = bytearray(_CHUNK_BYTES)
    counted = len(rest)
    while not wanted or counted < wanted:
        size = connection.recv_into(buffer)
        if not size:
            break
        counted += size
    connection.sendall(request({"bytes": counted}))


def _echo(connection: socket.socket, rest: bytes) -> None:
    while True:
        if rest:
            connection.sendall(rest)
        rest = connection.recv(_CHUNK_BYTES)
        if not rest:
            return
