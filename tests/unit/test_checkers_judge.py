"""What holds for every check: faults that were felt, agents that were lost, crashes, counts."""

from __future__ import annotations

import pytest

from harness.checkers import REGISTRY, judge
from harness.checkers._judge import judge_with
from harness.model.history import NEVER, History, Op
from harness.model.plan import Plan
from harness.model.topology import Check
from harness.model.verdict import Outcome, Verdict
from harness.ports import Checker
from tests.checkers_scene import fault_rows, look, make_check, make_plan, row

KIND = "connectivity"
BEAT = row("tcp", KIND, at="web.1", host="n1", start_ns=2_000_000_000, end_ns=4_000_000_000)


def always(outcome: Outcome, reason: str = "as told") -> Checker:
    return lambda _history, _plan, check: Verdict(check.id, check.kind, "", outcome, reason)


def judged(rows: list[Op], checker: Checker, *faults: str) -> Verdict:
    return judge_with(checker, History.of(rows), make_plan(), make_check(KIND, faults))


@pytest.mark.parametrize("kind", REGISTRY)
def test_an_empty_history_is_unknown(kind: str) -> None:
    verdict = judge(History.of([]), make_plan(), make_check(kind))
    assert (verdict.verdict, verdict.id, verdict.name) == ("unknown", kind, kind)
    assert "nothing was recorded" in verdict.reason


@pytest.mark.parametrize("kind", REGISTRY)
def test_a_history_of_the_nemesis_alone_is_unknown(kind: str) -> None:
    rows = [*look(kind), *fault_rows(kind)]
    assert judge(History.of(rows), make_plan(), make_check(kind, ["partition"])).verdict == "unknown"


def test_rows_of_other_checks_do_not_count() -> None:
    foreign = row("tcp", "another", at="web.1")
    assert judged([foreign], always("pass")).verdict == "unknown"


def test_a_crashed_checker_is_unknown_and_says_why() -> None:
    def crash(history: History, plan: Plan, check: Check) -> Verdict:
        raise KeyError("x")

    verdict = judged([BEAT], crash)
    assert verdict.verdict == "unknown"
    assert verdict.reason == "the checker crashed: KeyError: 'x'"


def test_a_fault_that_was_felt_changes_nothing() -> None:
    verdict = judged([BEAT, *fault_rows(KIND)], always("pass"), "partition")
    assert (verdict.verdict, verdict.reason) == ("pass", "as told")


@pytest.mark.parametrize(("outcome", "expected"), [("pass", "unknown"), ("unknown", "unknown"), ("fail", "fail")])
def test_a_fault_that_was_not_felt_leaves_at_best_unknown(outcome: Outcome, expected: Outcome) -> None:
    verdict = judged([BEAT, *fault_rows(KIND, felt=False)], always(outcome), "partition")
    assert verdict.verdict == expected
    assert "fault partition was not felt: no ping was lost" in verdict.reason
    assert ("as told" in verdict.reason) == (outcome != "pass")


def test_a_fault_of_which_nothing_stands_in_the_history_was_not_felt() -> None:
    verdict = judged([BEAT, *fault_rows(KIND)], always("pass"), "partition", "pause")
    assert verdict.verdict == "unknown"
    assert "fault pause was not felt" in verdict.reason
    assert "partition" not in verdict.reason


def test_one_of_several_injections_that_was_not_felt_is_enough() -> None:
    rows = [BEAT, *fault_rows(KIND), *fault_rows(KIND, felt=False)]
    assert judged(rows, always("pass"), "partition").verdict == "unknown"


@pytest.mark.parametrize(("outcome", "expected"), [("pass", "unknown"), ("fail", "fail")])
def test_a_lost_agent_leaves_at_best_unknown(outcome: Outcome, expected: Outcome) -> None:
    lost = row("lost", KIND, process="nemesis", key="n3", value="its channel ended", outcome="fail")
    verdict = judged([BEAT, lost], always(outcome))
    assert verdict.verdict == expected
    assert "the agent on n3 was lost: its channel ended" in verdict.reason


def test_acknowledged_operations_are_counted_by_node_and_kind() -> None:
    rows = [
        *look(KIND),
        BEAT,
        BEAT,
        row("append", KIND, host="n2", value=1),
        row("append", KIND, host="n2", value=2, outcome="info", end_ns=NEVER),
        row("entry", KIND, host="n2", value=1),
        row("dns", KIND, host="n1"),
    ]
    assert judged(rows, always("pass")).operations == {"n1": {"tcp": 2, "dns": 1}, "n2": {"append": 1}}


def test_the_duration_is_that_of_the_rows_with_a_time() -> None:
    rows = [BEAT, row("tcp", KIND, start_ns=1_000_000_000, end_ns=NEVER), row("tcp", KIND, start_ns=0, end_ns=0)]
    assert judged(rows, always("pass")).duration_s == 3.0
