"""Judges names: they follow what starts, stops and is scaled, and mean exactly the tasks that run."""

from __future__ import annotations

from harness.checkers._names import judge_names, settling
from harness.checkers._tally import Tally
from harness.model.history import History
from harness.model.plan import Plan
from harness.model.topology import Check
from harness.model.verdict import Verdict


def check(history: History, plan: Plan, check: Check) -> Verdict:
    """Of repeated lookups the last counts; figures say how long names took to settle. A name must be right at
    the end of its phase; the tasks' name and a dnsrr service's name mean its tasks exactly.
    """
    tally = Tally()
    slowest = judge_names(tally, history, plan)
    tally.figures = {"settle_max_s": round(max(slowest.values(), default=0.0), 6), **settling(slowest)}
    return tally.verdict(check, f"all {tally.correct} names were right in {len(slowest)} phases")
