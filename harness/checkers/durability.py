"""Judges what was synced, after the process that wrote it was killed: read from every host.

`fsync-survives-client-kill`: durable floor within final within attempted. What was acknowledged is there; what was
not may be there or not; nothing else is. `fsync-survives-server-kill` is the same where the check's faults killed
a server instead (parameter `killed`): then no process that writes was, and nothing is put down to the wrong one.
"""

from __future__ import annotations

from functools import partial

from harness.checkers._ranges import numbers
from harness.checkers._sharing import parts, summed, unread_hosts, verdict_of, workers_of
from harness.checkers._volumes import Measured, fresh_mounts, too_few_workers
from harness.model.history import History, Op
from harness.model.plan import Plan
from harness.model.topology import Check
from harness.model.verdict import Verdict

PROMISES = {"client": "fsync-survives-client-kill", "server": "fsync-survives-server-kill"}
WRITER_SHIFT = 32
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
        "found": max((len(numbers(str(row.value))) for row in _kept(history)), default=0),
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


def _kept(rows: History) -> list[Op]:
    return list(rows.only(f="kept", outcome="ok").ops())


def _server_kills(history: History) -> list[int]:
    """When servers were dead for certain."""
    return [op.end_ns for op in history.only(f="fault", key="kill", outcome="ok").ops() if op.value == "inject"]


def _measured(promise: str, servers: list[int] | None, rows: History) -> dict[str, Measured]:
    total = Measured()
    finals = _kept(rows)
    for key in sorted({row.key for row in rows.only(f="sync").ops()}):
        for final in (row for row in finals if row.key == key):
            total += _of_file(rows.only(key=key), rows.only(f="reserve"), final, servers)
    return {promise: total}


def _of_file(rows: History, reserved: History, final: Op, servers: list[int] | None) -> Measured:
    """One worker's file as one host reads it. Only what was synced before a kill can have survived one. `servers`:
    when servers were killed, where those are meant.
    """
    found = numbers(str(final.value))
    writer = int(final.key.rpartition("|")[2])
    syncs = list(rows.only(f="sync").ops())
    floor = {_sequence(op): op for op in syncs if op.outcome == "ok"}
    own = [op.start_ns for op in rows.only(f="kill", outcome="ok").ops()]
    kills, whose = (own, "its process") if servers is None else (servers, "a server")
    struck = sum(op.start_ns < max(kills, default=0) for op in floor.values())
    lost = sorted(set(floor) - found)
    # reserved numbers of this worker: its file is its own, so no other can have written them
    possible = {_sequence(op) for op in syncs if op.outcome != "fail"} | _reserved(reserved, writer)
    foreign = sorted(found - possible)
    return Measured(len(lost) + len(foreign), struck, _witness(final, floor, kills, whose, lost, foreign))


def _reserved(reserved: History, writer: int) -> set[int]:
    spans = zip(reserved.value_int().tolist(), reserved["length"].tolist(), strict=True)
    return {
        (first & 0xFFFFFFFF) + n for first, count in spans if first >> WRITER_SHIFT == writer for n in range(count)
    }


def _sequence(op: Op) -> int:
    return int(op.value) & 0xFFFFFFFF


def _witness(
    final: Op, floor: dict[int, Op], kills: list[int], whose: str, lost: list[int], foreign: list[int]
) -> str:
    reader = f"{final.at} on {final.host}"
    if lost:
        op = floor[lost[0]]
        after = [kill - op.end_ns for kill in kills if kill >= op.start_ns]
        when = f", {max(0, min(after)) / 1e6:.3f} ms before {whose} was killed" if after else ""
        who = f"{op.process} in {op.at} on {op.host}"
        where = f"(offset {op.offset}, {op.length} bytes)"
        return f"record {lost[0]} of {who} {where} was synced{when}, and {reader} does not find it"
    return f"{reader} finds record {foreign[0]}, which nobody wrote" if foreign else ""
