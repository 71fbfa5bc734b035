"""Judges a volume that got full: whether all that was not refused is there, read from every host.

`no-space-surfaces`: want of room is told at write, fsync or close, at the latest. A record whose calls all ended
well, and that is not there in the end, was lost in silence. Where no call was ever told that there is no room, the
volume was never full, and nothing is known. Where other things went wrong too (a fault beside `disk-full`), what
was only closed promises nothing: then the records count that were synced.
"""

from __future__ import annotations

import errno
from collections import Counter

from harness.checkers._kept import Kept, compared, finals
from harness.checkers._ranges import numbers
from harness.checkers._sharing import parts, summed, unread_hosts, verdict_of, workers_of
from harness.checkers._volumes import Measured, too_few_workers
from harness.model.history import History, Op
from harness.model.plan import Plan
from harness.model.topology import Check
from harness.model.verdict import Verdict

PROMISE = "no-space-surfaces"
SYNCED, CLOSED = "deposit-synced", "deposit-closed"
#: The fault that takes room away, and nothing else.
_HARMLESS = frozenset({"disk-full"})
#: write(2), fsync(2), close(2).
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
_NEVER_FULL = (
    "the volume was never full: no call was told ENOSPC, EDQUOT or EIO; let the fault disk-full strike, or write "
    "more than there is room for"
)


def check(history: History, plan: Plan, check: Check) -> Verdict:
    """Params used: `volume`, `workers_per_node`. Rows used: deposit-synced deposit-closed told kept reserve mount
    nonce.
    """
    volume = check.params["volume"]
    deposits = history.only(f=(SYNCED, CLOSED))
    acknowledged = deposits.only(outcome="ok")
    told = _told(history)
    doubts = too_few_workers(
        history,
        plan,
        volume,
        per_node=int(check.params.get("workers_per_node", 1)),
        found=len(workers_of(acknowledged)),
        what="workers could store a record",
    )
    harmless = {fault.fault for fault in check.faults} <= _HARMLESS
    floor = (SYNCED, CLOSED) if harmless else (SYNCED,)
    pending = len(deposits.only(outcome="info"))
    figures = {
        "stored": len(acknowledged),
        "refused": len(told),
        "indeterminate": pending,
        "found": max((len(numbers(str(row.value))) for row in finals(history)), default=0),
        **{f"told_at_{call}": count for call, count in sorted(Counter(str(op.value) for op in told).items())},
    }
    return verdict_of(
        history,
        plan,
        check,
        summed(lambda rows: _measured(rows, floor), parts(history, volume)),
        doubts=[*doubts, *([] if told else [_NEVER_FULL]), *unread_hosts(history, "kept")],
        figures=figures,
        counts=(len(acknowledged), pending),
    )


def _told(rows: History) -> list[Op]:
    """Calls that were told that there is no room."""
    return [op for op in rows.only(f="told").ops() if op.errno in _NO_ROOM]


def _measured(rows: History, floor: tuple[str, ...]) -> dict[str, Measured]:
    """Every record that must be there, on each host, is a chance, once the volume was full."""
    full = bool(_told(rows))
    total = Measured()
    found = finals(rows)
    for key in sorted({row.key for row in rows.only(f=(SYNCED, CLOSED)).ops()}):
        attempts = list(rows.only(f=(SYNCED, CLOSED), key=key).ops())
        must = [op for op in attempts if op.outcome == "ok" and op.f in floor]
        for final in (row for row in found if row.key == key):
            kept = compared(final, attempts, must, rows.only(f="reserve"))
            total += Measured(kept.wrong, len(kept.floor) if full else 0, _witness(kept))
    return {PROMISE: total}


def _witness(kept: Kept) -> str:
    if not kept.lost:
        return kept.first_foreign()
    calls = "write, fsync and close" if kept.floor[kept.lost[0]].f == SYNCED else "write and close"
    return f"{calls} of {kept.first_lost()} told no error, and {kept.reader} does not find it"
