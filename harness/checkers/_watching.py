"""Judges that are fed while a load runs. What they call failed stays so, whatever comes: whoever wrote something
that was not told of yet has reserved it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from harness.checkers._append_online import AppendWatch
from harness.checkers._judge import judge_with
from harness.model.history import History
from harness.model.plan import Plan
from harness.model.topology import Check
from harness.ports import Checker

Batch = Mapping[str, Any]
#: Takes new batches of rows, and says whether the check fails by now.
Fails = Callable[[Sequence[Batch]], bool]
#: What was passed over may yet come, and is in the wrong order then instead of lost.
_SAME = {"append-loses-nothing": {"append-loses-nothing", "append-real-time-order"}}


def again(checker: Checker, plan: Plan, check: Check) -> Fails:
    """By judging all rows so far anew."""
    rows: list[Batch] = []

    def fails(news: Sequence[Batch]) -> bool:
        rows.extend(news)
        return judge_with(checker, History.of_batches(rows), plan, check).verdict == "fail"

    return fails


def followed(plan: Plan, check: Check) -> Fails:
    """An append log, by what is new alone; only what the volume promises counts."""
    watch, promises = AppendWatch(), plan.volume(check.params["volume"]).promises
    promised = {name for name, (expected, _source) in promises.items() if expected == "holds"}

    def fails(news: Sequence[Batch]) -> bool:
        watch.feed(History.of_batches(news))
        return any(promised.issuperset(_SAME.get(name, {name})) for name in watch.broken)

    return fails
