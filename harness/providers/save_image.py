"""The head of a guest's memory as `virsh save` writes it, read and written: pure, but for the stream.

libvirt refuses to restore under another name (its check of the ABI compares names and UUIDs), and what is made
here is called after its run. So the head gets another description of the machine; the memory behind it stays as it
is. The format is virQEMUSaveHeader of libvirt's qemu_saveimage.h, version 2: fixed fields, the XML, a cookie.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import IO

MAGIC = b"LibvirtQemudSave"
VERSION = 2
#: Magic; version, length of XML and cookie, whether it ran, compression, where the cookie begins; fourteen unused.
_FIELDS = struct.Struct("=16s5I56s")
#: Far beyond any description of a machine: what says more is no head.
_MAX_BYTES = 16 * 2**20


class NotAnImage(ValueError):
    """What begins with no head of that version."""


@dataclass(frozen=True)
class Head:
    """`ran`, `packed` (0: as it is) and `unused` are handed on. `cookie` is libvirt's own, may be empty."""

    xml: str
    cookie: bytes
    ran: int
    packed: int
    unused: bytes


def read_head(stream: IO[bytes]) -> Head:
    """Leaves `stream` where the memory begins. Raises NotAnImage."""
    fields = stream.read(_FIELDS.size)
    if len(fields) < _FIELDS.size:
        raise NotAnImage("it ends before its head does")
    magic, version, length, ran, packed, cookie_at, unused = _FIELDS.unpack(fields)
    if magic != MAGIC or version != VERSION:
        raise NotAnImage(f"it is no memory of a guest in libvirt's format {VERSION}")
    text = stream.read(length) if length <= _MAX_BYTES else b""
    if not text or len(text) < length or cookie_at > length:
        raise NotAnImage("it ends before its head does")
    xml, cookie = (text[:cookie_at], text[cookie_at:]) if cookie_at else (text, b"")
    return Head(xml.split(b"\0")[0].decode(), cookie.split(b"\0")[0], ran, packed, unused)


def write_head(head: Head, stream: IO[bytes]) -> None:
    xml = head.xml.encode() + b"\0"
    cookie = head.cookie + b"\0" if head.cookie else b""
    cookie_at = len(xml) if cookie else 0
    fields = (MAGIC, VERSION, len(xml) + len(cookie), head.ran, head.packed, cookie_at, head.unused)
    stream.write(_FIELDS.pack(*fields) + xml + cookie)
