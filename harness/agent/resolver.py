"""A stub resolver (RFC 1034, RFC 1035): A and AAAA records, over UDP, over TCP where the answer was truncated.

The containers' own libc is not used: whose answer is measured is the name server's, and images may have none.
"""

from __future__ import annotations

import secrets
import socket
import struct
import time
from collections.abc import Iterable
from contextlib import closing
from typing import NamedTuple

from .loop import Task
from .namespaces import inside
from .sockets import Missed, ask_udp, connect, receive, send_all, tcp_socket

_CLASS_IN = 1
#: Record type, and the length of its address, by family: RFC 1035, 3.4.1; RFC 3596, 2.1 and 2.2.
_RECORDS = {4: (1, 4), 6: (28, 16)}
_FAMILIES = {1: socket.AF_INET, 28: socket.AF_INET6}
_TRUNCATED, _RECURSE = 0x0200, 0x0100
_NOERROR, _NXDOMAIN = 0, 3
_HEADER = struct.Struct(">6H")


class Resolv(NamedTuple):
    """What resolv.conf(5) says. `servers` are (address, port)."""

    servers: list[tuple[str, int]]
    search: list[str]
    ndots: int = 1
    timeout_s: float = 5.0


class Answer(NamedTuple):
    """`status` is ok, nxdomain (also: the name has no address), servfail or timeout."""

    status: str
    addresses: list[str]

    @property
    def value(self) -> str:
        """As it stands in a history: the addresses, sorted, or why there are none."""
        return ",".join(sorted(self.addresses)) or self.status


def resolv_of(pid: int) -> Resolv:
    """The configuration of a container. Raises OSError."""
    with open(inside(pid, "/etc/resolv.conf"), encoding="utf-8", errors="replace") as file:
        return parse_resolv(file)


def parse_resolv(lines: Iterable[str]) -> Resolv:
    """IPv4 name servers only, at most three; of `search` and `domain` the last line counts; see resolv.conf(5)."""
    servers: list[tuple[str, int]] = []
    search: list[str] = []
    ndots, timeout_s = 1, 5.0
    for line in lines:
        keyword, *words = line.split("#")[0].split(";")[0].split() or [""]
        if keyword == "nameserver" and words and ":" not in words[0]:
            servers.append((words[0], 53))
        elif keyword in ("search", "domain"):
            search = [word.rstrip(".") for word in words if word != "."]
        elif keyword == "options":
            ndots = min(15, _option(words, "ndots", ndots))
            timeout_s = min(30, max(1, _option(words, "timeout", 5)))
    return Resolv(servers[:3] or [("127.0.0.1", 53)], search, ndots, timeout_s)


def _option(words: list[str], name: str, default: int) -> int:
    """The number behind `name:` among the words of an options line."""
    for word in words:
        key, _colon, text = word.partition(":")
        if key == name and text.isdigit():
            return int(text)
    return default


def candidates(name: str, config: Resolv) -> list[str]:
    """The absolute names to try, in order: a name with at least `ndots` dots as it is first, others last."""
    if name.endswith("."):
        return [name.rstrip(".")]
    searched = [f"{name}.{domain}" for domain in config.search]
    return [name, *searched] if name.count(".") >= config.ndots else [*searched, name]


def resolve(name: str, config: Resolv, until: float, family: int = 4) -> Task[Answer]:
    """The addresses of `family`, 4 or 6. A name server that failed or kept silent is an answer only where no
    candidate name has addresses.
    """
    worst = Answer("nxdomain", [])
    for candidate in candidates(name, config):
        answer = yield from _resolve_absolute(candidate, config, until, family)
        if answer.status == "ok":
            return answer
        if answer.status != "nxdomain":
            worst = answer
        if time.monotonic() >= until:
            break
    return worst


def _resolve_absolute(name: str, config: Resolv, until: float, family: int) -> Task[Answer]:
    """Each server in turn, twice (resolv.conf(5), attempts); the first that says yes or no is believed."""
    try:
        question = encode_name(name) + struct.pack(">2H", _RECORDS[family][0], _CLASS_IN)
    except ValueError:
        return Answer("nxdomain", [])
    tries = 2 * len(config.servers)
    share_s = min(config.timeout_s, max(0.01, (until - time.monotonic()) / tries))
    answer = Answer("timeout", [])
    for server in config.servers * 2:
        turn = min(until, time.monotonic() + share_s)
        answer = yield from _ask(server, question, turn, until)
        if answer.status in ("ok", "nxdomain") or time.monotonic() >= until:
            break
    return answer


def _ask(server: tuple[str, int], question: bytes, turn: float, until: float) -> Task[Answer]:
    number = secrets.randbelow(1 << 16)
    query = _HEADER.pack(number, _RECURSE, 1, 0, 0, 0) + question
    try:
        reply = yield from ask_udp(server, query, turn)
        if _truncated(reply):
            reply = yield from _ask_tcp(server, query, until)
    except Missed as why:
        return Answer("timeout" if why.got == "timeout" else "servfail", [])
    return decode(reply, query)


def _ask_tcp(server: tuple[str, int], query: bytes, until: float) -> Task[bytes]:
    """RFC 7766: each message behind its length in two bytes. Raises Missed."""
    with closing(tcp_socket(server[0])) as sock:
        yield from connect(sock, server, until)
        yield from send_all(sock, struct.pack(">H", len(query)) + query, until)
        data = b""
        while len(data) < 2 or len(data) < 2 + int.from_bytes(data[:2], "big"):
            chunk = yield from receive(sock, until)
            if not chunk:
                raise Missed("reset")
            data += chunk
        return data[2:]


def _truncated(reply: bytes) -> bool:
    return len(reply) >= _HEADER.size and bool(_HEADER.unpack_from(reply)[1] & _TRUNCATED)


def encode_name(name: str) -> bytes:
    """RFC 1035, 3.1. Raises ValueError for a name that no message can hold."""
    labels = name.encode("idna" if not name.isascii() else "ascii").split(b".")
    if not all(0 < len(label) < 64 for label in labels) or sum(len(label) + 1 for label in labels) > 254:
        raise ValueError(f"{name!r} is no domain name")
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def decode(reply: bytes, query: bytes) -> Answer:
    """The addresses in a reply to `query`, of the type that it asked for. What is not a reply to it, or is
    malformed, is servfail.
    """
    try:
        return _decode(reply, query, struct.unpack(">H", query[-4:-2])[0])
    except (struct.error, IndexError, ValueError):
        return Answer("servfail", [])


def _decode(reply: bytes, query: bytes, wanted: int) -> Answer:
    number, flags, questions, answers, _, _ = _HEADER.unpack_from(reply)
    if number != _HEADER.unpack_from(query)[0] or not flags & 0x8000:
        raise ValueError("not the reply to this query")
    code = flags & 0x000F
    if code not in (_NOERROR, _NXDOMAIN):
        return Answer("servfail", [])
    at = _HEADER.size
    for _question in range(questions):
        at = _skip_name(reply, at) + 4
    addresses: set[str] = set()
    for _record in range(answers):
        address, at = _record_at(reply, _skip_name(reply, at), wanted)
        addresses |= {address} if address else set()
    return Answer("ok" if addresses else "nxdomain", sorted(addresses))


def _record_at(reply: bytes, at: int, wanted: int) -> tuple[str | None, int]:
    """A resource record behind its name: its address if it is of the wanted type, and where the next begins."""
    kind, class_, _ttl, length = struct.unpack_from(">2HIH", reply, at)
    data = reply[at + 10 : at + 10 + length]
    if len(data) != length:
        raise ValueError("cut short")
    is_address = (kind, class_) == (wanted, _CLASS_IN) and (wanted, length) in _RECORDS.values()
    return socket.inet_ntop(_FAMILIES[wanted], data) if is_address else None, at + 10 + length


def _skip_name(reply: bytes, at: int) -> int:
    """Where a name ends. A pointer (RFC 1035, 4.1.4) is two bytes and the end of it; nothing is followed."""
    while reply[at]:
        if reply[at] & 0xC0 == 0xC0:
            return at + 2
        at += 1 + reply[at]
    return at + 1
