"""The judges. Pure: from the same rows and plan, the same verdict, also years later.

A checker is a module here with an attribute `check`; its file's name is the kind of check that it judges.
`judge` is the way in: what holds for every kind of check is decided there and nowhere else.
"""

from __future__ import annotations

from harness.checkers._judge import judge_with
from harness.checkers._linearizable import Linearity, linearizable
from harness.checkers._models import MODELS, make_model, model_for
from harness.checkers._staleness import Stale, stale_reads
from harness.checkers._watching import Fails, again, followed
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
    "REST_ON_LAST_READS",
    "Fails",
    "Linearity",
    "Stale",
    "judge",
    "linearizable",
    "make_model",
    "model_for",
    "stale_reads",
    "watch",
]

#: Checks that can be judged while they run.
ONLINE = frozenset({"register", "close-to-open", "concurrent-append"})

#: Checks whose promises rest on what is read when all has settled: where that was not read to its end, what
#: looks broken may be late, and proves nothing.
REST_ON_LAST_READS = frozenset({"concurrent-append", "counter", "durability", "names", "no-space", "visibility"})

REGISTRY: dict[str, Checker] = collect("harness.checkers", "check")


def watch(plan: Plan, check: Check) -> Fails | None:
    """What is fed with a check's rows while it runs and tells when it fails; None where only the end tells."""
    if check.kind not in ONLINE:
        return None
    return followed(plan, check) if check.kind == "concurrent-append" else again(REGISTRY[check.kind], plan, check)


def judge(history: History, plan: Plan, check: Check) -> Verdict:
    """The verdict on one check, from the rows of `history` that belong to it.

    Never raises for what a history holds: nothing recorded, or a checker that crashes, is unknown and says so.
    A fault that was not felt, or an agent that was lost, leaves at best unknown. Raises KeyError where no checker
    of that kind exists.
    """
    return judge_with(REGISTRY[check.kind], history, plan, check)
