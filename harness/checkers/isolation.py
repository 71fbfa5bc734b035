"""Judges separation: containers without a common network do not reach each other, while others do."""

from __future__ import annotations

from harness.checkers._answers import PROBES, judge_closed, kind_of, reached_anybody
from harness.checkers._expected import asked, closed_probes, missing
from harness.checkers._scene import ProbeKey, phases, scene_at
from harness.checkers._tally import Tally, last_of_each
from harness.model.history import History
from harness.model.plan import Plan
from harness.model.topology import Check
from harness.model.verdict import Verdict


def check(history: History, plan: Plan, check: Check) -> Verdict:
    """Params used: `protocols`. Silence counts only from a container that reached somebody else meanwhile."""
    scene = scene_at(history, next(iter(phases(history)), None))
    rows = last_of_each(history.only(f=PROBES).ops())
    reached = reached_anybody(rows, scene, plan)
    tally = Tally()
    for row in rows:
        key = ProbeKey.parse(row.key)
        if kind_of(scene, plan, key, row.at) == "closed":
            judge_closed(tally, row, key, reached)
        else:
            tally.ignored += 1
    tally.doubts += missing(closed_probes(scene, plan, list(check.params.get("protocols") or PROBES)), asked(rows))
    if not any(scene.closed_pairs(plan)):
        tally.doubts.append("no two containers are without a common network, so there is nothing to keep apart")
    return tally.verdict(check, f"all {tally.correct} pairs without a common network are closed")
