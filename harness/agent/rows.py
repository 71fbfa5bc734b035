"""Rows of a history on their way out, in columns."""

from __future__ import annotations

import base64
import sys
import threading
from array import array
from collections.abc import Callable
from typing import Any

Row = dict[str, Any]
Batch = dict[str, Any]

#: `end_ns` of an operation that was never answered.
NEVER = (1 << 63) - 1
#: How long rows may wait before they are sent.
FLUSH_S = 0.25
_U4_VALUES = 1 << 32
#: Which half of a 64-bit integer in memory is the lower one.
_LOWER = 0 if sys.byteorder == "little" else 1


def columns(rows: list[Row]) -> Batch:
    """One batch of rows that have the same keys: a column whose values are all equal is one value."""
    batch: Batch = {"n": len(rows)}
    for name in rows[0]:
        values = [row[name] for row in rows]
        batch[name] = values[0] if values.count(values[0]) == len(values) else values
    return batch


def packed(values: array[int]) -> Batch:
    """A long column of 64-bit integers on its way: a writer's stamps cost ten times as much in decimal."""
    if sys.byteorder == "big":
        values = values[:]
        values.byteswap()
    return {"i8": base64.b64encode(values.tobytes()).decode()}


def packed_times(times: array[int]) -> Batch:
    """Times that never fall, as `packed`, in half of the room: the first in full, and of each the lower 32 bits.
    Where the last is too late for that (2^32 ns, 4.3 s, after the first) they are sent in full.
    """
    if not times or times[-1] - times[0] >= _U4_VALUES:
        return packed(times)
    halves = memoryview(times).cast("B").cast("I")
    lower = array("I")
    lower.frombytes(halves[_LOWER::2].tobytes())  # item by item it takes five times as long
    if sys.byteorder == "big":
        lower.byteswap()
    return {"u4": base64.b64encode(lower).decode(), "from": times[0]}


class Rows:
    """Collects rows with the same keys from any thread; `flush` sends what is there as one batch, in order."""

    def __init__(self, send: Callable[[Batch], None]) -> None:
        self._send = send
        self._rows: list[Row] = []
        self._adding = threading.Lock()
        self._sending = threading.Lock()

    def add(self, row: Row) -> None:
        with self._adding:
            self._rows.append(row)

    def flush(self) -> None:
        with self._sending:
            with self._adding:
                rows, self._rows = self._rows, []
            if rows:
                self._send(columns(rows))


def probe_row(
    item: Row,
    f: str,
    value: str,
    start_ns: int,
    end_ns: int,
    *,
    length: int = 0,
    offset: int = -1,
    errno: int = 0,
    outcome: str = "",
    process: str = "agent",
) -> Row:
    """A row about `item` (an entry of a call's params). Without `outcome`: ok where `value` begins with ok."""
    return {
        "process": process, "at": item["at"], "f": f, "key": item["key"], "value": value,
        "offset": offset, "length": length, "errno": errno, "start_ns": start_ns, "end_ns": end_ns,
        "outcome": outcome or ("ok" if value.partition(" ")[0] == "ok" else "fail"),
    }  # fmt: skip
