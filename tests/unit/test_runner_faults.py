"""Faults against a load: held until felt, healed in every way out, recorded as intervals."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import pytest

from harness.model.errors import EnvironmentBroken, UsageError
from harness.model.topology import Fault as FaultSpec
from harness.runner import CheckRun, choose_targets, run_checks
from tests.runner_fakes import (
    FakeAgent,
    FakeAnswers,
    FakeFault,
    FakeOrchestrator,
    FakeTime,
    MemoryRecorder,
    make_agents,
    make_check,
    make_cluster,
    make_plan,
)


@dataclass
class Bench:
    """A check `recovery` with one fault, on a fake cluster in virtual time."""

    fault: FakeFault
    time: FakeTime = field(default_factory=FakeTime)
    recorder: MemoryRecorder = field(default_factory=MemoryRecorder)
    orchestrator: FakeOrchestrator = field(default_factory=FakeOrchestrator)
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.agents: dict[str, FakeAgent] = make_agents(FakeAnswers(self.orchestrator))

    def run(self, kind: str = "recovery", **spec: Any) -> CheckRun:
        check = make_check(kind, faults=[{"fault": self.fault.name, "target": "n2", "hold_s": 2, **spec}])
        runs = run_checks(
            make_cluster(),
            make_plan(check),
            self.orchestrator,
            faults={self.fault.name: self.fault},
            agents=self.agents,
            recorder=self.recorder,
            progress=self.lines.append,
            clock=self.time.clock,
        )
        return runs[0]

    def intervals(self) -> list[tuple[str, float]]:
        """(part, seconds) of every `fault` row."""
        rows = self.recorder.history.only(f="fault").ops()
        return [(str(row.value), (row.end_ns - row.start_ns) / 1e9) for row in rows]


def test_a_fault_that_is_felt_is_held_as_long_as_asked() -> None:
    bench = Bench(FakeFault(felt_at=3))
    run = bench.run(direction="in")
    assert run.error is None
    assert not run.dirty
    assert bench.intervals() == [("inject", 0), ("hold", 2), ("heal", 0), ("recover", 0)]
    assert bench.fault.events == ["inject n2 in", "heal"]
    felt = next(bench.recorder.history.only(f="felt").ops())
    assert (felt.process, felt.at, felt.key, felt.value, felt.outcome) == (
        "nemesis",
        "n2",
        "pause",
        "it hurts",
        "ok",
    )


def test_a_fault_felt_late_is_held_until_then_and_no_longer() -> None:
    bench = Bench(FakeFault(felt_at=13))  # asked every 0.25 s: felt after 3 s
    bench.run()
    assert dict(bench.intervals())["hold"] == 3
    assert next(bench.recorder.history.only(f="felt").ops()).outcome == "ok"


def test_a_fault_that_is_never_felt_is_given_up_after_three_times_the_hold() -> None:
    bench = Bench(FakeFault(felt_at=0))
    run = bench.run()
    assert dict(bench.intervals())["hold"] == 6
    felt = next(bench.recorder.history.only(f="felt").ops())
    assert (felt.outcome, felt.value) == ("fail", "nothing yet")
    assert bench.fault.events[-1] == "heal"
    assert run.error is None


def test_a_fault_starts_at_s_after_the_load_and_again_at_s_after_it_recovered() -> None:
    bench = Bench(FakeFault())
    bench.run(at_s=1.5, repeat=2)
    starts = [row.start_ns for row in bench.recorder.history.only(f="fault").ops() if row.value == "inject"]
    assert [(start - 1_000_000_000) / 1e9 for start in starts] == [1.5, 1.5 + 2 + 1.5]
    assert bench.fault.events == ["inject n2 both", "heal"] * 2


def test_the_load_outlasts_its_faults() -> None:
    bench = Bench(FakeFault(on_heal=lambda: alive.append(not any(stopped()))))
    alive: list[bool] = []

    def stopped() -> list[bool]:
        return [job.stopped for a in bench.agents.values() for job in a.jobs if job.method == "beat"]

    bench.run()
    assert alive == [True]
    assert stopped()
    assert all(stopped())


def test_heals_when_the_injection_breaks() -> None:
    bench = Bench(FakeFault(on_inject=raiser(EnvironmentBroken("no nft here"))))
    run = bench.run()
    assert isinstance(run.error, EnvironmentBroken)
    assert "no nft here" in str(run.error)
    assert bench.fault.events == ["inject n2 both", "heal"]
    assert [part for part, _ in bench.intervals()] == ["inject", "heal"]
    assert not run.dirty


@pytest.mark.parametrize("where", ["on_inject", "on_felt"])
def test_heals_on_an_interrupt_and_stops_the_load(where: str) -> None:
    bench = Bench(FakeFault(**{where: raiser(KeyboardInterrupt())}))
    with pytest.raises(KeyboardInterrupt):
        bench.run()
    assert bench.fault.events[-1] == "heal"
    beats = [job for agent in bench.agents.values() for job in agent.jobs if job.method == "beat"]
    assert beats
    assert all(job.stopped and job.waited for job in beats)


def test_heals_when_the_probe_of_the_fault_has_a_defect() -> None:
    bench = Bench(FakeFault(on_felt=raiser(ZeroDivisionError())))
    with pytest.raises(ZeroDivisionError):
        bench.run()
    assert bench.fault.events[-1] == "heal"


def test_a_probe_of_the_fault_that_fails_shows_nothing() -> None:
    bench = Bench(FakeFault(on_felt=raiser(EnvironmentBroken("no answer"))))
    assert bench.run().error is None
    felt = next(bench.recorder.history.only(f="felt").ops())
    assert (felt.outcome, felt.value) == ("fail", "the fault's probe failed: no answer")


def test_healing_is_tried_again_and_its_failure_leaves_a_dirty_cluster() -> None:
    again = Bench(FakeFault(heal_fails=1))
    assert not again.run().dirty
    never = Bench(FakeFault(heal_fails=99))
    run = never.run()
    assert run.dirty
    assert run.left == ("pause on n2 could not be healed",)
    assert [row.outcome for row in never.recorder.history.only(f="fault").ops() if row.value == "heal"] == ["fail"]


def test_waits_for_agents_and_the_orchestrator_to_recover() -> None:
    bench = Bench(FakeFault())
    bench.fault.on_inject = lambda: freeze(bench, True)
    waited: list[float] = []

    def thaw_later(seconds: float) -> None:
        FakeTime.sleep(bench.time, seconds)
        if "heal" in bench.fault.events:
            waited.append(seconds)
            freeze(bench, len(waited) < 4)

    bench.time.sleep = thaw_later  # type: ignore[method-assign]
    assert bench.run().error is None
    assert dict(bench.intervals())["recover"] == 1


def freeze(bench: Bench, frozen: bool) -> None:
    bench.agents["n2"].frozen = frozen
    bench.orchestrator.complaints = ["n2 is Down"] if frozen else []


def test_a_cluster_that_does_not_recover_is_dirty_and_the_check_goes_on() -> None:
    bench = Bench(FakeFault())
    bench.fault.on_inject = lambda: bench.orchestrator.complaints.append("n2 is Down")
    run = bench.run()
    recover = [row for row in bench.recorder.history.only(f="fault").ops() if row.value == "recover"]
    assert [row.outcome for row in recover] == ["fail"]
    assert len(bench.recorder.history.only(f="tcp")), "the final probes are done all the same"
    assert run.left == ("n2 is Down",)


def test_complaints_from_before_are_not_blamed_on_the_check() -> None:
    bench = Bench(FakeFault())
    bench.orchestrator.complaints = ["n3 is drained"]
    assert not bench.run().dirty


def test_a_check_without_a_load_for_faults_refuses_them() -> None:
    run = Bench(FakeFault()).run("connectivity")
    assert isinstance(run.error, UsageError)
    assert "no load that faults can be timed against" in str(run.error)


def test_an_unknown_fault_is_refused_before_anything_happens() -> None:
    bench = Bench(FakeFault())
    run = bench.run(fault="meteor")
    assert isinstance(run.error, UsageError)
    assert "meteor" in str(run.error)
    assert "pause" in str(run.error)
    assert not bench.fault.events
    assert not bench.recorder.batches


def raiser(error: BaseException) -> Any:
    def fail() -> None:
        raise error

    return fail


def chosen(target: str, fault: str = "pause", seed: int = 1) -> tuple[str, ...]:
    return choose_targets(FaultSpec(fault=fault, target=target), make_plan(), random.Random(seed))


@pytest.mark.parametrize(("target", "count"), [("one", 1), ("minority", 1), ("majority", 2), ("all", 3)])
def test_targets_by_number(target: str, count: int) -> None:
    assert len(set(chosen(target))) == count


def test_targets_by_role_and_name() -> None:
    assert chosen("manager") == ("n1",)
    assert chosen("worker") == ("n2", "n3")
    assert chosen("n3") == ("n3",)


def test_targets_follow_the_seed() -> None:
    assert chosen("one", seed=5) == chosen("one", seed=5)
    assert len({chosen("one", seed=seed) for seed in range(50)}) == 3


def test_a_daemon_is_its_own_target() -> None:
    assert chosen("pool/osd", "kill") == chosen("pool/osd", "pause") == ("pool/osd",)
    assert chosen("n2", "kill") == ("n2",)


@pytest.mark.parametrize(
    ("target", "fault"),
    [("n9", "pause"), ("leader", "pause"), ("all", "partition"), ("pool/osd", "drain"), ("n9", "kill")],
)
def test_targets_that_make_no_sense_are_refused(target: str, fault: str) -> None:
    with pytest.raises(UsageError):
        chosen(target, fault)
