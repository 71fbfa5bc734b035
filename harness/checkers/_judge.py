"""What holds for every kind of check: its own rows, faults that were felt, agents that were lost, counts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from harness.checkers._volumes import situation
from harness.model.history import NEVER, History
from harness.model.plan import Plan
from harness.model.topology import Check
from harness.model.verdict import Verdict, merge
from harness.ports import Checker

#: Kinds of rows that are operations on what is checked; all others describe the scene or the nemesis.
OPERATIONS = (
    "tcp", "udp", "icmp", "df", "bulk", "dns", "aaaa", "stream", "rtt", "beat", "append", "read", "mount", "nonce",
    "glimpse", "attempts", "put", "get", "save", "load", "increment", "total", "blit", "scan",
    "claim", "replace", "peek", "names", "owner", "sync", "kept", "appear", "sight", "roll",
    "fio-write", "fio-verify", "stress-ng", "step",
    "deposit-synced", "deposit-closed", "access",
)  # fmt: skip

#: Rows that are looked at together: what is made on the way stays small.
_CHUNK = 1 << 18


def judge_with(checker: Checker, history: History, plan: Plan, check: Check) -> Verdict:
    rows = history.only(check=check.id)
    if not len(rows.only(f=OPERATIONS)):
        verdict = unknown(check, "nothing was recorded: no operation of this check stands in the history")
    else:
        verdict = _guarded(checker, rows, plan, check)
    verdict = _situated(verdict, situation(rows))
    verdict = _weakened(verdict, [*_unfelt(rows, check), *_unhealed(rows), *_lost(rows)])
    return replace(verdict, operations=acknowledged(rows), duration_s=duration_s(rows))


def _situated(verdict: Verdict, where: str) -> Verdict:
    """Every witness with what it takes to look again; the reason stays short."""
    if not where:
        return verdict
    promises = (replace(p, witness=f"{p.witness}; {where}") if p.witness else p for p in verdict.promises)
    return replace(verdict, promises=tuple(promises))


def unknown(check: Check, reason: str) -> Verdict:
    return Verdict(check.id, check.kind, target_of(check), "unknown", reason)


def target_of(check: Check) -> str:
    """What a check looks at, for people: its volume, network or service; empty for the whole topology."""
    named = (check.params.get(key) for key in ("volume", "network", "service"))
    return next((str(name) for name in named if name), "")


def _guarded(checker: Checker, rows: History, plan: Plan, check: Check) -> Verdict:
    try:
        return checker(rows, plan, check)
    except Exception as error:  # noqa: BLE001 - whatever it is, a crashed judge has shown nothing
        return unknown(check, f"the checker crashed: {type(error).__name__}: {error}")


def _weakened(verdict: Verdict, reasons: list[str]) -> Verdict:
    """At best unknown, for these reasons. What failed stays failed."""
    if not reasons:
        return verdict
    own = [verdict.reason] if verdict.verdict != "pass" and verdict.reason else []
    return replace(verdict, verdict=merge([verdict.verdict, "unknown"]), reason="; ".join([*own, *reasons]))


def _unfelt(rows: History, check: Check) -> list[str]:
    felt = list(rows.only(f="felt").ops())
    reasons = []
    for name in dict.fromkeys(fault.fault for fault in check.faults):
        of_fault = [row for row in felt if row.key == name]
        missed = [row for row in of_fault if row.outcome != "ok"]
        if not of_fault:
            reasons.append(f"fault {name} was not felt: nothing shows that it reached its target")
        elif missed:
            reasons.append(f"fault {name} was not felt: {missed[0].value}")
    return reasons


def _unhealed(rows: History) -> list[str]:
    """A fault that could not be healed, or a cluster that was not healthy again in time after it."""
    wrong = {"heal": "could not be healed", "recover": "was healed, and the cluster was not healthy again in time"}
    failed = [row for row in rows.only(f="fault").ops() if row.value in wrong and row.outcome == "fail"]
    return [f"fault {row.key} on {row.at} {wrong[str(row.value)]}" for row in failed]


def _lost(rows: History) -> list[str]:
    lost = {row.key: str(row.value) for row in rows.only(f="lost").ops()}
    return [f"the agent on {node} was lost: {why}" for node, why in lost.items()]


def acknowledged(rows: History) -> dict[str, dict[str, int]]:
    """Operations with outcome ok, by host and kind."""
    done = rows.only(outcome="ok", f=OPERATIONS)
    hosts, kinds = done.coded("host"), done.coded("f")
    counts = np.zeros((len(hosts.texts), len(kinds.texts)), dtype=np.int64)
    for first in range(0, len(done), _CHUNK):
        part = slice(first, first + _CHUNK)
        pairs = hosts.codes[part].astype(np.int64) * len(kinds.texts) + kinds.codes[part]
        counts += np.bincount(pairs, minlength=counts.size).reshape(counts.shape)
    found: dict[str, dict[str, int]] = {}
    for host, kind in np.argwhere(counts).tolist():
        found.setdefault(hosts.texts[host], {})[kinds.texts[kind]] = int(counts[host, kind])
    return found


def duration_s(rows: History) -> float:
    """From the first start to the last known end; rows without a time (0) are passed over."""
    first, last = NEVER, 0
    for place in range(0, len(rows), _CHUNK):
        starts, ends = rows["start_ns"][place : place + _CHUNK], rows["end_ns"][place : place + _CHUNK]
        first = min(first, int(starts.min(initial=NEVER, where=starts > 0)))
        last = max(last, int(ends.max(initial=0, where=ends < NEVER)))
    return max(0.0, (last - first) / 1e9) if last else 0.0
