"""Judges increments of one number under a lock, from several hosts.

Two things can break: the lock (`lock-exclusion`: two hold it at once) and what is read under it
(`lock-read-write`: the number is not the last that was written). Both end in a token that was given twice; the
times at which the lock was certainly held tell them apart. `_counter_tokens` holds the algorithms.
"""

from __future__ import annotations

import numpy as np

from harness.checkers._counter_tokens import Grants, Increments, Ints, Pair, Tokens, grants, tokens
from harness.checkers._sharing import parts, summed, unread_hosts, verdict_of, workers_of
from harness.checkers._volumes import Measured, fresh_mounts, too_few_workers
from harness.model.history import History, Op
from harness.model.plan import Plan
from harness.model.topology import Check
from harness.model.verdict import Verdict


def check(history: History, plan: Plan, check: Check) -> Verdict:
    """Params used: `volume`, `workers_per_node`. Rows used: increment total reserve mount nonce."""
    volume = check.params["volume"]
    done = history.only(f="increment", outcome="ok")
    measured = summed(_measured, parts(history, volume))
    per_node = int(check.params.get("workers_per_node", 1))
    found = len(workers_of(done))
    doubts = too_few_workers(
        history, plan, volume, per_node=per_node, found=found, what="workers incremented the number"
    )
    return verdict_of(
        history,
        plan,
        check,
        measured,
        doubts=[*doubts, *unread_hosts(history, "total")],
        figures=_figures(history, done, measured),
        counts=(len(done), _possible(history)),
    )


def _figures(history: History, done: History, measured: dict[str, Measured]) -> dict[str, float]:
    """`wait_max_s`: the longest time from asking for the lock to certainly having it."""
    found = increments(done)
    longest_ns = int((found.held - found.start).max(initial=0))
    return {
        "increments": len(done),
        "indeterminate": len(history.only(f="increment", outcome="info")),
        "contended": grants(found).contended,
        "wait_max_s": round(longest_ns / 1e9, 6),
        "double_grants": measured["lock-exclusion"].count,
        "duplicate_tokens": len(done) - tokens(found).distinct,
        "fresh_mounts": fresh_mounts(history),
        "final": max((int(row.value) for row in history.only(f="total", outcome="ok").ops()), default=0),
    }


def increments(done: History) -> Increments:
    """From acknowledged rows. Raises ValueError where a value is not `token held until`."""
    told = np.array([str(value).split(" ") for value in done["value"].tolist()], dtype=np.int64).reshape(-1, 3)
    return Increments(told[:, 0], done["start_ns"], done["end_ns"], told[:, 1], told[:, 2], done["err_ns"])


def _measured(rows: History) -> dict[str, Measured]:
    done = rows.only(f="increment", outcome="ok")
    found = increments(done)
    granted = grants(found)
    clean = found.until + found.err <= granted.first_ns
    read = tokens(found.where(clean))
    return {
        "lock-exclusion": _exclusion(rows, done, found, granted),
        "lock-read-write": _read_write(rows, done, found, np.flatnonzero(clean), read, granted),
    }


def _exclusion(rows: History, done: History, found: Increments, granted: Grants) -> Measured:
    """Without anybody who had to wait for another nothing was excluded."""
    of = len(found) if granted.contended else 0
    if granted.pair is None:
        return Measured(0, of)
    first, second = (_told(rows, done, found, row) for row in granted.pair)
    overlap_ns = int(min(found.until[list(granted.pair)]) - found.held[granted.pair.late])
    both = f"both had it for {overlap_ns / 1e3:.1f} us"
    return Measured(granted.double, of, f"{second} got the lock while {first} held it: {both}")


def _read_write(
    rows: History, done: History, found: Increments, clean: Ints, read: Tokens, granted: Grants
) -> Measured:
    witness = ""
    if read.pair is not None:
        witness = _stale(rows, done, found, Pair(*(int(clean[row]) for row in read.pair)))
    total = Measured(read.stale, len(clean), witness)
    if granted.pair is not None:
        return total
    return total + _finals(rows, found) + _gaps(rows, read, found)


def _stale(rows: History, done: History, found: Increments, pair: Pair) -> str:
    first, second = (_told(rows, done, found, row) for row in pair)
    if found.token[pair.early] == found.token[pair.late]:
        return f"a duplicate token: {first} and {second}, one after the other under the lock"
    return f"a stale read under the lock: {second}, though {first} had ended before it began"


def _finals(rows: History, found: Increments) -> Measured:
    """Read under the lock when all had ended: nothing that was acknowledged may be missing."""
    finals = list(rows.only(f="total", outcome="ok").ops())
    highest = int(found.token.max(initial=0))
    low = [row for row in finals if int(row.value) < highest]
    if not low:
        return Measured(0, len(finals))
    where = f"{low[0].at} on {low[0].host} reads {int(low[0].value)}"
    return Measured(len(low), len(finals), f"lost at the end: {where}, but token {highest} was acknowledged")


def _gaps(rows: History, read: Tokens, found: Increments) -> Measured:
    """The number is at most what was acknowledged and what may have happened: else somebody wrote from nowhere."""
    finals = [int(row.value) for row in rows.only(f="total", outcome="ok").ops()]
    highest = max([int(found.token.max(initial=0)), *finals])
    possible = read.distinct + _possible(rows)
    if highest <= possible:
        return Measured()
    return Measured(
        highest - possible, 0, f"the number came to {highest}, but at most {possible} increments can have happened"
    )


def _possible(rows: History) -> int:
    """Increments that may have happened, or not: never answered, or reserved and never told of."""
    told = rows.only(f="increment")
    reserved = int(rows.only(f="reserve")["length"].sum())
    return len(told.only(outcome="info")) + max(0, reserved - len(told))


def _told(rows: History, done: History, found: Increments, row: int) -> str:
    """An increment for people; times are counted from the first one."""
    origin_ns = int(rows.only(f="increment")["start_ns"].min())
    op = _op(done, row)
    held, until = ((int(column[row]) - origin_ns) / 1e6 for column in (found.held, found.until))
    return f"{op.process} in {op.at} on {op.host} (token {found.token[row]}, held {held:.3f} to {until:.3f} ms)"


def _op(rows: History, row: int) -> Op:
    mask = np.zeros(len(rows), dtype=bool)
    mask[row] = True
    return next(rows.where(mask).ops())
