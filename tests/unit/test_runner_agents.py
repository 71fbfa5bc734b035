"""The runner with real agents on this machine: what it grants and records is what the checker can judge."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from harness.checkers import judge
from harness.model.errors import DeadlineExceeded
from harness.model.history import History
from harness.model.plan import Demand
from harness.model.topology import Check
from harness.model.verdict import Verdict
from harness.ports import Assignment, Cluster, Fault, Felt, Host, Load, Program, Right
from harness.runner import CheckRun, run_checks
from harness.runner._journal import Journal
from harness.runner._load import LoadRunner
from harness.runner._seams import SYSTEM_CLOCK
from harness.transport.agent import Agent
from harness.transport.local import LocalHost
from harness.transport.recorder import Recorder, read_history
from harness.workloads import REGISTRY
from tests.fakes import FakeHost
from tests.runner_fakes import NODES, TARGETS, FakeOrchestrator, make_check, make_cluster, make_plan

START_TIMEOUT_S = 30.0
EMPTY: dict[str, Fault] = {}


@pytest.fixture
def agents() -> Iterator[dict[str, Agent]]:
    started: dict[str, Agent] = {}
    try:
        for node in NODES:
            started[node] = Agent.start(LocalHost(node), timeout_s=START_TIMEOUT_S)
        yield started
    finally:
        for agent in started.values():
            agent.close()


def append_check(shim: str = "none") -> Check:
    check = make_check("concurrent-append", volume="shared", duration_s=0.3, block=64, shim=shim)
    whole = REGISTRY[check.kind].params.model_validate(check.params).model_dump(mode="json")
    return check.model_copy(update={"params": whole})


@dataclass
class Power:
    """A kill of nodes, of which the agents are all that is real."""

    agents: dict[str, Agent]
    name: str = "kill"
    rights: frozenset[Right] = frozenset()

    def demands(self) -> list[Demand]:
        return []

    def inject(self, cluster: Cluster, targets: Sequence[str], direction: str, *, timeout_s: float) -> None:
        for node in targets:
            self.agents[node].close()

    def felt(self, cluster: Cluster, targets: Sequence[str], direction: str, *, timeout_s: float) -> Felt:
        return Felt(True, "off")

    def heal(self, cluster: Cluster, *, timeout_s: float) -> list[str]:
        return []

    def revive(self, node: str) -> None:
        self.agents[node] = Agent.start(LocalHost(node), timeout_s=START_TIMEOUT_S)


def run_on(folder: Path, agents: dict[str, Agent], check: Check) -> Verdict:
    run, verdict = tried(folder, agents, check)
    assert (run.error, run.left) == (None, ())
    return verdict


def tried(
    folder: Path,
    agents: dict[str, Agent],
    check: Check,
    faults: Mapping[str, Fault] = EMPTY,
    revive: Any = None,
    api: Host | None = None,
) -> tuple[CheckRun, Verdict]:
    """Every made-up container is this machine itself (pid 0), and the volume a folder of it."""
    volume = folder / "volume"
    volume.mkdir()
    targets = tuple(replace(t, mounts={"shared": str(volume)}) if t.mounts else t for t in TARGETS)
    plan = make_plan(check, targets=targets)
    orchestrator = FakeOrchestrator()
    orchestrator.live = [replace(container, pid=0) for container in orchestrator.live]
    recorder, lines = Recorder(folder / "history"), list[str]()
    [run] = run_checks(
        replace(make_cluster(), api=api), plan, orchestrator, faults=faults, agents=agents, recorder=recorder,
        progress=lines.append, revive=revive,
    )  # fmt: skip
    recorder.close()
    return run, judge(read_history(folder), plan, check)


def test_appends_of_real_writers_are_all_found(tmp_path: Path, agents: dict[str, Agent]) -> None:
    verdict = run_on(tmp_path, agents, append_check())
    assert {p.name: p.observed for p in verdict.promises if p.observed != "kept"} == {}
    assert verdict.figures["acknowledged"] == verdict.figures["found"] > 0
    assert all(verdict.operations[node]["append"] for node in NODES)


def test_a_bug_on_purpose_is_caught_by_name(tmp_path: Path, agents: dict[str, Agent]) -> None:
    verdict = run_on(tmp_path, agents, append_check("lost"))
    broken = [promise.name for promise in verdict.promises if promise.observed == "broken"]
    assert broken == ["append-loses-nothing"]


STRIKE = {"fault": "kill", "target": "n2", "at_s": 0.2, "hold_s": 0.1}


def test_an_agent_that_went_down_with_its_node_is_started_anew_for_the_last_reads(
    tmp_path: Path, agents: dict[str, Agent]
) -> None:
    power, before = Power(agents), agents["n2"]
    check = append_check().model_copy(update={"faults": make_check("x", faults=[STRIKE]).faults})
    run, verdict = tried(tmp_path, agents, check, {"kill": power}, power.revive)
    assert (run.error, run.left) == (None, ())
    assert agents["n2"] is not before
    assert verdict.verdict == "pass", verdict.reason
    history = read_history(tmp_path)
    assert len(history.only(f="append", host="n2", outcome="ok"))
    assert len(history.only(f="read", host="n2", outcome="ok"))
    assert not len(history.only(f="lost"))


@pytest.mark.parametrize(("api", "lost"), [(FakeHost("kubectl"), False), (None, True)])
def test_an_agent_that_stood_in_a_pod_ends_with_it(
    tmp_path: Path, agents: dict[str, Agent], api: Host | None, lost: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a cluster gives no shell; elsewhere agents stand on nodes, and must outlive every pod."""
    monkeypatch.setattr("harness.runner._check.RECOVER_S", 1.0)
    evicting = Power(agents, name="delete-pod")
    strike = make_check("x", faults=[{**STRIKE, "fault": "delete-pod"}])
    check = append_check().model_copy(update={"faults": strike.faults})
    run, _ = tried(tmp_path, agents, check, {"delete-pod": evicting}, evicting.revive, api)
    assert (run.error is not None) == lost


def test_an_agent_that_nobody_starts_anew_is_lost(
    tmp_path: Path, agents: dict[str, Agent], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.runner._check.RECOVER_S", 1.0)
    power = Power(agents)
    check = append_check().model_copy(update={"faults": make_check("x", faults=[STRIKE]).faults})
    run, verdict = tried(tmp_path, agents, check, {"kill": power})
    assert run.error is not None
    assert run.left
    assert verdict.verdict == "unknown"
    assert "the agent on n2 was lost" in verdict.reason


def test_an_emulated_node_has_longer_to_come_back() -> None:
    """Providers of emulated hosts say how many times longer those take (`slowness`)."""
    cluster = make_cluster()
    assert cluster.slowness == 1.0
    cluster.hosts["n2"].slowness = 12.0  # type: ignore[attr-defined]  # of guests only
    assert cluster.slowness == 12.0


def test_no_number_is_used_before_its_reservation_is_on_disk(tmp_path: Path, agents: dict[str, Agent]) -> None:
    run_on(tmp_path, agents, append_check())
    reserved: set[int] = set()
    used = 0
    for line in (tmp_path / "history" / "0001.jsonl").read_text().splitlines():
        batch = json.loads(line)
        if batch["f"] == "reserve":
            reserved |= set(range(batch["value"], batch["value"] + batch["length"]))
        if batch["f"] == "append":
            ids = History.of_batches([batch])["value"].tolist()
            assert set(ids) <= reserved
            used += len(ids)
    assert used > 64, "more than one block a writer, so that reserving went on while they wrote"


NAMES = list(NODES)


def reading(path: Path) -> Program:
    reader = {"process": "reader", "at": "web.1", "pid": 0, "path": str(path)}
    return Program("read_log", {"readers": [reader], "key": "data", "record_bytes": 64}, timeout_s=2)


def test_a_volume_that_hangs_is_bounded_from_outside_and_every_place_told(
    tmp_path: Path, agents: dict[str, Agent]
) -> None:
    """Opening a pipe that nobody reads hangs, as a file does whose servers are silent."""
    os.mkfifo(tmp_path / "hangs")
    (tmp_path / "works").touch()
    names = {NAMES[0]: "hangs", NAMES[1]: "hangs", NAMES[2]: "works"}
    load = Load(tuple(Assignment(node, reading(tmp_path / name)) for node, name in names.items()))
    recorder = Recorder(tmp_path / "history")
    runner = LoadRunner(agents, Journal(recorder, "hung", SYSTEM_CLOCK), SYSTEM_CLOCK)
    with pytest.raises(DeadlineExceeded) as late:
        runner.run(load)
    recorder.close()
    place = f"(it was at {tmp_path / 'hangs'} in web.1)"
    assert late.value.message.split("; ") == [
        f"on {node}: the agent's read_log did not end within 2 s {place}" for node in NAMES[:2]
    ]
    assert "do its servers run" in (late.value.hint or "")
    assert all(agent.alive(START_TIMEOUT_S) for agent in agents.values())
