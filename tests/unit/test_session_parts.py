"""Clusters apart from runs, single checks on them, and what a history tells of faults."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness import session
from harness.model.errors import ChannelLost, EnvironmentBroken, Incomplete, Unreachable, UsageError
from harness.model.history import History, Op
from harness.model.plan import Plan, cluster_key
from harness.model.run import FaultRecord
from harness.model.verdict import Verdict
from harness.ports import Cluster, ClusterInfo, Progress
from harness.session import Bench, Options, registries
from harness.session import clusters as session_clusters
from harness.session.judging import fault_records, judge
from harness.session.options import parse_setting
from harness.session.planning import new_run
from harness.transport.agent import Agent
from tests.checkers_scene import append, make_check, make_plan, placed, read, volume_plan
from tests.fakes import FakeLifecycle, FakeProvider
from tests.session_fakes import Lab, make_lab, write_topology

S = 1_000_000_000


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    return make_lab(tmp_path, monkeypatch)


def up(lab: Lab, **changes: Any) -> session.Live:
    options = lab.options()
    plan = session.make_plan(
        session.topology_of(write_topology(lab.folder, **changes), options), options, run=new_run()
    )
    return session.up(plan, lab.lines.append)


def up_asleep(lab: Lab) -> session.Live:
    options = lab.options()
    plan = session.make_plan(session.topology_of(write_topology(lab.folder), options), options, run=new_run())
    return session.up(plan, lab.lines.append, snapshots=True)


# --- clusters


def test_up_leaves_a_cluster_that_is_listed_and_found(lab: Lab) -> None:
    live = up(lab)
    assert [info.name for info in session.cluster_infos()] == [live.cluster.name]
    assert session.find(live.cluster.name).run == session.find(live.cluster.run).run == live.plan.run
    assert session.host_of(live.cluster.name, "n2").address == "192.0.2.2"


def take_snapshots(lab: Lab) -> set[str]:
    """The lab's provider learns to. Returns the keys of clusters that have one."""
    taken: set[str] = set()

    def wake(plan: Plan, _progress: Progress) -> Cluster | None:
        lab.events.append("wake")
        if cluster_key(plan.topology) not in taken:
            return None
        return replace(lab.provider.up(plan, print), woken="2026-01-02T03:04:05Z")

    def take(cluster: Cluster, plan: Plan, _progress: Progress) -> Cluster:
        lab.events.append("take")
        taken.add(cluster_key(plan.topology))
        return replace(cluster, woken="just now")

    vars(lab.provider).update(wake=wake, take_snapshot=take)
    return taken


def verbs(lab: Lab) -> list[str]:
    return [event.split()[0] for event in lab.events]


def test_a_snapshot_is_taken_of_a_cluster_that_is_formed_and_empty_and_woken_the_next_time(lab: Lab) -> None:
    take_snapshots(lab)
    assert up_asleep(lab).cluster.woken == "just now"
    assert verbs(lab) == ["wake", "up", "join", "take", "join", "apply"]
    lab.events.clear()
    assert up_asleep(lab).cluster.woken == "2026-01-02T03:04:05Z"
    assert verbs(lab) == ["wake", "up", "join", "apply"]


def test_nothing_is_woken_and_nothing_taken_unless_it_is_asked_for(lab: Lab) -> None:
    take_snapshots(lab)
    assert up(lab).cluster.woken == ""
    assert verbs(lab) == ["up", "join", "apply"]


def test_a_cluster_of_which_a_snapshot_fails_is_taken_down(lab: Lab) -> None:
    take_snapshots(lab)

    def break_it(*_: object) -> Cluster:
        raise EnvironmentBroken("no room")

    vars(lab.provider).update(take_snapshot=break_it)
    with pytest.raises(EnvironmentBroken, match="no room"):
        up_asleep(lab)
    assert lab.provider.made == {}


def test_a_provider_that_takes_none_makes_its_clusters(lab: Lab) -> None:
    assert up_asleep(lab).cluster.woken == ""


def test_what_is_not_there_is_named_with_what_is(lab: Lab) -> None:
    live = up(lab)
    with pytest.raises(UsageError, match="nobody") as cluster:
        session.find("nobody")
    with pytest.raises(UsageError, match="no node 'n9'") as node:
        session.host_of(live.cluster.name, "n9")
    with pytest.raises(UsageError, match="nobody") as removed:
        session.down("nobody")
    assert live.cluster.name in str(cluster.value.hint)
    assert live.cluster.name in str(removed.value.hint)
    assert "n1, n2, n3" in str(node.value.hint)


def test_a_host_without_a_terminal_gives_no_shell(lab: Lab) -> None:
    live = up(lab)
    with pytest.raises(UsageError, match="no terminal"):
        session.shell_argv(live.cluster.name, "n1", None)


@pytest.mark.parametrize("by", ["name", "run"])
def test_down_removes_by_name_or_run_and_says_what(lab: Lab, by: str) -> None:
    live = up(lab)
    assert session.down(getattr(live.cluster, by)) == [f"cluster {live.cluster.name}"]
    assert session.cluster_infos() == []


def test_down_all_goes_on_after_one_that_cannot_be_removed_and_tidies(lab: Lab) -> None:
    first, second = up(lab), up(lab)
    lab.provider.raises["down"] = EnvironmentBroken("the engine hangs")
    with pytest.raises(EnvironmentBroken, match="the engine hangs"):
        session.down_all(lab.lines.append)
    assert list(lab.provider.made) == [first.plan.run]
    assert f"down {second.plan.run}" in lab.events
    assert lab.events[-1] == "tidy"


def test_what_cannot_be_asked_hides_nothing_else(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    live = up(lab)
    silent_provider(monkeypatch)
    seen = session.survey()
    assert [info.name for info in seen.clusters] == [live.cluster.name]
    assert [error.message for error in seen.unseen] == ["n2 cannot be reached"]
    assert session.find(live.cluster.name).run == live.plan.run


def test_what_is_not_there_may_be_where_nobody_answers(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    silent_provider(monkeypatch)
    for call in (session.find, session.down):
        with pytest.raises(Incomplete, match="n2 cannot be reached"):
            call("nobody")


def test_down_all_removes_what_can_be_seen_and_tells_both(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    live = up(lab)
    silent_provider(monkeypatch)
    with pytest.raises(Incomplete, match="n2 cannot be reached") as caught:
        session.down_all(lab.lines.append)
    assert caught.value.done == (f"cluster {live.cluster.name}",)
    assert lab.provider.made == {}
    assert lab.events[-1] == "tidy"


def silent_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    """One more, beside the lab's, that cannot say what there is."""

    class Silent(FakeProvider):
        def clusters(self) -> list[ClusterInfo]:
            raise Unreachable("n2 cannot be reached")

    for registry in (registries, session_clusters):
        monkeypatch.setattr(registry, "PROVIDERS", {**registries.PROVIDERS, "other": lambda: Silent(name="other")})


@pytest.mark.parametrize("by", ["all", "name"])
def test_what_stands_on_a_daemon_that_was_killed_is_seen_once_it_runs_again(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    live = up(lab)
    made, wake = dict(lab.provider.made), lab.provider.tidy

    def tidy() -> list[str]:
        lab.provider.made.update(made)
        made.clear()
        return wake()

    lab.provider.made.clear()
    monkeypatch.setattr(lab.provider, "tidy", tidy)
    name = live.cluster.name
    assert session.cluster_infos() == []
    removed = session.down_all(lab.lines.append) if by == "all" else session.down(name)
    assert removed == [f"cluster {name}"]


def test_down_all_of_nothing_is_nothing(lab: Lab) -> None:
    assert session.down_all(lab.lines.append) == []


def test_a_setup_that_breaks_removes_what_was_made_even_where_that_fails_too(lab: Lab) -> None:
    lab.orchestrator.raises["join"] = ChannelLost("n2 is gone")
    lab.provider.raises["down"] = EnvironmentBroken("the engine hangs")
    with pytest.raises(ChannelLost, match="n2 is gone"):
        up(lab)
    assert any("could not be removed: the engine hangs" in line for line in lab.lines)


def test_heal_undoes_what_the_clusters_rights_allow(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    live = up(lab)
    lifecycle = FakeLifecycle(live.cluster.hosts)
    poor = Cluster(live.cluster.name, live.plan.run, "docker", live.cluster.hosts, wire=None, lifecycle=lifecycle)
    monkeypatch.setattr(lab.provider, "find", lambda _name: poor)
    lifecycle.freeze("n3", timeout_s=5)
    assert session.heal(live.cluster.name) == ["thawed n3"]
    assert session.heal(live.cluster.name) == []


# --- plans and options


def test_a_seed_is_kept_and_without_one_each_plan_draws_its_own(lab: Lab) -> None:
    topology = session.topology_of(write_topology(lab.folder), Options())
    assert session.make_plan(topology, Options(seed=5), run="r").seed == 5
    assert len({session.make_plan(topology, Options(), run="r").seed for _ in range(5)}) > 1


def test_a_faults_demand_stands_for_its_check(lab: Lab) -> None:
    checks = [{"recovery": {"id": "cut", "faults": [{"fault": "partition", "target": "n2"}]}}]
    topology = session.topology_of(write_topology(lab.folder, checks=checks), Options())
    demands = session.make_plan(topology, Options(), run="r").demands
    assert {d.wanted_by for d in demands if d.feature == "nft-bridge"} == {"check cut"}


def test_runs_that_start_in_one_second_have_names_of_their_own_that_sort() -> None:
    names = [new_run() for _ in range(50)]
    assert len(set(names)) == 50
    assert all(len(name) == len("20261124-234301-abcdef") for name in names)


def test_settings_are_laid_over_the_file_and_named_options_win(lab: Lab) -> None:
    options = Options(provider="docker", settings=(("cluster.provider", "kind"), ("cluster.nodes.worker", "1")))
    topology = session.topology_of(write_topology(lab.folder), options)
    assert (topology.cluster.provider, topology.cluster.nodes.names) == ("docker", ["n1", "n2"])


@pytest.mark.parametrize("text", ["", "x", "=1", " =1"])
def test_a_setting_without_key_or_value_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--set takes KEY=VALUE"):
        parse_setting(text)


def test_a_value_may_hold_the_sign_itself() -> None:
    assert parse_setting("a.b=c=d") == ("a.b", "c=d")


def test_an_unknown_provider_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="'nowhere' is not supported yet; there is existing, docker"):
        session.provider("nowhere")


# --- single checks


def test_checks_run_one_by_one_with_names_of_their_own(lab: Lab, tmp_path: Path) -> None:
    with Bench(up(lab), tmp_path / "bench", lab.lines.append) as bench:
        first = bench.check("mtu", network="app")
        lab.network.largest = 1400
        second = bench.check("mtu", network="app")
        assert bench.problems() == []
    assert [(v.id, v.verdict) for v in (first, second)] == [("mtu-1", "pass"), ("mtu-2", "fail")]
    assert all(agent.closed for agent in lab.agents)


@pytest.mark.parametrize("shared", [True, False])
def test_clocks_of_hosts_that_have_their_own_are_measured_around_a_single_check(
    shared: bool, lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[set[str]] = []

    @contextmanager
    def note(agents: Mapping[str, Any], _recorder: object) -> Iterator[None]:
        measured.append(set(agents))
        yield

    monkeypatch.setattr("harness.session.bench.measured_clocks", note)
    live = up(lab)
    live = replace(live, cluster=replace(live.cluster, shared_clock=shared))
    with Bench(live, tmp_path / "bench", lab.lines.append) as bench:
        bench.check("mtu", network="app")
    assert measured == ([] if shared else [{"n1", "n2", "n3"}])


def test_an_unknown_check_or_parameter_is_refused(lab: Lab, tmp_path: Path) -> None:
    with Bench(up(lab), tmp_path / "bench", lab.lines.append) as bench:
        with pytest.raises(UsageError, match=r"no check is called 'mut'; there are .*mtu"):
            bench.check("mut")
        with pytest.raises(UsageError, match="netwrok"):
            bench.check("mtu", netwrok="app")


def test_what_stops_a_single_check_is_raised(lab: Lab, tmp_path: Path) -> None:
    lab.network.raises["bulk"] = EnvironmentBroken("no route")
    with Bench(up(lab), tmp_path / "bench", lab.lines.append) as bench, pytest.raises(EnvironmentBroken):
        bench.check("mtu")


def test_agents_that_started_are_closed_when_a_later_one_does_not(lab: Lab, tmp_path: Path) -> None:
    live = up(lab)
    started = lab.start_agent

    def second_fails(host: Any, *, timeout_s: float) -> Any:
        if host.name == "n2":
            raise ChannelLost("n2 does not answer")
        return started(host, timeout_s=timeout_s)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Agent, "start", second_fails)
        with pytest.raises(ChannelLost), Bench(live, tmp_path / "bench", lab.lines.append):
            raise AssertionError("it cannot begin")
    assert {(agent.host, agent.closed) for agent in lab.agents} == {("n1", True), ("n3", True)}


# --- faults in a history


def fault(value: str, start: int, end: int, *, at: str = "n2", ok: bool = True, f: str = "fault") -> Op:
    outcome = "ok" if ok else "fail"
    return Op("nemesis", "", at, "c", f, "pause", value, start_ns=start * S, end_ns=end * S, outcome=outcome)  # type: ignore[arg-type]


def first_row() -> Op:
    return Op("p", "n1", "a", "c", "tcp", "k", "ok", start_ns=10 * S, end_ns=10 * S)


def test_one_record_an_injection_in_seconds_since_the_checks_first_row() -> None:
    rows = [first_row(), fault("inject", 12, 13), fault("it hurts", 13, 13, f="felt"), fault("heal", 15, 16)]
    assert fault_records(History.of(rows)) == (FaultRecord("pause", "c", ("n2",), 2.0, 6.0, True, True),)


def test_repeated_injections_have_their_own_end_and_their_own_evidence() -> None:
    rows = [
        first_row(),
        *(fault("inject", 12, 13), fault("no", 13, 13, f="felt", ok=False), fault("heal", 15, 16)),
        *(fault("inject", 20, 21), fault("yes", 22, 22, f="felt"), fault("heal", 25, 26)),
    ]
    first, second = fault_records(History.of(rows))
    assert (first.start_s, first.end_s, first.felt, first.healed) == (2.0, 6.0, False, True)
    assert (second.start_s, second.end_s, second.felt, second.healed) == (10.0, 16.0, True, True)


def test_what_was_never_healed_ends_with_its_last_row_and_says_so() -> None:
    rows = [first_row(), fault("inject", 12, 13), fault("it hurts", 13, 14, f="felt")]
    [record] = fault_records(History.of(rows))
    assert (record.end_s, record.felt, record.healed) == (4.0, True, False)
    [failed] = fault_records(History.of([*rows, fault("heal", 15, 16, ok=False)]))
    assert (failed.end_s, failed.healed) == (6.0, False)


def test_several_targets_are_told_apart() -> None:
    rows = [first_row(), fault("inject", 12, 13, at="n1,n2"), fault("inject", 12, 13, at="n3")]
    rows += [fault("heal", 14, 15, at="n3")]
    assert {r.targets: r.healed for r in fault_records(History.of(rows))} == {("n1", "n2"): False, ("n3",): True}


def test_a_history_without_faults_has_none() -> None:
    assert fault_records(History.of([first_row()])) == ()


# --- checks that came to no end

LATE = [
    append(1, 0, 10, 20),
    append(2, 0, 30, 40),
    *read("n2", placed((1, 0), (2, 0))),
    *read("n3", placed((1, 0))),
]


def test_last_reads_that_were_cut_off_prove_nothing() -> None:
    """A host that reads less may read more a moment later: where it is not asked again, nobody knows."""
    check = make_check("concurrent-append", volume="data", writers_per_node=1)
    plan = replace(make_plan(volumes=(volume_plan(shared=True),)), checks=(check,))

    [ended] = judge(History.of(LATE), plan, {}, ())
    [cut] = judge(History.of(LATE), plan, {check.id: "broke off: n3 hangs"}, ())

    assert (ended.verdict, cut.verdict) == ("fail", "unknown")
    assert cut.reason == "broke off: n3 hangs"
    assert {promise.observed for promise in cut.promises} == {"unmeasured"}


def test_what_failed_before_the_end_stays_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = Verdict("isolation", "isolation", "", "fail", "they reach each other")
    monkeypatch.setattr("harness.checkers.judge", lambda *_: failed)
    plan = replace(make_plan(), checks=(make_check("isolation"),))
    [verdict] = judge(History.of([]), plan, {"isolation": "broke off: n3 hangs"}, ())
    assert (verdict.verdict, verdict.reason) == ("fail", "broke off: n3 hangs")
