"""Reading an append log back: every whole record with its place, and what stands between them."""

from __future__ import annotations

import hashlib
import os
import time
from array import array
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from .frames import HEADER, MAGIC, MIN_BYTES, PAYLOAD, PAYLOAD_ALPHABET, id_at
from .namespaces import inside
from .protocol import Call
from .rows import Row, packed

_CHUNK_BYTES = 4 << 20
#: Rows a batch: keeps a line of the stream within a few MiB.
BATCH_ROWS = 20_000
#: A run of NUL bytes from here on is a hole; a header may hold shorter ones.
_HOLE_BYTES = 16
#: How much of what is no record is shown: a header, and where a payload begins; of the first spans of a read only.
SHOWN_BYTES = 24
SHOWN_SPANS = 64


class Span(NamedTuple):
    kind: str
    offset: int
    length: int


def read_log(call: Call) -> Row:
    for reader in call.params["readers"]:
        _read_one(call, reader)
    return {}


def _read_one(call: Call, reader: Row) -> None:
    common = {"process": reader["process"], "at": reader["at"], "key": call.params["key"]}
    start_ns = time.monotonic_ns()
    scan = Scan(call.params["record_bytes"])
    try:
        digest, size = _scan_file(inside(reader["pid"], reader["path"]), scan)
    except OSError as error:
        times = {"start_ns": start_ns, "end_ns": time.monotonic_ns()}
        call.batch({**common, **times, "n": 1, "f": "read", "value": "", "errno": error.errno, "outcome": "fail"})
        return
    common.update(start_ns=start_ns, end_ns=time.monotonic_ns())
    call.batch({**common, "n": 1, "f": "read", "value": digest, "length": size})
    _send_entries(call, common, scan)


def _send_entries(call: Call, common: Row, scan: Scan) -> None:
    length = call.params["record_bytes"]
    for at in range(0, len(scan.ids), BATCH_ROWS):
        ids, offsets = scan.ids[at : at + BATCH_ROWS], scan.offsets[at : at + BATCH_ROWS]
        columns = {"value": packed(ids), "offset": packed(offsets), "length": length}
        call.batch({**common, **columns, "n": len(ids), "f": "entry"})
    for at in range(0, len(scan.garbage), BATCH_ROWS):
        call.batch({**common, "f": "garbage", **_garbage_columns(scan.garbage[at : at + BATCH_ROWS], scan.shown)})


def _garbage_columns(spans: list[Span], shown: Mapping[int, bytes]) -> Row:
    return {
        "n": len(spans),
        "value": [f"{span.kind} {shown.get(span.offset, b'').hex()}".rstrip() for span in spans],
        "offset": [span.offset for span in spans],
        "length": [span.length for span in spans],
    }


def _scan_file(path: str, scan: Scan) -> tuple[str, int]:
    """The file's sha256 and size; `scan` holds what it found. Raises OSError."""
    digest = hashlib.sha256()
    size = 0
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        while True:
            chunk = os.read(fd, _CHUNK_BYTES)
            if not chunk:
                break
            digest.update(chunk)
            size += len(chunk)
            scan.feed(chunk)
    finally:
        os.close(fd)
    scan.end()
    return digest.hexdigest(), size


class Scan:
    """Finds records in a file that comes in pieces. After `end`, `ids` and `offsets` of the whole records, in
    file order, and `garbage`: what is none, as maximal spans of one kind; `shown` has how the first of them begin,
    by offset.
    """

    def __init__(self, record_bytes: int) -> None:
        if record_bytes < MIN_BYTES:
            raise ValueError(f"record_bytes must be at least {MIN_BYTES}, not {record_bytes}")
        self.ids: array[int] = array("Q")
        self.offsets: array[int] = array("q")
        self.garbage: list[Span] = []
        self.shown: dict[int, bytes] = {}
        self._size = record_bytes
        self._data = b""
        self._base = 0
        self._bad = bytearray()
        self._bad_at = 0

    def feed(self, chunk: bytes) -> None:
        self._data += chunk
        self._advance(last=False)

    def end(self) -> None:
        self._advance(last=True)
        self._close_garbage()

    def _advance(self, *, last: bool) -> None:
        """Consume whole records and garbage; what may still become a record waits for the next piece."""
        data, size, at = self._data, self._size, 0
        while True:
            found = id_at(data, at, size)
            if found is not None:
                self._close_garbage()
                self.ids.append(found)
                self.offsets.append(self._base + at)
                at += size
                continue
            if len(data) - at < size and not last:
                break
            if at >= len(data):
                break
            until = _next_magic(data, at + 1, last)
            self._set_aside(data[at:until], self._base + at)
            at = until
        self._data = data[at:]
        self._base += at

    def _set_aside(self, bad: bytes, offset: int) -> None:
        if not self._bad:
            self._bad_at = offset
        self._bad += bad

    def _close_garbage(self) -> None:
        if self._bad:
            bad, base = bytes(self._bad), self._bad_at
            for span in classify(bad, base):
                self.garbage.append(span)
                if span.kind != "hole" and len(self.shown) < SHOWN_SPANS:
                    begin = span.offset - base
                    self.shown[span.offset] = bad[begin : begin + min(SHOWN_BYTES, span.length)]
            self._bad.clear()


def _next_magic(data: bytes, at: int, last: bool) -> int:
    """Where a record may begin next; before the end only as far as a magic cannot straddle it."""
    found = data.find(MAGIC, at)
    if found >= 0:
        return found
    return len(data) if last else max(at, len(data) - len(MAGIC) + 1)


def classify(bad: bytes, offset: int) -> Iterator[Span]:
    """Spans of one kind. `hole`: NUL bytes; `torn`: has a header or a piece of a payload; else `foreign`."""
    at = 0
    while at < len(bad):
        hole = _hole_end(bad, at)
        until = hole or _hole_start(bad, at)
        kind = "hole" if hole else "torn" if _is_ours(bad[at:until]) else "foreign"
        yield Span(kind, offset + at, until - at)
        at = until


def _hole_end(bad: bytes, at: int) -> int | None:
    """Where the hole that begins at `at` ends; None where none begins there. All that is NUL is a hole."""
    run = len(bad) - at - len(bad[at:].lstrip(b"\0"))
    return at + run if run >= _HOLE_BYTES or run == len(bad) else None


def _hole_start(bad: bytes, at: int) -> int:
    found = bad.find(bytes(_HOLE_BYTES), at)
    return found if found >= 0 else len(bad)


def _is_ours(piece: bytes) -> bool:
    if MAGIC in piece or MAGIC.startswith(piece) or PAYLOAD.search(piece):
        return True
    return len(piece) < HEADER.size and PAYLOAD_ALPHABET.issuperset(piece)
