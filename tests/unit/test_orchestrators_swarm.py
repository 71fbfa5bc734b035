"""The orchestrator against a fake swarm: joining, deploying, looking, changing, removing."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import yaml

from harness.model.errors import CommandFailed, DeadlineExceeded, EnvironmentBroken, UsageError
from harness.model.plan import Plan, Step
from harness.orchestrators import hosts
from harness.orchestrators.swarm import Swarm, acting, joining, pinning, waiting
from harness.orchestrators.swarm import steps as swarm_steps
from harness.ports import Act, Cluster, Container, PublishedAddress, Result
from tests.fake_swarm import TOKEN, FakeSwarm
from tests.fakes import FakeHost
from tests.planner_topologies import EXAMPLE, RUN, planned


def quiet(_line: str) -> None:
    pass


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "POLL_S", 0.001)


@pytest.mark.parametrize(("takes_s", "pause_s"), [(0.0, 0.2), (0.1, 0.2), (1.0, 1.0), (60.0, hosts.LONG_POLL_S)])
def test_who_takes_long_to_answer_is_asked_less_often(
    takes_s: float, pause_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, pauses = [0.0], list[float]()

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        now[0] += seconds

    monkeypatch.setattr(hosts, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=sleep))
    for _ in hosts.ticks(120.0, 0.2):
        now[0] += takes_s
    assert pauses
    assert pauses == pytest.approx([pause_s] * len(pauses))


@pytest.fixture
def swarm() -> FakeSwarm:
    return FakeSwarm()


@pytest.fixture
def cluster(swarm: FakeSwarm) -> Cluster:
    return swarm.cluster(RUN)


@pytest.fixture
def made() -> Plan:
    return planned()


@pytest.fixture
def running(swarm: FakeSwarm, cluster: Cluster, made: Plan) -> FakeSwarm:
    Swarm().join(cluster, made, quiet)
    Swarm().apply(cluster, made, quiet)
    return swarm


# --- join


def test_join_makes_one_swarm_with_the_heartbeat_and_named_nodes(
    swarm: FakeSwarm, cluster: Cluster, made: Plan
) -> None:
    swarm.not_ready_looks = 2
    said: list[str] = []
    Swarm().join(cluster, made, said.append)
    assert [host.state for host in swarm.hosts.values()] == ["active"] * 3
    assert swarm.heartbeat_ns == 2 * 10**9
    assert any("harness.name=n3 --label-add harness.role=worker" in spec for spec in swarm.labels)
    assert said[-1] == "all 3 nodes are Ready"


def test_join_adopts_a_swarm_that_is_there(swarm: FakeSwarm, cluster: Cluster, made: Plan) -> None:
    Swarm().join(cluster, made, quiet)
    joins = [
        call for host in swarm.hosts.values() for call in host.calls if "docker swarm join " in " ".join(call)
    ]
    Swarm().join(cluster, made, quiet)
    assert len(joins) == 2
    assert joins == [
        call for host in swarm.hosts.values() for call in host.calls if "docker swarm join " in " ".join(call)
    ]


@pytest.mark.parametrize(("provider", "heartbeat_s"), [("docker", 2), ("existing", 5)])
def test_an_adopted_swarm_gets_our_heartbeat_only_where_it_is_ours(
    swarm: FakeSwarm, provider: str, heartbeat_s: int
) -> None:
    text = EXAMPLE.replace("cluster: {", f"cluster: {{provider: {provider}, ")
    cluster, made = swarm.cluster(RUN, provider), planned(text)
    Swarm().join(cluster, made, quiet)
    swarm.heartbeat_ns = 5 * 10**9
    Swarm().join(cluster, made, quiet)
    assert swarm.heartbeat_ns == heartbeat_s * 10**9


def test_no_join_token_is_in_a_command_or_an_error(swarm: FakeSwarm, cluster: Cluster, made: Plan) -> None:
    swarm.refuse_join = f"cannot join with {TOKEN}: connection refused"
    with pytest.raises(CommandFailed) as caught:
        Swarm().join(cluster, made, quiet)
    assert "SWMTKN-***" in caught.value.message
    assert "can n2 reach 192.0.2.1:2377?" in str(caught.value.hint)
    assert TOKEN not in caught.value.message
    assert not any(TOKEN in word for host in swarm.hosts.values() for call in host.calls for word in call)


def test_a_host_of_another_swarm_is_named(swarm: FakeSwarm, cluster: Cluster, made: Plan) -> None:
    swarm.hosts["n3"].state, swarm.hosts["n3"].node_id = "active", "stranger"
    with pytest.raises(EnvironmentBroken, match="another swarm than the manager: n3"):
        Swarm().join(cluster, made, quiet)


def test_a_manager_that_is_locked_is_not_adopted(swarm: FakeSwarm, cluster: Cluster, made: Plan) -> None:
    swarm.manager.state = "locked"
    with pytest.raises(EnvironmentBroken, match="state locked"):
        Swarm().join(cluster, made, quiet)


def test_nodes_that_never_become_ready_are_named(
    monkeypatch: pytest.MonkeyPatch, swarm: FakeSwarm, cluster: Cluster, made: Plan
) -> None:
    monkeypatch.setattr(joining, "READY_TIMEOUT_S", 0.01)
    swarm.not_ready_looks = 10**6
    with pytest.raises(DeadlineExceeded, match="n1, n2, n3"):
        Swarm().join(cluster, made, quiet)


def test_slow_nodes_are_given_as_many_times_longer_to_become_ready(
    monkeypatch: pytest.MonkeyPatch, swarm: FakeSwarm, cluster: Cluster, made: Plan
) -> None:
    monkeypatch.setattr(joining, "READY_TIMEOUT_S", 0.01)
    monkeypatch.setattr(swarm.hosts["n3"], "slowness", 1000.0, raising=False)
    swarm.not_ready_looks = 3
    Swarm().join(cluster, made, quiet)


# --- apply


def test_apply_runs_every_container_of_the_plan(running: FakeSwarm, cluster: Cluster, made: Plan) -> None:
    names = [container.name for container in Swarm().containers(cluster, made)]
    assert names == ["bare", "edge.n1", "edge.n2", "edge.n3", "probe", "web.1", "web.2", "web.3"]
    assert Swarm().state(cluster, made).complaints == ()


@pytest.mark.parametrize(
    ("other", "named"), [("sha256:1", "sha256:1"), ("sha256:2", "lab/image:1"), ("-", "lab/image:1")]
)
def test_images_are_named_by_id_only_where_all_nodes_have_the_same(
    swarm: FakeSwarm, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, other: str, named: str
) -> None:
    made = planned("name: x", services={"web": {"image": "lab/image:1"}})
    answers = {"n1": "sha256:1", "n2": other, "n3": "sha256:1"}
    monkeypatch.setattr(swarm, "_image_ids", lambda host, argv, _stdin: Result(0, answers[host.name], ""))
    document = next(d for d in pinning.pinned(cluster, made).documents if "services" in d.text)
    assert yaml.safe_load(document.text)["services"]["web"]["image"] == named


def test_apply_says_how_far_each_service_is(swarm: FakeSwarm, cluster: Cluster, made: Plan) -> None:
    said: list[str] = []
    Swarm().join(cluster, made, quiet)
    Swarm().apply(cluster, made, said.append)
    assert "web: 3 of 3" in said
    assert "networks: 1 step" in said


def test_slow_nodes_get_longer_to_be_ready_and_to_run(
    swarm: FakeSwarm, cluster: Cluster, made: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Emulated guests take minutes for what others do in seconds."""
    waits: list[float] = []

    def once(timeout_s: float) -> Iterator[None]:
        waits.append(timeout_s)
        yield

    monkeypatch.setattr(waiting, "ticks", once)
    monkeypatch.setattr(waiting, "RUNNING_TIMEOUT_S", 10.0)
    cluster.hosts["n2"].slowness = 12.0  # type: ignore[attr-defined]  # of guests only
    Swarm().join(cluster, made, quiet)
    with pytest.raises(EnvironmentBroken):
        waiting.await_running(cluster, made, quiet)
    assert waits == [120.0]


def test_slow_nodes_get_longer_for_a_rolling_update(
    swarm: FakeSwarm, cluster: Cluster, made: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    def never(timeout_s: float) -> Iterator[None]:
        waits.append(timeout_s)
        yield from ()

    Swarm().join(cluster, made, quiet)
    Swarm().apply(cluster, made, quiet)
    cluster.hosts["n3"].slowness = 12.0  # type: ignore[attr-defined]  # of guests only
    monkeypatch.setattr(acting, "ticks", never)
    with pytest.raises(DeadlineExceeded, match="after 720 s at most"):
        Swarm().perform(cluster, made, Act("update", "web"), None, timeout_s=60.0)
    assert waits == [720.0]


def test_a_missing_image_is_said_in_swarms_words_and_at_once(swarm: FakeSwarm, cluster: Cluster) -> None:
    made = planned("name: x", services={"web": {"image": "no/such:1"}})
    swarm.images_missing.add("no/such:1")
    Swarm().join(cluster, made, quiet)
    with pytest.raises(EnvironmentBroken, match="web: No such image: no/such:1") as caught:
        Swarm().apply(cluster, made, quiet)
    assert "docker image ls" in str(caught.value.hint)


@pytest.mark.parametrize("limit", ["RUNNING_TIMEOUT_S", "UNPLACED_TIMEOUT_S"])
def test_a_service_that_cannot_be_placed_is_said_in_swarms_words(
    monkeypatch: pytest.MonkeyPatch, swarm: FakeSwarm, cluster: Cluster, limit: str
) -> None:
    monkeypatch.setattr(waiting, limit, 0.01)
    made = planned("name: x", services={"web": {"image": "no/such:1"}})
    swarm.images_missing.add("no/such:1")
    Swarm().join(cluster, made, quiet)
    pending = {
        "Name": f"harness-{RUN}_web.1",
        "DesiredState": "Running",
        "CurrentState": "Pending 3 seconds ago",
        "Error": "no suitable node",
    }
    swarm.dead = [pending]
    monkeypatch.setattr(waiting, "MAX_REPEATS", 10)
    with pytest.raises(EnvironmentBroken, match=r"web 0 of 1 \(no suitable node\)"):
        Swarm().apply(cluster, made, quiet)


def test_a_plain_container_that_ends_is_said_with_its_last_words(
    swarm: FakeSwarm, cluster: Cluster, made: Plan
) -> None:
    swarm.exits.add("probe")
    Swarm().join(cluster, made, quiet)
    with pytest.raises(EnvironmentBroken, match="probe: exited 3 no such file"):
        Swarm().apply(cluster, made, quiet)


def test_a_failed_step_carries_its_command_and_host(swarm: FakeSwarm, cluster: Cluster, made: Plan) -> None:
    swarm.networks.add(f"harness-{RUN}-app")
    Swarm().join(cluster, made, quiet)
    with pytest.raises(CommandFailed, match=r"(?s)on n1: `docker network create .*already exists") as caught:
        Swarm().apply(cluster, made, quiet)
    assert caught.value.code == 1
    assert not swarm.services


def test_a_step_that_only_looks_fails_in_its_own_words(made: Plan) -> None:
    look = Step("looks", "the parent of network lan", "n2", ("false",), 1.0, only_looks=True)
    host = FakeHost("n2", answers={("false",): Result(1, "", "has no interface eth7; it has eth0 \n")})
    with pytest.raises(EnvironmentBroken) as caught:
        swarm_steps.make(host, made, look)
    assert caught.value.message == "the parent of network lan: n2 has no interface eth7; it has eth0"


HELD = Result(1, "", "Error response from daemon: network dm-1 is already using parent interface eth0")


def test_a_network_waits_for_what_a_removed_one_still_holds(made: Plan) -> None:
    answers = iter([HELD, HELD, Result(0, "id", "")])
    host = FakeHost("n1", answers={("docker", "network", "create"): lambda _argv, _stdin: next(answers)})
    swarm_steps.make(host, made, Step("networks", "lan", "n1", ("docker", "network", "create", "lan"), 1.0))
    assert len(host.ran) == 3


def test_what_is_held_for_good_is_said_in_the_engines_words(monkeypatch: pytest.MonkeyPatch, made: Plan) -> None:
    monkeypatch.setattr(swarm_steps, "FREED_TIMEOUT_S", 0.01)
    host = FakeHost("n1", answers={("docker", "network", "create"): HELD})
    with pytest.raises(CommandFailed, match=r"(?s)on n1: .*already using parent interface eth0") as caught:
        swarm_steps.make(host, made, Step("networks", "lan", "n1", ("docker", "network", "create", "lan"), 1.0))
    assert len(host.ran) > 1
    assert "docker network ls" in str(caught.value.hint)


def test_a_plain_container_is_run_again_only_when_its_network_was_not_there_yet(
    swarm: FakeSwarm, cluster: Cluster, made: Plan
) -> None:
    swarm.attach_races = 2
    Swarm().join(cluster, made, quiet)
    Swarm().apply(cluster, made, quiet)
    runs = [call for host in swarm.hosts.values() for call in host.ran("docker", "run")]
    assert len(runs) == 4
    assert [c.name for c in Swarm().containers(cluster, made, "probe")] == ["probe"]


def test_a_name_conflict_is_not_retried(swarm: FakeSwarm, cluster: Cluster, made: Plan) -> None:
    Swarm().join(cluster, made, quiet)
    argv = ["docker", "run", "--name", f"harness-{RUN}-probe", "--label", "harness.service=probe"]
    swarm.hosts["n1"].run([*argv, "--label", "harness.run=other"], timeout_s=1)
    with pytest.raises(CommandFailed, match="already in use"):
        Swarm().apply(cluster, made, quiet)
    assert len(swarm.hosts["n1"].ran("docker", "run")) == 2


def test_a_subnet_that_holds_a_nodes_address_is_refused_before_anything_is_made(
    swarm: FakeSwarm, cluster: Cluster
) -> None:
    made = planned(EXAMPLE.replace("10.60.0.0/16", "192.0.2.0/24"))
    Swarm().join(cluster, made, quiet)
    with pytest.raises(UsageError, match=r"192\.0\.2\.1, the address of n1"):
        Swarm().apply(cluster, made, quiet)
    assert not swarm.networks


# --- looking


def test_a_container_has_its_addresses_and_its_own_names(running: FakeSwarm, cluster: Cluster, made: Plan) -> None:
    edge = next(c for c in Swarm().containers(cluster, made, "edge") if c.node == "n2")
    assert edge.networks["app"].ip.startswith("10.60.0.")
    assert edge.networks["app"].prefix == 16
    assert edge.aliases["app"][0] == edge.hostname == "edge-n2"
    assert edge.pid > 0
    bare = Swarm().containers(cluster, made, "bare")[0]
    assert (bare.host, bare.networks, bare.node) == (True, {}, "n2")


def test_names_of_engines_without_dnsnames(running: FakeSwarm, cluster: Cluster, made: Plan) -> None:
    box = next(box for box in running.hosts["n1"].boxes if box.labels["harness.service"] == "probe")
    for settings in box.networks.values():
        settings["DNSNames"] = None
        settings["Aliases"] = ["probe", "short"]
    probe = Swarm().containers(cluster, made, "probe")[0]
    assert probe.aliases["app"] == ("probe", f"harness-{RUN}-probe", "short")


def test_a_host_that_does_not_answer_contributes_no_container(
    running: FakeSwarm, cluster: Cluster, made: Plan
) -> None:
    running.hosts["n3"].silent = True
    assert {container.node for container in Swarm().containers(cluster, made)} == {"n1", "n2"}
    assert "node n3 is Down" in Swarm().state(cluster, made).complaints


def test_a_task_that_swarm_still_has_as_running_and_its_engine_has_not_is_missed(
    running: FakeSwarm, cluster: Cluster, made: Plan
) -> None:
    """Its node lost its power and is Ready again: nobody has told the manager yet."""
    box = next(box for box in running.hosts["n3"].boxes if box.labels["harness.service"] == "edge")
    box.running = False
    running.still_counted["edge"] = 3
    assert Swarm().state(cluster, made).complaints == ("service edge has 2 of 3 containers",)


def test_a_manager_that_does_not_answer_is_not_healthy(running: FakeSwarm, cluster: Cluster, made: Plan) -> None:
    running.manager.silent = True
    complaints = Swarm().state(cluster, made).complaints
    assert complaints == ("the manager does not answer: n1 did not answer", "container probe does not run")


def published(cluster: Cluster, made: Plan, service: str) -> list[PublishedAddress]:
    return [address for name, address in Swarm().look(cluster, made).published if name == service]


def test_host_ports_are_where_the_containers_are(running: FakeSwarm, cluster: Cluster, made: Plan) -> None:
    found = published(cluster, made, "edge")
    assert [(p.node, p.ip, p.port, p.target, p.mode) for p in found] == [
        (f"n{i}", f"192.0.2.{i}", 8000, 5000, "host") for i in (1, 2, 3)
    ]


def test_ingress_ports_are_on_every_node(swarm: FakeSwarm, cluster: Cluster) -> None:
    services = {"web": {"deploy": {"endpoint_mode": "vip"}, "ports": ["8080:80"]}}
    made = planned("name: x", services=services)
    Swarm().join(cluster, made, quiet)
    Swarm().apply(cluster, made, quiet)
    found = published(cluster, made, "web")
    assert [(p.node, p.port, p.target, p.mode) for p in found] == [
        (f"n{i}", 8080, 80, "ingress") for i in (1, 2, 3)
    ]


# --- changing


def perform(
    cluster: Cluster, made: Plan, act: Act, container: Container | None = None, *, timeout_s: float = 1
) -> None:
    Swarm().perform(cluster, made, act, container, timeout_s=timeout_s)


def test_an_update_that_swarm_gives_up_is_an_error(running: FakeSwarm, cluster: Cluster, made: Plan) -> None:
    running.update_ends = "paused"
    with pytest.raises(DeadlineExceeded, match="update web: Swarm says paused"):
        perform(cluster, made, Act("update", "web"))


def test_an_update_says_how_fast_and_in_which_order(running: FakeSwarm, cluster: Cluster, made: Plan) -> None:
    perform(cluster, made, Act("update", "web", parallelism=2, order="start-first"))
    [argv] = running.manager.ran("docker", "service", "update")
    assert argv[argv.index("--update-parallelism") + 1] == "2"
    assert argv[argv.index("--update-order") + 1] == "start-first"


def test_a_plain_container_cannot_be_updated(running: FakeSwarm, cluster: Cluster, made: Plan) -> None:
    with pytest.raises(UsageError, match="probe is a plain container"):
        perform(cluster, made, Act("update", "probe"))


def test_what_is_not_there_cannot_be_stopped(running: FakeSwarm, cluster: Cluster, made: Plan) -> None:
    with pytest.raises(UsageError, match="there is no such container"):
        perform(cluster, made, Act("stop", "probe", container="probe"))


def test_scale_returns_when_exactly_that_many_run(running: FakeSwarm, cluster: Cluster, made: Plan) -> None:
    perform(cluster, made, Act("scale", "web", replicas=5), timeout_s=5)
    assert [c.name for c in Swarm().containers(cluster, made, "web")] == [f"web.{i}" for i in range(1, 6)]
    perform(cluster, made, Act("scale", "web", replicas=1), timeout_s=5)
    assert [c.name for c in Swarm().containers(cluster, made, "web")] == ["web.1"]
    assert Swarm().state(cluster, made).complaints == ()


def test_scale_that_does_not_come_about_is_an_error(running: FakeSwarm, cluster: Cluster, made: Plan) -> None:
    running.images_missing.add("harness/workload:test")
    with pytest.raises(DeadlineExceeded, match="web: 3 instead of 4 containers"):
        perform(cluster, made, Act("scale", "web", replicas=4), timeout_s=0.01)


def test_only_a_replicated_service_can_be_scaled(running: FakeSwarm, cluster: Cluster, made: Plan) -> None:
    with pytest.raises(UsageError, match="edge is global"):
        perform(cluster, made, Act("scale", "edge", replicas=2), timeout_s=1)


def test_a_plain_container_stops_and_starts(running: FakeSwarm, cluster: Cluster, made: Plan) -> None:
    probe = Swarm().containers(cluster, made, "probe")[0]
    perform(cluster, made, Act("stop", "probe", container="probe"), probe)
    assert Swarm().containers(cluster, made, "probe") == []
    assert Swarm().state(cluster, made).complaints == ("container probe does not run",)
    running.attach_races = 1
    perform(cluster, made, Act("start", "probe", container="probe"), probe)
    assert Swarm().containers(cluster, made, "probe")[0].id == probe.id


# --- removing


def test_delete_waits_for_what_is_in_use_and_can_be_repeated(
    running: FakeSwarm, cluster: Cluster, made: Plan
) -> None:
    running.busy_removals = 3
    Swarm().delete(cluster, made)
    assert not running.networks
    assert not any(host.boxes for host in running.hosts.values())
    Swarm().delete(cluster, made)


def test_delete_tries_every_step_and_then_says_what_failed(
    running: FakeSwarm, cluster: Cluster, made: Plan
) -> None:
    running.hosts["n2"].silent = True
    with pytest.raises(DeadlineExceeded, match="n2 did not answer"):
        Swarm().delete(cluster, made)
    assert not running.networks


def test_delete_says_what_does_not_go(
    monkeypatch: pytest.MonkeyPatch, running: FakeSwarm, cluster: Cluster, made: Plan
) -> None:
    monkeypatch.setattr(swarm_steps, "GONE_TIMEOUT_S", 0.01)
    running.networks.add("zombie")
    with pytest.raises(DeadlineExceeded, match="n1: zombie"):
        Swarm().delete(cluster, made)
