"""Records of the append log: `HLOG`, writer, sequence, length, CRC-32 over all other bytes, payload."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable

MAGIC = b"HLOG"
HEADER = struct.Struct("<4s4I")
MIN_BYTES = 24
MAX_BYTES = 1 << 20
_SIGNED = struct.Struct("<4s3I")
_CRC = struct.Struct("<I")
#: What a payload repeats: writer and sequence in hexadecimal. A piece of one is known as ours, and holds no NUL.
PAYLOAD = re.compile(rb"[0-9a-f]{16}\.")
PAYLOAD_ALPHABET = frozenset(b"0123456789abcdef.")


def record_id(writer: int, sequence: int) -> int:
    return writer << 32 | sequence


def builder(writer: int, record_bytes: int) -> Callable[[int], bytes]:
    """A function from a sequence number to its record. Raises ValueError for a size that no record can have."""
    if not MIN_BYTES <= record_bytes <= MAX_BYTES:
        raise ValueError(f"record_bytes must be from {MIN_BYTES} to {MAX_BYTES}, not {record_bytes}")
    room = record_bytes - HEADER.size
    repeats = room // 17 + 1
    sign, pack_crc, crc32 = _SIGNED.pack, _CRC.pack, zlib.crc32

    def build(sequence: int) -> bytes:
        head = sign(MAGIC, writer, sequence, record_bytes)
        payload = (b"%08x%08x." % (writer, sequence) * repeats)[:room]
        return head + pack_crc(crc32(payload, crc32(head))) + payload

    return build


def sequence_of(record: bytes) -> int:
    sequence: int = HEADER.unpack_from(record)[2]
    return sequence


def id_at(data: bytes, at: int, record_bytes: int) -> int | None:
    """The id of the whole record at `at`; None where there is none, or it is cut short or damaged."""
    if len(data) - at < record_bytes or data[at : at + 4] != MAGIC:
        return None
    _magic, writer, sequence, length, crc = HEADER.unpack_from(data, at)
    if length != record_bytes:
        return None
    head = zlib.crc32(data[at : at + _SIGNED.size])
    if zlib.crc32(data[at + HEADER.size : at + record_bytes], head) != crc:
        return None
    return record_id(writer, sequence)
