"""Sockets as tasks, and what their errors mean for a probe."""

from __future__ import annotations

import errno
import json
import os
import socket
import time
from contextlib import closing
from typing import Any, NamedTuple

from .loop import READ, WRITE, Task, Wait

#: A foreign listener may say anything; more than this is not an identity.
_MAX_LINE_BYTES = 4096
_CHUNK_BYTES = 1 << 16

_GOT = {
    errno.ECONNREFUSED: "refused",
    errno.ETIMEDOUT: "timeout",
    errno.EMSGSIZE: "mtu",
    errno.ECONNRESET: "reset",
    errno.EPIPE: "reset",
    errno.ECONNABORTED: "reset",
    errno.EHOSTUNREACH: "unreachable",
    errno.ENETUNREACH: "unreachable",
    errno.EHOSTDOWN: "unreachable",
    errno.ENETDOWN: "unreachable",
    errno.EADDRNOTAVAIL: "unreachable",
    errno.ENONET: "unreachable",
    errno.EACCES: "unreachable",  # a `prohibit` route, ip-route(8)
    errno.EPERM: "unreachable",  # dropped on its way out by a local filter
    errno.ESRCH: "unreachable",  # the container that was to ask is gone
}

# linux/in.h, linux/in6.h: Python has no names for them everywhere.
_RECVERR = {socket.AF_INET: (socket.IPPROTO_IP, 11), socket.AF_INET6: (socket.IPPROTO_IPV6, 25)}


class Missed(Exception):
    """A probe ended without an answer: `got` is a word of docs/history.md, `number` an errno or 0."""

    def __init__(self, got: str, number: int = 0) -> None:
        super().__init__(got)
        self.got = got
        self.number = number


def missed(error: OSError) -> Missed:
    """What a socket's error means. One that does not speak of the network is ours, and is raised as it is."""
    got = _GOT.get(error.errno or 0)
    if got is None:
        raise error
    return Missed(got, error.errno or 0)


class Peer(NamedTuple):
    """An accepted connection: `value` is `got` and the peer's name; `rest` came behind the identity."""

    sock: socket.socket
    value: str
    number: int
    rest: bytes


def identity(answer: bytes, token: str) -> str:
    """`ok NAME` for an answer with our token, `wrong-peer NAME` with another's, `ok ?` for anything else.

    An empty `token` takes any.
    """
    try:
        told = json.loads(answer)
        peer, their_token = str(told["at"]), str(told["token"])
    except (ValueError, KeyError, TypeError):
        return "ok ?"
    return f"ok {peer}" if token in ("", their_token) else f"wrong-peer {peer}"


def connect(sock: socket.socket, address: tuple[str, int], until: float) -> Task[None]:
    """Raises Missed."""
    sock.setblocking(False)
    number = sock.connect_ex(address)
    if number == errno.EINPROGRESS:
        if not (yield Wait(until, sock, WRITE)):
            raise Missed("timeout", errno.ETIMEDOUT)
        number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if number:
        raise missed(OSError(number, os.strerror(number)))


def send_all(sock: socket.socket, data: bytes, until: float) -> Task[None]:
    """Raises Missed."""
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[sock.send(rest) :]
        except BlockingIOError:
            if not (yield Wait(until, sock, WRITE)):
                raise Missed("timeout", errno.ETIMEDOUT) from None
        except OSError as error:
            raise missed(error) from error


def receive(sock: socket.socket, until: float) -> Task[bytes]:
    """What comes next; empty at the peer's end. Raises Missed."""
    while True:
        if not (yield Wait(until, sock, READ)):
            raise Missed("timeout", errno.ETIMEDOUT)
        try:
            return sock.recv(_CHUNK_BYTES)
        except BlockingIOError:
            continue
        except OSError as error:
            raise missed(error) from error


def read_line(sock: socket.socket, until: float) -> Task[tuple[bytes, bytes]]:
    """One line and what came behind it; the line lacks its newline where the peer ended or never sent one."""
    data = b""
    while b"\n" not in data and len(data) < _MAX_LINE_BYTES:
        chunk = yield from receive(sock, until)
        if not chunk:
            break
        data += chunk
    line, newline, rest = data.partition(b"\n")
    return line + newline, rest


def request(op: dict[str, Any]) -> bytes:
    return json.dumps(op).encode() + b"\n"


def converse(item: dict[str, Any], address: str, op: dict[str, Any], until: float) -> Task[Peer]:
    """Connect by TCP, say what we want, learn who answers. The caller closes the socket. Raises Missed.

    A peer that accepts and then keeps silent is `ok ?` with ETIMEDOUT: somebody listens there, unverified.
    """
    sock = tcp_socket(address)
    try:
        yield from connect(sock, (address, item["port"]), until)
        yield from send_all(sock, request(op), until)
        value, number, rest = yield from _identify(sock, item.get("token") or "", until)
    except BaseException:
        sock.close()
        raise
    return Peer(sock, value, number, rest)


def _identify(sock: socket.socket, token: str, until: float) -> Task[tuple[str, int, bytes]]:
    try:
        line, rest = yield from read_line(sock, until)
    except Missed as silence:
        if silence.got != "timeout":
            raise
        return "ok ?", errno.ETIMEDOUT, b""
    return identity(line, token), 0, rest


def tcp_socket(address: str) -> socket.socket:
    sock = socket.socket(family_of(address), socket.SOCK_STREAM)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def ask_udp(address: tuple[str, int], data: bytes, until: float) -> Task[bytes]:
    """One datagram and the first answer to it. Raises Missed.

    IP_RECVERR (ip(7)) and IPV6_RECVERR (ipv6(7)) make a connected UDP socket see host and network unreachable, not
    refusals alone.
    """
    family = family_of(address[0])
    with closing(socket.socket(family, socket.SOCK_DGRAM)) as sock:
        sock.setsockopt(*_RECVERR[family], 1)
        yield from connect(sock, address, until)
        yield from send_all(sock, data, until)
        return (yield from receive(sock, until))


def deadline(timeout_s: float) -> float:
    return time.monotonic() + timeout_s


def family_of(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def numeric(address: str) -> str:
    """The same, of either family. Raises ValueError for anything else, before the socket makes a look-up of its
    own of it, and for link-local addresses: they mean nothing without an interface (RFC 4007).
    """
    try:
        packed = socket.inet_pton(family_of(address), address)
    except OSError:
        raise ValueError(f"{address!r} is not an IP address") from None
    if len(packed) == 16 and packed[0] == 0xFE and packed[1] & 0xC0 == 0x80:
        raise ValueError(f"{address!r} is link-local")
    return address
