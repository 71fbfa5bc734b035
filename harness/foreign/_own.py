"""Our own histories: the registers of a run, `put` and `get` in docs/history.md, as calls."""

from __future__ import annotations

import json
from pathlib import Path

from harness.model.calls import Call, Calls
from harness.model.errors import UsageError
from harness.model.history import NEVER, History, Op
from harness.transport.recorder import LINES, from_lines, from_parquet, read_history

_KINDS = {"put": "write", "get": "read"}
#: What a register of ours reads as before anything was written.
_NOTHING = 0


def read_own(path: Path) -> Calls:
    """The registers of a run folder, of its history folder, or of one file in there. Raises UsageError."""
    notes: list[str] = []
    history = _history(path, notes)
    rows = history.only(f=list(_KINDS))
    calls, dropped = [], 0
    ended: dict[tuple[str, str], int] = {}
    for number, op in enumerate(rows.ops(), start=1):
        _refuse_unfit(path, number, op, ended)
        if op.outcome == "fail":
            dropped += 1
        else:
            calls.append(_call(path, number, op))
    others = len(history) - len(rows)
    if others:
        notes.append(f"{others} rows are no put or get of a register; `harness check RUN` judges a whole run")
    model = "register" if calls else ""
    return Calls(str(path), "harness", model, tuple(calls), initial=_NOTHING, dropped=dropped, notes=tuple(notes))


def _history(path: Path, notes: list[str]) -> History:
    if path.is_dir():
        return read_history(path.parent if path.name == LINES else path, notes.append)
    if path.suffix == ".jsonl" or path.read_bytes()[:1] == b"{":
        return from_lines([path], notes.append)
    return from_parquet(path)


def _refuse_unfit(path: Path, number: int, op: Op, ended: dict[tuple[str, str], int]) -> None:
    """A row that cannot be: of an outcome that is not known, backwards in time, or twice."""
    where = f"{path}: register row {number} ({op.process}, {op.f} {op.key})"
    if op.outcome not in ("ok", "fail", "info"):
        raise UsageError(f"{where}: the outcome {json.dumps(op.outcome)} is not known to this version")
    if op.start_ns > op.end_ns:
        raise UsageError(f"{where}: it ends before it starts")
    who = (op.check, op.process)
    if op.start_ns < ended.get(who, op.start_ns):
        raise UsageError(
            f"{where}: it starts before the row of its process before it ended",
            hint="a process does one call at a time: a row stands there twice, or rows are not in order",
        )
    ended[who] = op.start_ns if op.outcome == "info" else op.end_ns


def _call(path: Path, number: int, op: Op) -> Call:
    """Times are widened by what the clock may be off, so that only what is certain orders two calls."""
    try:
        value = int(op.value)
    except ValueError as error:
        raise UsageError(f"{path}: register row {number}: the value {op.value!r} is no number") from error
    crashed = op.outcome == "info" or op.end_ns == NEVER
    end = NEVER if crashed else op.end_ns + op.err_ns
    f = _KINDS[op.f]
    argument, result = (value, None) if f == "write" else (None, None if crashed else value)
    place = f"{op.host} at {op.start_ns} ns" if op.host else f"row {number}"
    return Call(op.process, f, f"{op.check}|{op.key}", argument, result, op.start_ns - op.err_ns, end, place)
