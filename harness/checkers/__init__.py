"""The judges. Pure: from the same rows and plan, the same verdict, also years later.

A checker is a module here with an attribute `check`; its file's name is the kind of check that it judges.
`judge` is the way in: what holds for every kind of check is decided there and nowhere else.
"""

from __future__ import annotations

from harness.checkers._judge import judge_with
from harness.checkers._linearizable import Linearity, linearizable
from harness.checkers._models import MODELS, make_model, model_for
from harness.checkers._staleness import Stale, stale_reads
from harness.model.history import History
from harness.model.plan import Plan
from harness.model.registry import collect
from harness.model.topology import Check
from harness.model.verdict import Verdict
from harness.ports import Checker

__all__ = [
    "MODELS",
    "ONLINE",
    "REGISTRY",
    "Linearity",
    "Stale",
    "judge",
    "linearizable",
    "make_model",
    "model_for",
    "stale_reads",
]

#: Checks that can be judged while they run: a `fail` of what stands in the history so far stays one, since whoever
#: wrote without telling yet has reserved what it wrote.
ONLINE = frozenset({"register", "close-to-open"})

REGISTRY: dict[str, Checker] = collect("harness.checkers", "check")


def judge(history: History, plan: Plan, check: Check) -> Verdict:
    """The verdict on one check, from the rows of `history` that belong to it.

    Never raises for what a history holds: nothing recorded, or a checker that crashes, is unknown and says so.
    A fault that was not felt, or an agent that was lost, leaves at best unknown. Raises KeyError where no checker
    of that kind exists.
    """
    return judge_with(REGISTRY[check.kind], history, plan, check)
