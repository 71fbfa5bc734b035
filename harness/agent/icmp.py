"""ICMP echo (RFC 792, RFC 4443) with an exact packet size, and with Don't Fragment where asked."""

from __future__ import annotations

import errno
import secrets
import socket
import struct
from contextlib import closing
from typing import NamedTuple

from .loop import READ, Task, Wait
from .sockets import Missed, family_of, missed

#: What ping(8) sends.
DEFAULT_PACKET_BYTES = 84
MAX_PACKET_BYTES = 65535


class _Protocol(NamedTuple):
    """ICMP of one family. `headers_bytes`: what a packet holds besides its payload: the IP header without options,
    and 8 of ICMP. `too_big` is the type and code, or the type alone, of "this packet does not fit".
    `level` and `mtu_discover`: the option of linux/in.h and linux/in6.h.
    """

    number: int
    headers_bytes: int
    request: int
    reply: int
    unreachable: int
    time_exceeded: int
    too_big: bytes
    level: int
    mtu_discover: int


_V4 = _Protocol(socket.IPPROTO_ICMP, 28, 8, 0, 3, 11, b"\x03\x04", socket.IPPROTO_IP, 10)
_V6 = _Protocol(socket.IPPROTO_ICMPV6, 48, 128, 129, 1, 3, b"\x02", socket.IPPROTO_IPV6, 23)
# PROBE sets Don't Fragment and neither heeds nor learns a path MTU: an earlier probe's answer must not become this
# one's. DONT lets the kernel fragment.
_PMTUDISC_DONT, _PMTUDISC_PROBE = 0, 3
# linux/socket.h, linux/icmp.h, linux/icmpv6.h: a bit that is set blocks that type.
_SOL_RAW, _ICMP_FILTER, _ICMP6_FILTER = 255, 1, 1
_IPV6_HEADER_BYTES = 40


def _protocol_of(address: str) -> _Protocol:
    return _V6 if family_of(address) == socket.AF_INET6 else _V4


def ping(address: str, packet_bytes: int, df: bool, until: float) -> Task[None]:
    """One echo of `packet_bytes` (the IP packet's total length). Returns when it came back; raises Missed.

    A packet that is too large for its own interface is EMSGSIZE at once; one that is too large further on is
    fragmentation-needed, or nothing where that answer is filtered or, inside a tunnel, never made.
    """
    protocol = _protocol_of(address)
    least = protocol.headers_bytes
    if not least <= packet_bytes <= MAX_PACKET_BYTES:
        raise ValueError(f"packet_bytes must be from {least} to {MAX_PACKET_BYTES}, not {packet_bytes}")
    mark = secrets.token_bytes(4)
    with closing(_socket(protocol, df)) as sock:
        try:
            sock.sendto(_echo(protocol, mark, packet_bytes - least), (address, 0))
        except OSError as error:
            raise missed(error) from error
        yield from _await_echo(sock, mark, address, until)


def _socket(protocol: _Protocol, df: bool) -> socket.socket:
    family = socket.AF_INET6 if protocol is _V6 else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_RAW | socket.SOCK_NONBLOCK, protocol.number)
    sock.setsockopt(protocol.level, protocol.mtu_discover, _PMTUDISC_PROBE if df else _PMTUDISC_DONT)
    sock.setsockopt(*_filter(protocol))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    return sock


def _filter(protocol: _Protocol) -> tuple[int, int, bytes]:
    """The option that keeps all messages from a socket but answers and complaints."""
    bits = 256 if protocol is _V6 else 32
    wanted = (protocol.reply, protocol.unreachable, protocol.time_exceeded, protocol.too_big[0])
    blocked = (1 << bits) - 1
    for kind in wanted:
        blocked &= ~(1 << kind)
    words = struct.pack(f"={bits // 32}I", *(blocked >> at & 0xFFFFFFFF for at in range(0, bits, 32)))
    return (protocol.number, _ICMP6_FILTER, words) if protocol is _V6 else (_SOL_RAW, _ICMP_FILTER, words)


def _echo(protocol: _Protocol, mark: bytes, payload_bytes: int) -> bytes:
    """An echo request whose identifier and sequence number are the four bytes of `mark`.

    The kernel itself sums up ICMPv6, whose sum has the addresses in it (RFC 3542, 3.1).
    """
    rest = mark + bytes(payload_bytes)
    sum_ = 0 if protocol is _V6 else checksum(struct.pack(">BBH", protocol.request, 0, 0) + rest)
    return struct.pack(">BBH", protocol.request, 0, sum_) + rest


def checksum(data: bytes) -> int:
    """RFC 1071."""
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f">{len(padded) // 2}H", padded))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def _await_echo(sock: socket.socket, mark: bytes, address: str, until: float) -> Task[None]:
    """The socket sees all echo traffic of its namespace; only answers with our mark are for us."""
    while True:
        if not (yield Wait(until, sock, READ)):
            raise Missed("timeout", errno.ETIMEDOUT)
        try:
            packet, (sender, *_rest) = sock.recvfrom(MAX_PACKET_BYTES)
        except BlockingIOError:
            continue
        except OSError as error:
            raise missed(error) from error
        protocol = _protocol_of(address)
        # a raw socket of IPv6 gives no IP header (RFC 3542, 3)
        message = packet if protocol is _V6 else _icmp_of(packet)
        complaint = complaint_in(message, mark, protocol)
        if complaint:
            raise complaint
        if _is_same(sender, address) and _is_reply(message, mark, protocol):
            return


def _icmp_of(packet: bytes) -> bytes:
    """What stands behind the IP header, which may have options in IPv4, and is taken to have none in IPv6."""
    if not packet:
        return b""
    return packet[_IPV6_HEADER_BYTES if packet[0] >> 4 == 6 else (packet[0] & 0x0F) * 4 :]


def _is_same(sender: str, address: str) -> bool:
    """IPv6 addresses have several forms in writing."""
    family = family_of(address)
    return socket.inet_pton(family, sender.partition("%")[0]) == socket.inet_pton(family, address)


def _is_reply(message: bytes, mark: bytes, protocol: _Protocol) -> bool:
    return message[:1] == bytes([protocol.reply]) and message[4:8] == mark


def complaint_in(message: bytes, mark: bytes, protocol: _Protocol = _V4) -> Missed | None:
    """What an ICMP error says about the echo request with `mark`, which it quotes; None where about others."""
    complaints = (protocol.unreachable, protocol.time_exceeded, protocol.too_big[0])
    if len(message) < 8 or message[0] not in complaints:
        return None
    quoted = _icmp_of(message[8:])
    if quoted[:1] != bytes([protocol.request]) or quoted[4:8] != mark:
        return None
    if message.startswith(protocol.too_big):
        return Missed("mtu", errno.EMSGSIZE)
    return Missed("unreachable", errno.EHOSTUNREACH)
