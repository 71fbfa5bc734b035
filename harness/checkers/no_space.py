"""Judges a volume that got full: whether all that was not refused is there, read from every host.

`no-space-at-fsync` of records that were synced, `no-space-surfaces` of those that were only closed: want of room
is told at one of their calls. A record whose calls all ended well, and that is not there in the end, was lost in
silence. Where no call was ever told that there is no room, the volume was never full, and nothing is known. Where
other things went wrong too (a fault beside `disk-full`), a close promises nothing: then it is not measured.
"""

from __future__ import annotations

import errno
from collections import Counter

from harness.checkers._kept import Kept, compared, finals
from harness.checkers._ranges import numbers
from harness.checkers._sharing import parts, summed, unread_hosts, verdict_of, workers_of
from harness.checkers._volumes import Measured, fresh_mounts, too_few_workers
from harness.model.history import History, Op
from harness.model.plan import Plan
from harness.model.topology import Check
from harness.model.verdict import Verdict

SYNCED, CLOSED = "deposit-synced", "deposit-closed"
PROMISES = {SYNCED: "no-space-at-fsync", CLOSED: "no-space-surfaces"}
_CALLS = {SYNCED: "write, fsync and close", CLOSED: "write and close"}
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
    nonce fresh.
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
    kinds = _kinds(deposits, harmless={fault.fault for fault in check.faults} <= _HARMLESS)
    pending = len(deposits.only(outcome="info"))
    figures = {
        "stored": len(acknowledged),
        "refused": len(told),
        "indeterminate": pending,
        "fresh_mounts": fresh_mounts(history),
        "found": max((len(numbers(str(row.value))) for row in finals(history)), default=0),
        **{f"told_at_{call}": count for call, count in sorted(Counter(str(op.value) for op in told).items())},
    }
    return verdict_of(
        history,
        plan,
        check,
        summed(lambda rows: _measured(rows, kinds), parts(history, volume)),
        doubts=[*doubts, *([] if told else [_NEVER_FULL]), *unread_hosts(history, "kept")],
        figures=figures,
        counts=(len(acknowledged), pending),
    )


def _kinds(deposits: History, *, harmless: bool) -> list[str]:
    """What was tried and says something; synced records always are of interest."""
    closed = harmless and len(deposits.only(f=CLOSED)) > 0
    return [kind for kind, wanted in ((SYNCED, len(deposits.only(f=SYNCED)) > 0), (CLOSED, closed)) if wanted]


def _told(rows: History) -> list[Op]:
    """Calls that were told that there is no room."""
    return [op for op in rows.only(f="told").ops() if op.errno in _NO_ROOM]


def _measured(rows: History, kinds: list[str]) -> dict[str, Measured]:
    """Every record that must be there, on each host, is a chance, once the volume was full. One that nobody wrote
    counts once, with the first kind.
    """
    full = bool(_told(rows))
    found = finals(rows)
    total = {PROMISES[kind]: Measured() for kind in kinds}
    for key in sorted({row.key for row in rows.only(f=(SYNCED, CLOSED)).ops()}):
        attempts = list(rows.only(f=(SYNCED, CLOSED), key=key).ops())
        for final in (row for row in found if row.key == key):
            for kind in kinds:
                must = [op for op in attempts if op.outcome == "ok" and op.f == kind]
                kept = compared(final, attempts, must, rows.only(f="reserve"))
                total[PROMISES[kind]] += _of_file(kept, kind, full=full, foreign=kind == kinds[0])
    return total


def _of_file(kept: Kept, kind: str, *, full: bool, foreign: bool) -> Measured:
    count = kept.wrong if foreign else len(kept.lost)
    return Measured(count, len(kept.floor) if full else 0, _witness(kept, kind))


def _witness(kept: Kept, kind: str) -> str:
    if not kept.lost:
        return kept.first_foreign()
    return f"{_CALLS[kind]} of {kept.first_lost()} told no error, and {kept.reader} does not find it"
