"""Judges what stress-ng(1) says of a volume: its exit code tells what its own verification found."""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness.checkers._sharing import verdict_of
from harness.checkers._volumes import Measured
from harness.model.history import History, Op
from harness.model.plan import Plan
from harness.model.topology import Check
from harness.model.verdict import Verdict

#: stress-ng(1), EXIT STATUS: one or more stressors failed, as `--verify` makes them when they find something.
_FAILED = 2
#: `metrc: [123] lockf   16648   2.05 ...`: the stressor, and how many operations it did.
_METRIC = re.compile(r"metrc: \[\d+\] (?P<name>[a-z-]+) +(?P<count>\d+) +\d+\.\d+ ")


def check(history: History, plan: Plan, check: Check) -> Verdict:
    """Params used: `volume`. Stressors work in directories of their own: what they find is about the volume as one
    host sees it.
    """
    rows = list(history.only(f="stress-ng").ops())
    bad = [row for row in rows if row.outcome == "fail" and row.errno == _FAILED]
    good = [row for row in rows if row.outcome == "ok"]
    rest = [row for row in rows if row not in bad and row not in good]
    measured = Measured(len(bad), len(bad) + len(good), _told(bad[0]) if bad else "")
    doubts = [f"stress-ng on {row.host} ended with {row.errno}: {_last(row)}" for row in rest]
    return verdict_of(
        history, plan, check, {"one-host-semantics": measured}, doubts=doubts,
        figures=_operations(good), counts=(len(bad) + len(good), len(rest)),
    )  # fmt: skip


def _told(row: Op) -> str:
    lines = [line.strip() for line in str(row.value).splitlines() if ": fail:" in line]
    return f"stress-ng of {row.at} on {row.host}: {lines[0] if lines else _last(row)}"


def _last(row: Op) -> str:
    return (str(row.value).strip().splitlines() or ["no output"])[-1]


def _operations(rows: Sequence[Op]) -> dict[str, int]:
    """How many operations of each stressor all hosts did."""
    total: dict[str, int] = {}
    for row in rows:
        for found in _METRIC.finditer(str(row.value)):
            name = f"{found['name'].replace('-', '_')}_operations"
            total[name] = total.get(name, 0) + int(found["count"])
    return total
