"""Blocks whose every part says whose it is: what was read in one go from two writes is seen to the frame.

A block is filled with frames of FRAME_BYTES: magic `HBLK`, writer (u32), sequence (u32), CRC-32 (u32) over these
three, again and again, and at the end the frame's place in the block (u32). All but the place is the same in all
frames of a write, so that a block is made at the speed of memory: who builds slowly hardly ever meets a reader.
"""

from __future__ import annotations

import functools
import struct
import zlib
from collections.abc import Iterator

from .frames import record_id

FRAME_BYTES = 512
_HEAD = struct.Struct("<4sII")
_TOLD = struct.Struct("<4sIII")
_PLACE = struct.Struct("<I")
_MAGIC = b"HBLK"
_NOTHING = b"\0" * FRAME_BYTES

#: What a frame holds that nobody wrote, and one that is not whole.
NOTHING, NOT_WHOLE = 0, -1


def block_of(writer: int, sequence: int, length: int) -> bytes:
    """`length` must be a multiple of FRAME_BYTES."""
    told = _told(writer, sequence)
    return told + told.join(_places(length // FRAME_BYTES))


@functools.lru_cache(maxsize=64)
def _told(writer: int, sequence: int) -> bytes:
    """A frame without its place."""
    crc = zlib.crc32(_HEAD.pack(_MAGIC, writer, sequence))
    once = _TOLD.pack(_MAGIC, writer, sequence, crc)
    return (once * (FRAME_BYTES // _TOLD.size))[: FRAME_BYTES - _PLACE.size]


@functools.lru_cache(maxsize=4)
def _places(count: int) -> tuple[bytes, ...]:
    return tuple(map(_PLACE.pack, range(count)))


def runs(data: bytes) -> list[tuple[int, int, int]]:
    """(value, first frame, frames) of what stands in a block, in order; value as in `record_id`, or NOTHING, or
    NOT_WHOLE. A block that is too short ends in a run of NOTHING.
    """
    if len(data) >= FRAME_BYTES and not len(data) % FRAME_BYTES:
        _magic, writer, sequence, _crc = _TOLD.unpack_from(data)
        if data == block_of(writer, sequence, len(data)):
            return [(record_id(writer, sequence), 0, len(data) // FRAME_BYTES)]
    found: list[tuple[int, int, int]] = []
    for place, value in enumerate(_values(data)):
        if found and found[-1][0] == value:
            found[-1] = (value, found[-1][1], found[-1][2] + 1)
        else:
            found.append((value, place, 1))
    return found


def _values(data: bytes) -> Iterator[int]:
    view = memoryview(data)
    for at in range(0, len(data), FRAME_BYTES):
        yield _value(bytes(view[at : at + FRAME_BYTES]), at // FRAME_BYTES)


def _value(frame: bytes, place: int) -> int:
    if frame == _NOTHING:
        return NOTHING
    _magic, writer, sequence, _crc = _TOLD.unpack_from(frame)
    if frame != _told(writer, sequence) + _PLACE.pack(place):
        return NOT_WHOLE
    return record_id(writer, sequence)


def text_of(data: bytes, length: int) -> str:
    """What stands in a block, for the history: its value where it is one; else its runs, as `value@first+frames`,
    and the bytes around the first border: `7@0+3 9@3+5 #1536:HEX|HEX`.
    """
    found = runs(data.ljust(length, b"\0"))
    if len(found) == 1:
        return str(found[0][0])
    border = found[1][1] * FRAME_BYTES
    told = " ".join(f"{value}@{first}+{count}" for value, first, count in found[:_MOST])
    more = f" +{len(found) - _MOST}" if len(found) > _MOST else ""
    return f"{told}{more} #{border}:{data[border - 20 : border].hex()}|{data[border : border + 20].hex()}"


#: Runs that are told; who wants more than that has seen enough.
_MOST = 16
