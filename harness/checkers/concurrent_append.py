"""Judges concurrent appends to one file from several hosts.

A volume is first asked whether it is one volume at all: where every host sees its own records and nobody else's,
it is *not shared*, and nothing is called lost, since nobody promised that it would be found elsewhere. Hosts that
see each other's records form an island; each island is judged by itself. `_append_log` holds the algorithms.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from harness.checkers._append_log import writers
from harness.checkers._append_promises import promises_of, split
from harness.checkers._append_views import Log, read_log
from harness.checkers._judge import target_of, unknown
from harness.checkers._volumes import absent_nonces, decided, failed_looks, fresh_mounts, too_few_workers, void_of
from harness.model.history import History
from harness.model.plan import Plan
from harness.model.topology import Check
from harness.model.verdict import Verdict


def check(history: History, plan: Plan, check: Check) -> Verdict:
    """Params used: `volume`, `writers_per_node`. Rows used: append reserve read entry garbage mount nonce."""
    volume = plan.volume(check.params["volume"])
    log = read_log(history)
    doubts = _doubts(history, plan, check, log)
    if not log.whole_views:
        return unknown(check, "; ".join(["no reader read the whole file at the end", *doubts]))
    found = split(log)
    promises, figures = promises_of(log, found, volume, absent_nonces(history, volume.name))
    figures = {**figures, **_settling(history), "fresh_mounts": fresh_mounts(history)}
    verdict = Verdict(check.id, check.kind, target_of(check), "pass", "", promises=promises, figures=figures)
    void = void_of(history, volume, unshared=found.unshared)
    return _counted(decided(verdict, volume, unshared=found.unshared, doubts=doubts, void=void), log)


def _settling(history: History) -> dict[str, float]:
    """Where hosts were read more than once, since they did not agree at first: how often, and how long it took."""
    reads = list(history.only(f="read").ops())
    rounds = max(Counter(row.process for row in reads).values(), default=0)
    if rounds < 2:
        return {}
    took_ns = max(row.start_ns for row in reads) - min(row.start_ns for row in reads)
    return {"final_read_rounds": rounds, "settle_s": round(took_ns / 1e9, 6)}


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
    volume, per_node = check.params["volume"], int(check.params.get("writers_per_node", 1))
    return [
        *too_few_workers(
            history, plan, volume, per_node=per_node, found=len(log.writer_host), what="writers wrote"
        ),
        *_idle_writers(log),
        *_unread_hosts(log),
        *failed_looks(history, volume),
        *(
            f"the read of {v.label} is incomplete: {v.accounted} of {v.size} bytes"
            for v in log.views
            if not v.complete
        ),
    ]


def _idle_writers(log: Log) -> list[str]:
    """A writer that reserved numbers and never got one answer makes the run too weak to trust."""
    busy = set(writers(log.appends.ids[log.appends.acknowledged]).tolist())
    idle = sorted(set(log.writer_host) - busy)
    return [f"writer {writer} on {log.hosts[log.writer_host[writer]]}: nothing acknowledged" for writer in idle]


def _unread_hosts(log: Log) -> list[str]:
    read = {view.host for view in log.views}
    missing = sorted({log.hosts[host] for host in log.writer_host.values() if host not in read})
    return [f"nobody read the file on {', '.join(missing)}"] if missing else []
