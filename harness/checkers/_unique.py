"""Calls on registers whose values are written once each: judged by zones, without a search."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from harness.checkers._zones import INITIAL, PHANTOM, Cycle, Registers, examine
from harness.model.calls import Call

Tell = Callable[[Call], str]


@dataclass(frozen=True)
class Unique:
    """Registers for `_zones`; `calls` has the call of each row."""

    registers: Registers
    calls: Sequence[Call]
    keys: int


def unique(calls: Sequence[Call], initial: Hashable) -> Unique | None:
    """None where the zones cannot judge: a cas, or a value that was written twice or stood there at first."""
    if any(call.f not in ("read", "write") for call in calls):
        return None
    rows = [call for call in calls if call.f == "write" or not call.crashed]
    keys = {key: number for number, key in enumerate(dict.fromkeys(call.key for call in rows))}
    written: dict[tuple[str, Hashable], int] = {(key, initial): INITIAL for key in keys}
    for row, call in enumerate(rows):
        if call.f == "write" and written.setdefault((call.key, call.argument), row) != row:
            return None
    source = [
        row if call.f == "write" else written.get((call.key, call.result), PHANTOM)
        for row, call in enumerate(rows)
    ]
    return Unique(_columns(rows, keys, source), rows, len(keys))


def _columns(rows: Sequence[Call], keys: dict[str, int], source: list[int]) -> Registers:
    return Registers(
        key=np.array([keys[call.key] for call in rows], dtype=np.int64),
        value=np.zeros(len(rows), dtype=np.int64),
        write=np.array([call.f == "write" for call in rows], dtype=bool),
        source=np.array(source, dtype=np.int64),
        start=np.array([call.start for call in rows], dtype=np.int64),
        finish=np.array([call.end for call in rows], dtype=np.int64),
    )


def broken(history: Unique, tell: Tell) -> str:
    """What no order fits, in prose; empty where there is an order. Raises ValueError as `examine` does."""
    found = examine(history.registers)
    if found.right:
        return ""
    if len(found.phantoms):
        call = history.calls[int(found.phantoms[0])]
        return f"{_key(call)}{tell(call)}: nobody wrote that there."
    if len(found.early):
        row = int(found.early[0])
        call, write = history.calls[row], history.calls[int(history.registers.source[row])]
        return f"{_key(call)}{tell(call)}: it had ended when the write of that began ({tell(write)})."
    assert found.cycle is not None
    return _contradiction(history, found.cycle, tell)


def _contradiction(history: Unique, cycle: Cycle, tell: Tell) -> str:
    calls = [history.calls[row] if row is not None else None for row in cycle]
    first_v, last_w, first_w, last_v = (tell(call) if call else "the state at the start" for call in calls)
    key = next(_key(call) for call in calls if call)
    return (
        f"{key}no order fits these calls, since a value stands from its write to its last read.\n"
        f"  {first_v}\n    had ended when this began:\n  {last_w}\nand\n"
        f"  {first_w}\n    had ended when this began:\n  {last_v}"
    )


def _key(call: Call) -> str:
    return f"key {call.key}: " if call.key else ""
