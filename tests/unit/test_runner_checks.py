"""Checks from their first look to the restored cluster: rows, reservations, lost agents, taken-back changes."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from harness.model.errors import ChannelLost, EnvironmentBroken, UsageError
from harness.model.plan import Plan
from harness.model.topology import Check
from harness.ports import Act, Acts, Command, Commands, Look, Stage, Workload
from harness.runner import CheckRun, run_checks
from harness.runner._looks import SHARED_S
from harness.workloads import REGISTRY
from harness.workloads._experiment import Experiment, Params, Stages
from tests.runner_fakes import (
    FakeAgent,
    FakeAnswers,
    FakeHost,
    FakeOrchestrator,
    FakeTime,
    MemoryRecorder,
    make_agents,
    make_check,
    make_cluster,
    make_plan,
)


class Bench:
    def __init__(self) -> None:
        self.orchestrator = FakeOrchestrator()
        self.answers = FakeAnswers(self.orchestrator)
        self.agents = make_agents(self.answers)
        self.recorder = MemoryRecorder()
        self.lines: list[str] = []
        self.time = FakeTime()
        self.cluster = make_cluster()

    def stages(self, *stages: Stage) -> list[CheckRun]:
        """Runs a check that has nothing but these stages."""

        return self.run(make_check("made"), workloads={"made": made_of("made", *stages)})

    def run(self, *checks: Check, workloads: Mapping[str, Workload] = REGISTRY) -> list[CheckRun]:
        return run_checks(
            self.cluster,
            make_plan(*checks),
            self.orchestrator,
            faults={},
            agents=self.agents,
            recorder=self.recorder,
            progress=self.lines.append,
            workloads=workloads,
            clock=self.time.clock,
        )

    def answer(self, instead: Callable[[FakeAgent, str, Mapping[str, Any]], list[dict[str, Any]] | None]) -> None:
        def answer(agent: FakeAgent, method: str, params: Mapping[str, Any]) -> list[dict[str, Any]]:
            own = instead(agent, method, params)
            return self.answers(agent, method, params) if own is None else own

        for agent in self.agents.values():
            agent.answer = answer

    def rows(self, f: str) -> list[tuple[str, str, str, str, str]]:
        found = self.recorder.history.only(f=f).ops()
        return [(row.host, row.process, row.at, row.key, str(row.value)) for row in found]


def made_of(kind: str, *stages: Stage) -> Experiment[Params]:
    """A workload that has nothing but these stages."""

    def run(_params: Params, _check: Check, _plan: Plan, _rng: random.Random) -> Stages:
        yield from (stage for stage in stages)  # a generator takes the scenes that are sent

    return Experiment(kind, Params, run)


def test_agents_rows_get_their_host_and_check() -> None:
    bench = Bench()
    [run] = bench.run(make_check("connectivity"))
    assert (run.id, run.error, run.dirty) == ("connectivity", None, False)
    history = bench.recorder.history
    assert set(history["check"].tolist()) == {"connectivity"}
    by_host = {row.host: row.at for row in history.only(f="tcp", at=["web.1", "web.2", "web.3"]).ops()}
    assert by_host == {"n1": "web.1", "n2": "web.2", "n3": "web.3"}


def test_progress_says_how_much_is_asked() -> None:
    bench = Bench()
    bench.run(make_check("connectivity", services=["web"], protocols=["icmp"]))
    assert bench.lines == ["connectivity: 10 endpoints, 6 probes"]


def test_a_look_records_the_scene() -> None:
    bench = Bench()
    bench.run(make_check("connectivity"))
    endpoints = bench.rows("endpoint")
    assert ("n1", "web", "web.1", "start|app", "10.0.0.1") in endpoints
    assert ("n2", "bare", "bare", "start|node", "192.0.2.2") in endpoints
    assert ("n3", "-", "n3", "start|node", "192.0.2.3") in endpoints
    assert len(endpoints) == 9 + 1 + 3
    assert ("n2", "web", "web.2", "start|web", "running") in bench.rows("task")
    assert len(bench.rows("task")) == 10
    truth = {key: value for *_, key, value in bench.rows("truth")}
    assert truth["start|app|web"] == "10.0.0.1,10.0.0.2,10.0.0.3"
    assert truth["start|back|lone"] == "10.0.1.1"


def test_checks_that_change_nothing_share_one_look() -> None:
    bench = Bench()
    bench.run(make_check("connectivity"), make_check("mtu"), make_check("latency"))
    assert bench.orchestrator.looks == 1
    assert {row.check for row in bench.recorder.history.only(f="endpoint").ops()} == {
        "connectivity",
        "mtu",
        "latency",
    }


CHANGE = Acts((Act("scale", "web", replicas=4),))


@pytest.mark.parametrize(
    ("stages", "looks"),
    [
        ((Look("start"), Look("again")), 2),
        ((Look("start"), CHANGE, Look("after")), 3),
        ((Look("start"), CHANGE), 2),
        ((CHANGE, Look("after")), 2),
        ((Look("start"),), 1),
    ],
    ids=["asked again", "changed and asked", "changed and undone", "changed first", "unchanged"],
)
def test_what_a_check_changed_is_asked_anew(stages: tuple[Stage, ...], looks: int) -> None:
    bench = Bench()
    workloads = {"made": made_of("made", *stages), "same": made_of("same", Look("start"))}
    runs = bench.run(make_check("made"), make_check("same"), workloads=workloads)
    assert [run.error for run in runs] == [None, None]
    assert bench.orchestrator.looks == looks


def test_an_old_look_is_taken_again() -> None:
    bench = Bench()

    def idle(*_: object) -> Stages:
        yield Look("start")
        bench.time.sleep(SHARED_S + 1)

    idles = Experiment("idle", Params, idle)
    bench.run(make_check("idle"), make_check("idle"), workloads={"idle": idles})
    assert bench.orchestrator.looks == 2


def test_listeners_are_closed_after_every_check() -> None:
    bench = Bench()
    bench.run(make_check("connectivity"), make_check("mtu"))
    for agent in bench.agents.values():
        assert agent.calls.count("unlisten") == 2
        assert agent.calls[-1] == "unlisten"


def test_every_check_has_a_token_of_its_own() -> None:
    bench = Bench()
    bench.run(make_check("connectivity"), make_check("mtu"))
    tokens = [job.params["token"] for job in bench.agents["n1"].jobs if job.method == "listen"]
    assert len(set(tokens)) == 2


def test_dns_follows_the_cluster_and_is_right_at_once() -> None:
    bench = Bench()
    [run] = bench.run(make_check("dns"))
    assert (run.error, run.dirty) == (None, False)
    # what is changed at once has no order
    first, last = bench.orchestrator.calls[:3], bench.orchestrator.calls[3:]
    assert sorted(first) == ["scale web 5", "stop lone", "stop probe"]
    assert sorted(last) == ["scale web 3", "start lone", "start probe"]
    recorded = [key for _, _, _, key, _ in bench.rows("act")]
    assert sorted(recorded[:3]) == ["scale|web", "stop|lone", "stop|probe"]
    assert sorted(recorded[3:]) == ["scale|web", "start|lone", "start|probe"]
    truth = {key: value for *_, key, value in bench.rows("truth")}
    assert truth["changed|app|probe"] == ""
    assert len(truth["changed|app|web"].split(",")) == 5
    asked = [agent.calls.count("lookup") for agent in bench.agents.values()]
    assert max(asked) == 3, "one round a phase where the first is right"


def test_lookups_that_stay_wrong_are_repeated_until_the_time_is_over_and_kept() -> None:
    bench = Bench()
    bench.answers.wrong_dns = True
    [run] = bench.run(make_check("dns", service="web", within_s=2))
    assert run.error is None
    assert bench.agents["n1"].calls.count("lookup") == 3 * 5, "every 0.5 s for 2 s in three phases"
    assert set(bench.recorder.values("dns")) == {"timeout"}
    assert bench.lines.count("dns: not right within 2 s") == 3


def test_the_scale_is_restored_when_a_lookup_raises() -> None:
    bench = Bench()

    def fail_when_scaled(agent: FakeAgent, method: str, params: Mapping[str, Any]) -> None:
        if method == "lookup" and "changed" in params["lookups"][0]["key"]:
            raise EnvironmentBroken("the resolver broke")

    bench.answer(fail_when_scaled)
    [run] = bench.run(make_check("dns"))
    assert "the resolver broke" in str(run.error)
    assert bench.orchestrator.calls[3:] == ["scale web 3", "start probe", "start lone"]
    assert not run.dirty


def test_everything_is_taken_back_on_an_interrupt() -> None:
    bench = Bench()

    def interrupt_when_stopped(agent: FakeAgent, method: str, params: Mapping[str, Any]) -> None:
        if method == "lookup" and params["lookups"][0]["key"].startswith("changed|"):
            raise KeyboardInterrupt

    bench.answer(interrupt_when_stopped)
    with pytest.raises(KeyboardInterrupt):
        bench.run(make_check("dns"))
    assert bench.orchestrator.calls[-2:] == ["start probe", "start lone"]


def test_a_scale_that_cannot_be_taken_back_is_dirty_and_stops_the_run() -> None:
    bench = Bench()
    bench.orchestrator.refuse_scale_to = 3
    runs = bench.run(make_check("dns"), make_check("mtu"))
    assert [run.id for run in runs] == ["dns"]
    assert runs[0].left == ("scale of web failed: no room", "web runs 5 containers, not 3")
    assert bench.rows("act")[-1][3] == "scale|web"


def test_a_container_that_vanished_during_a_changing_check_is_dirty() -> None:
    bench = Bench()

    def vanish(agent: FakeAgent, method: str, params: Mapping[str, Any]) -> None:
        if method == "lookup" and "changed" in params["lookups"][0]["key"]:
            bench.orchestrator.live = [c for c in bench.orchestrator.live if c.name != "edge.n3"]

    bench.answer(vanish)
    [run] = bench.run(make_check("dns", service="web"))
    assert run.left == ("edge runs 2 containers, not 3",)


def test_a_name_that_was_changed_is_given_back() -> None:
    bench = Bench()
    [run] = bench.stages(Look("start"), Acts((Act("rename", "probe", container="probe", name="other"),)))
    assert (run.error, run.dirty) == (None, False)
    assert bench.orchestrator.calls == ["rename probe other", "rename probe"]
    assert [(key, value) for *_, key, value in bench.rows("act")] == [
        ("rename|probe", "other"),
        ("rename|probe", ""),
    ]


def test_an_update_has_nothing_to_take_back() -> None:
    bench = Bench()
    [run] = bench.stages(Look("start"), Acts((Act("update", "web", parallelism=2),)))
    assert (run.error, run.dirty) == (None, False)
    assert bench.orchestrator.calls == ["update web 2 stop-first"]


def test_acts_of_a_load_happen_while_it_runs() -> None:
    bench = Bench()
    [run] = bench.run(make_check("recovery", update="web", parallelism=2, order="start-first"))
    assert run.error is None
    assert bench.orchestrator.calls == ["update web 2 start-first"]
    [updated] = bench.recorder.history.only(f="act").ops()
    beats = [job for agent in bench.agents.values() for job in agent.jobs if job.method == "beat"]
    assert beats
    assert updated.key == "update|web"


def test_only_a_scheduled_service_can_be_updated_meanwhile() -> None:
    [run] = Bench().run(make_check("recovery", update="probe"))
    assert isinstance(run.error, UsageError)
    assert "'probe' is no scheduled service" in str(run.error)


def test_commands_of_a_check_are_taken_back_at_its_end() -> None:
    bench = Bench()
    shim = Command("n1", "shim", ("ip", "link", "add"), timeout_s=5, undo=("ip", "link", "del"))
    [run] = bench.stages(Look("start"), Commands((shim,)))
    assert (run.error, run.dirty) == (None, False)
    assert bench.rows("command") == [("n1", "controller", "", "shim", "")]
    host = bench.cluster.hosts["n1"]
    assert isinstance(host, FakeHost)
    assert host.calls == [("ip", "link", "add"), ("ip", "link", "del")]


def test_a_lost_agent_stops_its_check_and_is_recorded() -> None:
    bench = Bench()

    def die(agent: FakeAgent, method: str, params: Mapping[str, Any]) -> None:
        if method == "probe" and agent.host == "n2":
            agent.lost = True
            raise ChannelLost("its process ended")

    bench.answer(die)
    runs = bench.run(make_check("connectivity"), make_check("mtu"))
    assert [run.id for run in runs] == ["connectivity"]
    assert isinstance(runs[0].error, ChannelLost)
    assert str(runs[0].error) == "its process ended"
    assert bench.rows("lost") == [("controller", "nemesis", "", "n2", "its process ended")]
    assert runs[0].left == ("the agent on n2 does not answer: n2 is gone",)
    assert {row.host for row in bench.recorder.history.only(f="tcp").ops()} == {"n1", "n3"}, (
        "the others' rows are kept"
    )


def test_a_program_that_fails_stops_its_check_only() -> None:
    bench = Bench()

    def refuse(agent: FakeAgent, method: str, params: Mapping[str, Any]) -> None:
        if method == "bulk":
            raise EnvironmentBroken("no memory")

    bench.answer(refuse)
    runs = bench.run(make_check("mtu"), make_check("connectivity"))
    assert [(run.id, run.error is None, run.dirty) for run in runs] == [
        ("mtu", False, False),
        ("connectivity", True, False),
    ]


def test_a_reservation_is_on_disk_before_it_is_granted() -> None:
    bench = Bench()
    [run] = bench.run(make_check("concurrent-append", volume="shared", writers_per_node=1))
    assert run.error is None
    reserved = list(bench.recorder.history.only(f="reserve").ops())
    assert [(r.process, r.host, r.at, r.key) for r in reserved] == [
        ("w1", "n1", reserved[0].at, "shared"),
        ("w2", "n2", reserved[1].at, "shared"),
        ("w3", "n3", reserved[2].at, "shared"),
    ]
    assert [r.value for r in reserved] == [1 << 32, 2 << 32, 3 << 32]
    assert {r.length for r in reserved} == {16}
    grants = [job.grants for agent in bench.agents.values() for job in agent.jobs if job.method == "append"]
    assert grants == [[{"writer": n, "first": 0, "count": 16}] for n in (1, 2, 3)]


def test_nothing_is_granted_on_a_full_disk_and_the_run_ends() -> None:
    bench = Bench()
    check = make_check("concurrent-append", volume="shared")
    bench.recorder.full_after = 3  # the rows of the first look
    with pytest.raises(EnvironmentBroken, match="the disk is full"):
        bench.run(check)
    assert not [grant for agent in bench.agents.values() for job in agent.jobs for grant in job.grants]


def test_writers_run_as_long_as_asked() -> None:
    bench = Bench()
    [run] = bench.run(make_check("concurrent-append", volume="shared", duration_s=4))
    assert run.duration_s == 4


def test_a_user_mistake_is_the_checks_error() -> None:
    bench = Bench()
    runs = bench.run(make_check("mtu", network="other"), make_check("concurrent-append", volume="shared"))
    assert isinstance(runs[0].error, UsageError)
    assert runs[1].error is None


def test_an_unknown_kind_of_check_ends_the_run() -> None:
    with pytest.raises(UsageError, match="no check is called 'telepathy'"):
        Bench().run(make_check("telepathy"))
