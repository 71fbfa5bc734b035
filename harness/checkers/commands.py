"""Judges commands: only whether each of them ran to its end. What they showed is read from the history."""

from __future__ import annotations

from harness.checkers._tally import Tally
from harness.model.history import History
from harness.model.plan import Plan
from harness.model.topology import Check
from harness.model.verdict import Verdict


def check(history: History, plan: Plan, check: Check) -> Verdict:  # noqa: ARG001 - the seam's signature
    """Params used: `steps`. An exit code other than 0 is an answer like any other."""
    tally = Tally()
    rows = {row.key: row for row in history.only(f="step").ops()}
    for step in check.params["steps"]:
        row = rows.get(step["name"])
        if row is None:
            tally.doubts.append(f"step {step['name']} was not run")
        elif row.outcome == "info":
            tally.doubts.append(f"step {step['name']}: {row.value}")
        else:
            tally.right()
    return tally.verdict(check, f"{tally.correct} commands ran")
