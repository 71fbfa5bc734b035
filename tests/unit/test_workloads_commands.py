"""commands: steps in their order, faults held over those that want them, and only their running is judged."""

from __future__ import annotations

import random
from typing import Any

import pytest

from harness import checkers
from harness.model.errors import UsageError
from harness.model.history import History, Op
from harness.ports import Commands, Look, Stage, Under
from harness.runner import run_checks
from harness.workloads import REGISTRY
from tests.runner_fakes import (
    FakeAnswers,
    FakeFault,
    FakeOrchestrator,
    FakeTime,
    MemoryRecorder,
    make_agents,
    make_check,
    make_cluster,
    make_plan,
    make_scene,
    walk,
)


def step(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "node": "n1", "run": f"echo {name}", **more}


def stages_of(*steps: dict[str, Any], **params: Any) -> list[Stage]:
    check = make_check("commands", steps=list(steps), **params)
    return walk(REGISTRY["commands"].stages(check, make_plan(check), random.Random(1)), make_scene())


def test_steps_run_in_order_with_their_environment() -> None:
    first, one, two, last = stages_of(step("one"), step("two", node="n2", undo="echo back"), env={"X": "1"})
    assert isinstance(first, Look)
    assert isinstance(last, Look)
    assert isinstance(one, Commands)
    assert isinstance(two, Commands)
    assert one.commands[0].argv == ("env", "HARNESS_CLUSTER=harness-r1", "X=1", "sh", "-c", "echo one")
    assert two.commands[0].undo == ("env", "HARNESS_CLUSTER=harness-r1", "X=1", "sh", "-c", "echo back")
    assert two.commands[0].host == "n2"


def test_steps_under_faults_are_one_stage() -> None:
    stages = stages_of(
        step("before"), step("one", under_faults=True), step("two", under_faults=True), step("after")
    )
    under = [stage for stage in stages if isinstance(stage, Under)]
    assert [[c.commands[0].key for c in stage.commands] for stage in under] == [["one", "two"]]


@pytest.mark.parametrize("steps", [[step("one", node="n9")], [step("one"), step("one")]])
def test_nonsense_is_refused_before_anything_runs(steps: list[dict[str, Any]]) -> None:
    with pytest.raises(UsageError):
        stages_of(*steps)


def test_faults_hold_while_the_steps_run_and_are_healed_after_them() -> None:
    fault, time, recorder, orchestrator = FakeFault(), FakeTime(), MemoryRecorder(), FakeOrchestrator()
    steps = [step("during", under_faults=True), step("after")]
    check = make_check("commands", steps=steps, faults=[{"fault": fault.name, "target": "n2", "hold_s": 2}])
    [run] = run_checks(
        make_cluster(),
        make_plan(check),
        orchestrator,
        faults={fault.name: fault},
        agents=make_agents(FakeAnswers(orchestrator)),
        recorder=recorder,
        progress=lambda _line: None,
        clock=time.clock,
    )
    assert run.error is None
    assert fault.events == ["inject n2 both", "heal"]
    told = [(op.f, str(op.value) if op.f == "fault" else op.key) for op in recorder.history.ops()]
    assert [each for each in told if each[0] in ("fault", "step")] == [
        ("fault", "inject"),
        ("step", "during"),
        ("fault", "hold"),
        ("fault", "heal"),
        ("fault", "recover"),
        ("step", "after"),
    ]


def judged(*rows: Op) -> tuple[str, str]:
    check = make_check("commands", steps=[step("one")])
    verdict = checkers.judge(History.of(rows), make_plan(check), check)
    return verdict.verdict, verdict.reason


def row(outcome: Any, errno: int = 0) -> Op:
    return Op("controller", "n1", "n1", "commands", "step", "one", "said", errno=errno, outcome=outcome)


def test_an_exit_code_is_an_answer_and_silence_is_none() -> None:
    assert judged(row("ok")) == ("pass", "1 commands ran")
    assert judged(row("fail", 3)) == ("pass", "1 commands ran")
    assert judged(row("info"))[0] == "unknown"


def stress_timeout_s(*stressors: str) -> float:
    check = make_check("stress-ng", volume="shared", stressors=list(stressors), workers=1, duration_s=2.0)
    stages = walk(REGISTRY["stress-ng"].stages(check, make_plan(check), random.Random(1)), make_scene())
    [work] = [stage for stage in stages if isinstance(stage, Commands)]
    return max(command.timeout_s for command in work.commands)


def test_a_stressor_that_ends_by_removing_thousands_of_names_may_take_minutes_for_it() -> None:
    """Cut short it would be taken for a volume that hangs."""
    assert stress_timeout_s("rename", "link") > stress_timeout_s("rename", "flock") + 120
