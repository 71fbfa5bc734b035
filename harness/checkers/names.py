"""Judges races for names and the replacement of a file by rename, from several hosts.

`exclusive-create`: of those that race for a name by O_EXCL, mkdir or link exactly one wins. The winner is who left
its token there, not who was told so: a client that sends its request again may be told that its own name exists.
`rename-old-or-new`: who reads a file that is being replaced finds the old one or the new one, whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from harness.checkers._block_writes import overlapping
from harness.checkers._sharing import parts, summed, unread_hosts, verdict_of, workers_of
from harness.checkers._volumes import Measured, too_few_workers
from harness.model.history import History, Op
from harness.model.plan import Plan
from harness.model.topology import Check
from harness.model.verdict import Verdict

#: What a reader says of a file that is not there, and of one that is not one whole record (docs/history.md).
NOTHING, NOT_WHOLE = 0, -1

_DID = {"create": "open with O_EXCL", "mkdir": "mkdir", "link": "link"}


@dataclass
class Race:
    """Claims of one name, and the tokens that each host found there in the end."""

    kind: str
    number: str
    claims: list[Op] = field(default_factory=list)
    owners: dict[str, frozenset[int]] = field(default_factory=dict)

    @property
    def won(self) -> list[Op]:
        return [claim for claim in self.claims if claim.outcome == "ok"]

    @property
    def blank(self) -> frozenset[str]:
        """Hosts that found no token where another host found one: their view of what was written is late, which
        other promises are about, and says nothing of who won.
        """
        empty = frozenset(host for host, tokens in self.owners.items() if not tokens)
        return empty if len(empty) < len(self.owners) else frozenset()

    @property
    def contended(self) -> bool:
        """Whether two claims ran at the same time."""
        spans = sorted((claim.start_ns, claim.end_ns) for claim in self.claims)
        return any(before[1] >= after[0] for before, after in pairwise(spans))

    @property
    def resent(self) -> bool:
        """Whether somebody was told that the name exists, and it was its own."""
        found = {token for tokens in self.owners.values() for token in tokens}
        return any(claim.outcome == "fail" and int(claim.value) in found for claim in self.claims)

    def fault(self, hosts: set[str], reserved: Reserved) -> str:
        """What is wrong with it, for people; empty where nothing is. `hosts` listed all names in the end."""
        return next(filter(None, self._faults(hosts, reserved)), "")

    def _faults(self, hosts: set[str], reserved: Reserved) -> Iterator[str]:
        told = [_who(claim) for claim in self.won]
        if len(told) > 1:
            yield f"{told[0]} and {told[1]} were both told that they had made it"
        tokens = {int(claim.value): claim for claim in self.claims}
        seeing = sorted((hosts & set(self.owners)) - self.blank)
        for host in seeing:
            found = self.owners[host]
            if len(found) > 1:
                yield f"{host} finds {len(found)} winners in it: {', '.join(map(str, sorted(found)))}"
            if any(token not in tokens and token not in reserved for token in found):
                yield f"{host} finds in it what none of those left that raced for it"
            if self.won and int(self.won[0].value) not in found:
                yield f"{told[0]} was told that it had made it, but {host} does not find its token there"
        missing = sorted(hosts - set(self.owners))
        if missing and self.won:
            yield f"{told[0]} was told that it had made it, but {missing[0]} does not find the name"
        if missing == sorted(hosts) and all(claim.outcome == "fail" for claim in self.claims):
            yield f"all {len(self.claims)} were told that it exists, and it does not"
        if len({self.owners[host] for host in seeing}) > 1:
            yield "hosts find different winners in it"


class Reserved:
    """Tokens that a worker may have used without telling of it."""

    def __init__(self, rows: History) -> None:
        reserved = rows.only(f="reserve")
        self._spans = list(zip(reserved.value_int().tolist(), reserved["length"].tolist(), strict=True))

    def __contains__(self, token: int) -> bool:
        return any(first <= token < first + count for first, count in self._spans)


def check(history: History, plan: Plan, check: Check) -> Verdict:
    """Params used: `volume`, `workers_per_node`. Rows used: claim replace peek names owner reserve mount nonce."""
    volume = check.params["volume"]
    claims, peeks = history.only(f="claim"), history.only(f="peek", outcome="ok")
    doubts = too_few_workers(
        history,
        plan,
        volume,
        per_node=int(check.params.get("workers_per_node", 1)),
        found=len(workers_of(claims)),
        what="workers raced",
    )
    seen = {_token(value) for value in set(peeks["value"].tolist())} - {NOTHING, NOT_WHOLE}
    if len(seen) < 2:
        doubts.append(f"readers saw {len(seen)} different files under the name that was replaced")
    answered = len(claims.only(outcome=("ok", "fail"))) + len(history.only(f="replace", outcome="ok")) + len(peeks)
    unanswered = len(history.only(f=("claim", "replace"), outcome="info"))
    return verdict_of(
        history,
        plan,
        check,
        summed(_measured, parts(history, volume)),
        doubts=[*doubts, *unread_hosts(history, "names")],
        figures=_figures(history, len(seen)),
        counts=(answered, unanswered),
    )


def _figures(history: History, seen: int) -> dict[str, int]:
    found = races(history)
    contended = Counter(race.kind for race in found if race.contended)
    return {
        **{f"{kind}_races": sum(race.kind == kind for race in found) for kind in _DID},
        **{f"{kind}_contended": contended[kind] for kind in _DID},
        "told_otherwise": sum(race.resent for race in found),
        "found_blank": sum(len(race.blank) for race in found),
        "replaced": len(history.only(f="replace", outcome="ok")),
        "peeks": len(history.only(f="peek", outcome="ok")),
        "peek_errors": len(history.only(f="peek", outcome="fail")),
        "values_seen": seen,
    }


def races(rows: History) -> list[Race]:
    found: dict[str, Race] = {}
    for op in rows.only(f=("claim", "owner")).ops():
        _volume, kind, number = op.key.split("|")
        race = found.setdefault(f"{kind}|{number}", Race(kind, number))
        if op.f == "claim":
            race.claims.append(op)
        elif op.outcome == "ok":
            race.owners[op.host] = frozenset(int(token) for token in str(op.value).split(",") if token)
    return [race for race in found.values() if race.claims]


def _measured(rows: History) -> dict[str, Measured]:
    return {"exclusive-create": _exclusive(rows), "rename-old-or-new": _rename(rows)}


def _exclusive(rows: History) -> Measured:
    hosts = {row.host for row in rows.only(f="names", outcome="ok").ops()}
    unread = {(row.host, row.key) for row in rows.only(f="owner", outcome="fail").ops()}
    reserved, found = Reserved(rows), races(rows)
    faults = []
    for race in found:
        key = f"|{race.kind}|{race.number}"
        looked = {host for host in hosts if not any(h == host and k.endswith(key) for h, k in unread)}
        if text := race.fault(looked, reserved):
            faults.append(f"{_DID.get(race.kind, race.kind)} of {race.kind}-{race.number}: {text}")
    return Measured(len(faults), sum(race.contended for race in found), faults[0] if faults else "")


def _rename(rows: History) -> Measured:
    replaces = rows.only(f="replace")
    peeks = rows.only(f="peek", outcome="ok")
    under_way = int(np.count_nonzero(overlapping(peeks, replaces, same=False)))
    there_ns = min(
        (row.end_ns + row.err_ns for row in replaces.only(outcome="ok").ops()), default=np.iinfo(np.int64).max
    )
    known, reserved = {int(row.value) for row in replaces.ops()}, Reserved(rows)
    bad: list[tuple[Op, str]] = []
    for peek in peeks.ops():
        value = _token(peek.value)
        if value == NOT_WHOLE:
            bad.append((peek, f"neither the old file nor the new one, but {_shown(peek.value)}"))
        elif value == NOTHING and peek.start_ns - peek.err_ns > there_ns:
            bad.append((peek, "no file, though one had been there since the first rename"))
        elif value > NOTHING and value not in known and value not in reserved:
            bad.append((peek, "a file that nobody put there"))
    return Measured(len(bad), under_way, f"{_who(bad[0][0])} found {bad[0][1]}" if bad else "")


def _token(value: object) -> int:
    return int(str(value).partition(" #")[0])


def _shown(value: object) -> str:
    """What stands behind NOT_WHOLE: how long it was, and how it began."""
    length, _, start = str(value).partition(" #")[2].partition(":")
    if length == "0":
        return "an empty one"
    return f"a mix or a part: {length} bytes, {bytes.fromhex(start).hex(' ', -4)}" if length else "a mix or a part"


def _who(op: Op) -> str:
    return f"{op.process} in {op.at} on {op.host}"
