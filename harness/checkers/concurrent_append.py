"""Judges concurrent appends to one file from several hosts.

A volume is first asked whether it is one volume at all: where every host sees its own records and nobody else's,
it is *not shared*, and nothing is called lost, since nobody promised that it would be found elsewhere. Hosts that
see each other's records form an island; each island is judged by itself. `_append_log` holds the algorithms.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from harness.checkers._append_log import writers
from harness.checkers._append_promises import Split, promises_of, split
from harness.checkers._append_views import Log, read_log
from harness.checkers._judge import target_of, unknown
from harness.model.history import History, Op
from harness.model.plan import Plan, VolumePlan
from harness.model.topology import Check
from harness.model.verdict import Outcome, Promise, Verdict, merge


def check(history: History, plan: Plan, check: Check) -> Verdict:
    """Params used: `volume`, `writers_per_node`. Rows used: append reserve read entry garbage mount nonce."""
    volume = plan.volume(check.params["volume"])
    log = read_log(history)
    doubts = _doubts(history, plan, check, log)
    if not log.whole_views:
        return unknown(check, "; ".join(["no reader read the whole file at the end", *doubts]))
    found = split(log)
    promises, figures = promises_of(log, found, volume, _absent_nonces(history, volume.name))
    verdict = Verdict(check.id, check.kind, target_of(check), "pass", "", promises=promises, figures=figures)
    void = _mount_changes(history) + _void(volume, found)
    return _counted(_decided(verdict, volume, found, doubts, void), log)


def _void(volume: VolumePlan, found: Split) -> list[str]:
    """A volume that must be shared and is not was not mounted as planned: this run says nothing about it."""
    if not (volume.shared and found.unshared):
        return []
    return [f"{volume.name} is not shared: no host sees a record of another, so nothing was measured"]


def _decided(verdict: Verdict, volume: VolumePlan, found: Split, doubts: list[str], void: list[str]) -> Verdict:
    if void:
        return replace(verdict, verdict="unknown", reason="; ".join(void))
    broken = [p for p in verdict.promises if p.observed == "broken"]
    outcomes: list[Outcome] = [p.outcome for p in verdict.promises]
    outcomes += ["unknown"] if doubts else []
    reasons = [f"{p.name} is broken: {p.witness}" for p in broken if p.outcome == "fail"] + doubts
    reasons += [f"{p.name} was not measured" for p in verdict.promises if p.outcome == "unknown"]
    return replace(verdict, verdict=merge(outcomes), reason="; ".join(reasons) or _good(volume, found, broken))


def _good(volume: VolumePlan, found: Split, broken: list[Promise]) -> str:
    others = [f"{p.name} is broken and not promised: {p.witness}" for p in broken if p.name != "shared"]
    if found.unshared:
        promised = ", as a local volume promises" if volume.driver == "local" else ", and it is not promised"
        return "; ".join([f"not shared{promised}: every host sees only its own records", *others])
    if broken:
        return "; ".join(f"{p.name} is broken and not promised: {p.witness}" for p in broken)
    return f"every promise that was measured is kept on {volume.name}"


def _counted(verdict: Verdict, log: Log) -> Verdict:
    loses = next(p for p in verdict.promises if p.name == "append-loses-nothing")
    answered = log.appends.acknowledged | log.appends.refused
    return replace(
        verdict,
        correct=loses.of - loses.count,
        wrong=sum(p.count for p in verdict.promises if p.outcome == "fail"),
        no_value=sum(p.outcome == "unknown" for p in verdict.promises),
        ignored=int((~answered).sum()),
    )


def _doubts(history: History, plan: Plan, check: Check, log: Log) -> list[str]:
    return [
        *_too_few_writers(history, plan, check, log),
        *_idle_writers(log),
        *_unread_hosts(log),
        *_failed_looks(history, check.params["volume"]),
        *(
            f"the read of {v.label} is incomplete: {v.accounted} of {v.size} bytes"
            for v in log.views
            if not v.complete
        ),
    ]


def _too_few_writers(history: History, plan: Plan, check: Check, log: Log) -> list[str]:
    looked_at = len(set(history.only(f="mount")["host"].tolist()))
    hosts = max(looked_at, _planned_hosts(plan, check.params["volume"]))
    wanted = hosts * int(check.params.get("writers_per_node", 1))
    found = len(log.writer_host)
    return [f"{found} of {wanted} writers wrote"] if found < wanted else []


def _planned_hosts(plan: Plan, volume: str) -> int:
    """On how many nodes at least a container mounts the volume; replicas may share a node."""
    users = [target for target in plan.targets if volume in target.mounts]
    fixed = len({target.node for target in users if target.kind == "plain"})
    spread = [target.containers for target in users if target.kind == "global"]
    return max([fixed, *spread, 1])


def _idle_writers(log: Log) -> list[str]:
    """A writer that reserved numbers and never got one answer makes the run too weak to trust."""
    busy = set(writers(log.appends.ids[log.appends.acknowledged]).tolist())
    idle = sorted(set(log.writer_host) - busy)
    return [f"writer {writer} on {log.hosts[log.writer_host[writer]]}: nothing acknowledged" for writer in idle]


def _unread_hosts(log: Log) -> list[str]:
    read = {view.host for view in log.views}
    missing = sorted({log.hosts[host] for host in log.writer_host.values() if host not in read})
    return [f"nobody read the file on {', '.join(missing)}"] if missing else []


def _mount_changes(history: History) -> list[str]:
    """Each reader's mount must be the same before and after: another device is another volume."""
    seen: dict[tuple[str, str], str] = {}
    changes = []
    for row in history.only(f="mount").ops():
        place, look = (row.host, row.process), str(row.value)
        if seen.setdefault(place, look) != look:
            changes.append(f"mount changed under {row.at} on {row.host}: {seen[place]} became {look}")
    return changes


def _nonces(history: History, volume: str, outcome: str) -> Iterator[tuple[Op, str]]:
    """Looks of one host for what a container of another host left, with who left it and where."""
    rows = list(history.only(f="nonce").ops())
    home = {row.at: row.host for row in rows}
    for row in rows:
        name, _, writer = row.key.partition("|")
        if name == volume and row.outcome == outcome and home.get(writer, row.host) != row.host:
            yield row, f"{writer} on {home[writer]}"


def _absent_nonces(history: History, volume: str) -> list[str]:
    """What one host left in the volume and another did not find."""
    return [
        f"{row.at} on {row.host} does not see the file that {writer} left"
        for row, writer in _nonces(history, volume, "ok")
        if row.value == "absent"
    ]


def _failed_looks(history: History, volume: str) -> list[str]:
    return [
        f"{row.at} on {row.host} could not look for the file that {writer} left (errno {row.errno})"
        for row, writer in _nonces(history, volume, "fail")
    ]
