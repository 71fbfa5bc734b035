"""Judges what was synced, after the process that wrote it was killed: read from every host.

`fsync-survives-client-kill`: durable floor within final within attempted. What was acknowledged is there; what was
not may be there or not; nothing else is. `fsync-survives-server-kill` is the same where the check's faults killed
a server instead (parameter `killed`): then no process that writes was, and nothing is put down to the wrong one.
"""

from __future__ import annotations

from functools import partial

from harness.checkers._kept import Kept, compared, finals
from harness.checkers._ranges import numbers
from harness.checkers._sharing import parts, summed, unread_hosts, verdict_of, workers_of
from harness.checkers._volumes import Measured, fresh_mounts, too_few_workers
from harness.model.history import History, Op
from harness.model.plan import Plan
from harness.model.topology import Check
from harness.model.verdict import Verdict

PROMISES = {"client": "fsync-survives-client-kill", "server": "fsync-survives-server-kill"}
_NOBODY = "no server was killed: a fault `kill` that names one is missing, or did not reach it"


def check(history: History, plan: Plan, check: Check) -> Verdict:
    """Params used: `volume`, `workers_per_node`, `killed`. Rows used: sync kill kept reserve fault mount nonce."""
    volume = check.params["volume"]
    synced = history.only(f="sync", outcome="ok")
    killed = str(check.params.get("killed", "client"))
    servers = _server_kills(history) if killed == "server" else None
    doubts = too_few_workers(
        history,
        plan,
        volume,
        per_node=int(check.params.get("workers_per_node", 1)),
        found=len(workers_of(synced)),
        what="workers synced a record",
    )
    pending = len(history.only(f="sync", outcome="info"))
    figures = {
        "synced": len(synced),
        "indeterminate": pending,
        "fresh_mounts": fresh_mounts(history),
        "kills": len(history.only(f="kill", outcome="ok")) + len(servers or ()),
        "found": max((len(numbers(str(row.value))) for row in finals(history)), default=0),
    }
    return verdict_of(
        history,
        plan,
        check,
        summed(partial(_measured, PROMISES[killed], servers), parts(history, volume)),
        doubts=[*doubts, *unread_hosts(history, "kept"), *([] if servers or servers is None else [_NOBODY])],
        figures=figures,
        counts=(len(synced), pending),
    )


def _server_kills(history: History) -> list[int]:
    """When servers were dead for certain."""
    return [op.end_ns for op in history.only(f="fault", key="kill", outcome="ok").ops() if op.value == "inject"]


def _measured(promise: str, servers: list[int] | None, rows: History) -> dict[str, Measured]:
    total = Measured()
    found = finals(rows)
    for key in sorted({row.key for row in rows.only(f="sync").ops()}):
        for final in (row for row in found if row.key == key):
            total += _of_file(rows.only(key=key), rows.only(f="reserve"), final, servers)
    return {promise: total}


def _of_file(rows: History, reserved: History, final: Op, servers: list[int] | None) -> Measured:
    """One worker's file as one host reads it. Only what was synced before a kill can have survived one. `servers`:
    when servers were killed, where those are meant.
    """
    syncs = list(rows.only(f="sync").ops())
    kept = compared(final, syncs, [op for op in syncs if op.outcome == "ok"], reserved)
    own = [op.start_ns for op in rows.only(f="kill", outcome="ok").ops()]
    kills, whose = (own, "its process") if servers is None else (servers, "a server")
    struck = sum(op.start_ns < max(kills, default=0) for op in kept.floor.values())
    return Measured(kept.wrong, struck, _witness(kept, kills, whose))


def _witness(kept: Kept, kills: list[int], whose: str) -> str:
    if not kept.lost:
        return kept.first_foreign()
    op = kept.floor[kept.lost[0]]
    after = [kill - op.end_ns for kill in kills if kill >= op.start_ns]
    when = f", {max(0, min(after)) / 1e6:.3f} ms before {whose} was killed" if after else ""
    return f"{kept.first_lost()} was synced{when}, and {kept.reader} does not find it"
