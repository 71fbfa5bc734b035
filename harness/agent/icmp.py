"""ICMP echo (RFC 792) with an exact packet size, and with Don't Fragment where asked."""

from __future__ import annotations

import errno
import secrets
import socket
import struct
from contextlib import closing

from .loop import READ, Task, Wait
from .sockets import Missed, missed

#: IPv4 header without options and ICMP header: what a packet holds besides its payload.
HEADERS_BYTES = 28
#: What ping(8) sends.
DEFAULT_PACKET_BYTES = 84
MAX_PACKET_BYTES = 65535

_ECHO_REPLY, _UNREACHABLE, _ECHO_REQUEST, _TIME_EXCEEDED = 0, 3, 8, 11
_FRAGMENTATION_NEEDED = 4
# linux/in.h. PROBE sets Don't Fragment and neither heeds nor learns a path MTU: an earlier probe's answer must
# not become this one's. DONT lets the kernel fragment.
_IP_MTU_DISCOVER, _PMTUDISC_DONT, _PMTUDISC_PROBE = 10, 0, 3
# linux/socket.h, linux/icmp.h: a bit that is set blocks that type.
_SOL_RAW, _ICMP_FILTER = 255, 1
_WANTED = (1 << _ECHO_REPLY) | (1 << _UNREACHABLE) | (1 << _TIME_EXCEEDED)


def ping(address: str, packet_bytes: int, df: bool, until: float) -> Task[None]:
    """One echo of `packet_bytes` (the IP packet's total length). Returns when it came back; raises Missed.

    A packet that is too large for its own interface is EMSGSIZE at once; one that is too large further on is
    fragmentation-needed, or nothing where that answer is filtered or, inside a tunnel, never made.
    """
    if not HEADERS_BYTES <= packet_bytes <= MAX_PACKET_BYTES:
        raise ValueError(f"packet_bytes must be from {HEADERS_BYTES} to {MAX_PACKET_BYTES}, not {packet_bytes}")
    mark = secrets.token_bytes(4)
    with closing(_socket(df)) as sock:
        try:
            sock.sendto(_echo(mark, packet_bytes - HEADERS_BYTES), (address, 0))
        except OSError as error:
            raise missed(error) from error
        yield from _await_echo(sock, mark, address, until)


def _socket(df: bool) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_ICMP)
    sock.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_PROBE if df else _PMTUDISC_DONT)
    sock.setsockopt(_SOL_RAW, _ICMP_FILTER, struct.pack("=I", ~_WANTED & 0xFFFFFFFF))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    return sock


def _echo(mark: bytes, payload_bytes: int) -> bytes:
    """An echo request whose identifier and sequence number are the four bytes of `mark`."""
    rest = mark + bytes(payload_bytes)
    sum_ = checksum(struct.pack(">BBH", _ECHO_REQUEST, 0, 0) + rest)
    return struct.pack(">BBH", _ECHO_REQUEST, 0, sum_) + rest


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
            packet, (sender, _port) = sock.recvfrom(MAX_PACKET_BYTES)
        except BlockingIOError:
            continue
        except OSError as error:
            raise missed(error) from error
        complaint = complaint_in(packet, mark)
        if complaint:
            raise complaint
        if sender == address and _is_reply(packet, mark):
            return


def _icmp_of(packet: bytes) -> bytes:
    return packet[(packet[0] & 0x0F) * 4 :] if packet else b""


def _is_reply(packet: bytes, mark: bytes) -> bool:
    message = _icmp_of(packet)
    return message[:1] == bytes([_ECHO_REPLY]) and message[4:8] == mark


def complaint_in(packet: bytes, mark: bytes) -> Missed | None:
    """What an ICMP error says about the echo request with `mark`, which it quotes; None where about others."""
    message = _icmp_of(packet)
    if len(message) < 8 or message[0] not in (_UNREACHABLE, _TIME_EXCEEDED):
        return None
    quoted = _icmp_of(message[8:])
    if quoted[:1] != bytes([_ECHO_REQUEST]) or quoted[4:8] != mark:
        return None
    if message[:2] == bytes([_UNREACHABLE, _FRAGMENTATION_NEEDED]):
        return Missed("mtu", errno.EMSGSIZE)
    return Missed("unreachable", errno.EHOSTUNREACH)
