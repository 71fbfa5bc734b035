"""Provider docker over a fake client: what is asked of an engine, which one, and what goes wrong there."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path

import pytest

from harness.model.errors import CommandFailed, DeadlineExceeded, EnvironmentBroken, UsageError
from harness.model.places import SHARED_DIR
from harness.model.plan import NodePlan, Plan
from harness.providers import docker, engine, images, labels, rights, wire
from harness.providers.docker import DockerProvider
from harness.providers.engine import Engine, docker_errors
from harness.providers.own_engine import OwnEngine
from harness.providers.releases import release_of
from tests.planner_topologies import topology
from tests.providers_engine import FakeDocker, script

TEXT = "name: small\ncluster: {nodes: {manager: 1, worker: 1}}\n"
N2 = "harness-r1-n2"


class NoEngine(OwnEngine):
    """An own engine that is never there: nothing of this machine is touched."""

    @property
    def left(self) -> bool:
        return False

    def running(self) -> None:
        return None


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeDocker:
    """The engine that answers on this machine."""
    fake = FakeDocker(tmp_path)
    fake.change(images={images.tag("node"): "sha256:1", images.tag("workload"): "sha256:" + "2" * 64})
    monkeypatch.setattr(engine, "system_engine", fake.engine)
    monkeypatch.setattr(images, "cache_dir", lambda: tmp_path / "the cache")
    monkeypatch.setenv("HARNESS_ENGINE", "system")
    monkeypatch.setenv("HARNESS_STATE", "nowhere")
    return fake


@pytest.fixture
def provider(tmp_path: Path) -> DockerProvider:
    return DockerProvider(NoEngine(lambda _progress: tmp_path))


def make_plan(run: str = "r1", text: str = TEXT, **changes: object) -> Plan:
    nodes = (NodePlan("n1", "manager"), NodePlan("n2", "worker"))
    return Plan(run, topology(text), "docker", "swarm", 1, nodes, **changes)  # type: ignore[arg-type]


def quiet(_line: str) -> None:
    pass


# --- making


def test_a_node_is_what_the_facts_ask_for(fake: FakeDocker, provider: DockerProvider) -> None:
    cluster = provider.up(make_plan(), quiet)
    node = fake.state["containers"][N2]
    options = node["options"]
    assert "--privileged" in options
    assert (options["--hostname"], options["--pull"], options["--cgroupns"]) == (["n2"], ["never"], ["private"])
    targets = [dict(p.split("=", 1) for p in mount.split(","))["target"] for mount in options["--mount"]]
    assert sorted(targets) == sorted(["/var/lib/docker", SHARED_DIR])
    assert f"n1:{cluster.hosts['n1'].address}" in options["--add-host"]
    assert node["labels"]["harness.run"] == "r1"
    assert node["labels"]["harness.address"] == cluster.hosts["n2"].address == options["--ip"][0]
    assert node["command"][-1].endswith("/entrypoint.sh")


@pytest.mark.parametrize(("own", "registry"), [(True, "no"), (False, "yes")])
def test_only_our_own_engine_has_certainly_no_registry(
    fake: FakeDocker, provider: DockerProvider, monkeypatch: pytest.MonkeyPatch, own: bool, registry: str
) -> None:
    monkeypatch.setattr(engine, "system_engine", lambda: fake.engine(own=own))
    provider.up(make_plan(), quiet)
    assert f"HARNESS_REGISTRY={registry}" in fake.state["containers"][N2]["options"]["--env"]


def test_the_helper_on_the_wire_sees_the_engines_network_and_processes(
    fake: FakeDocker, provider: DockerProvider
) -> None:
    cluster = provider.up(make_plan(), quiet)
    helper = fake.state["containers"]["harness-r1-wire"]["options"]
    assert (helper["--network"], helper["--pid"], helper["--cgroupns"]) == (["host"], ["host"], ["host"])
    assert cluster.wire
    number = fake.state["containers"][N2]["iflink"]
    assert cluster.wire.port("n2") == f"veth{number}"


def with_engine(version: str) -> Plan:
    return make_plan(text=f"name: small\ncluster: {{nodes: {{manager: 1, worker: 1}}, engine: '{version}'}}\n")


def test_nodes_have_the_engine_that_is_asked_for_and_the_wire_is_worked_as_ever(
    fake: FakeDocker, provider: DockerProvider
) -> None:
    old = release_of("20.10")
    assert old is not None
    name = images.tag("node", old)
    fake.change(images={**fake.state["images"], name: "sha256:3"}, inner="20.10.24+dfsg1")
    provider.up(with_engine("20.10"), quiet)
    made = {name: each["image"] for name, each in fake.state["containers"].items()}
    assert made == {"harness-r1-n1": name, N2: name, "harness-r1-wire": images.tag("node")}


def test_a_suite_that_has_another_engine_by_now_is_told_and_nothing_stays(
    fake: FakeDocker, provider: DockerProvider
) -> None:
    new = release_of("28.5")
    assert new is not None
    fake.change(images={**fake.state["images"], images.tag("node", new): "sha256:3"}, inner="29.1.0")
    with pytest.raises(
        EnvironmentBroken, match=r"nodes of Debian forky have engine 29\.1\.0, not 28\.5"
    ) as caught:
        provider.up(with_engine("28.5"), quiet)
    assert "forky has gone on" in (caught.value.hint or "")
    assert fake.state["containers"] == {}


def test_everything_that_is_made_carries_the_run(fake: FakeDocker, provider: DockerProvider) -> None:
    provider.up(make_plan(), quiet)
    for kind in ("containers", "networks", "volumes"):
        things = fake.state[kind].values()
        assert things
        assert {thing["labels"]["harness.run"] for thing in things} == {"r1"}


def test_the_wire_avoids_subnets_of_the_topology_of_others_and_of_the_race(
    fake: FakeDocker, provider: DockerProvider
) -> None:
    first = ipaddress.ip_network(_subnet_of(fake, provider, make_plan()))
    provider.down("r1")
    network = f"networks: {{app: {{driver: overlay, ipam: {{config: [{{subnet: {first}}}]}}}}}}\n"
    second = ipaddress.ip_network(_subnet_of(fake, provider, make_plan(text=TEXT + network)))
    provider.down("r1")
    fake.change(taken=[str(first)])
    third = ipaddress.ip_network(_subnet_of(fake, provider, make_plan()))
    assert first not in (second, third)
    assert all(net.subnet_of(wire.BLOCK) for net in (first, second, third))  # type: ignore[arg-type]


def _subnet_of(fake: FakeDocker, provider: DockerProvider, plan: Plan) -> str:
    provider.up(plan, quiet)
    return str(fake.state["networks"][plan.cluster]["Subnet"])


def test_where_no_subnet_is_free_that_is_said(fake: FakeDocker, provider: DockerProvider) -> None:
    fake.change(taken=[str(net) for net in wire.BLOCK.subnets(new_prefix=24)])
    with pytest.raises(EnvironmentBroken, match=r"no subnet of 10\.213\.0\.0/16 is free"):
        provider.up(make_plan(), quiet)


def test_an_engine_that_refuses_privileged_gets_the_rights_by_name(
    fake: FakeDocker, provider: DockerProvider
) -> None:
    fake.fail(
        "--name harness-r1-n1",
        "OCI runtime create failed: unable to apply caps: operation not permitted",
        late=True,
    )
    provider.up(make_plan(), quiet)
    for name in ("harness-r1-n1", N2):
        options = fake.state["containers"][name]["options"]
        assert "--privileged" not in options
        assert options["--cap-add"] == ["ALL"]
        assert "seccomp=unconfined" in options["--security-opt"]


def test_another_refusal_is_told_with_the_command_and_nothing_is_left(
    fake: FakeDocker, provider: DockerProvider
) -> None:
    lines: list[str] = []
    fake.fail("--name harness-r1-n2", "no space left on device", code=125)
    with pytest.raises(CommandFailed, match="no space left on device") as failed:
        provider.up(make_plan(), lines.append)
    assert "starting node n2" in failed.value.message
    assert failed.value.code == 125
    assert "harness-r1 did not come up: removing what was made" in lines
    assert fake.state["containers"] == fake.state["networks"] == fake.state["volumes"] == {}


def test_a_clean_up_that_fails_does_not_hide_why(fake: FakeDocker, provider: DockerProvider) -> None:
    fake.fail("--name harness-r1-n2", "no space left on device", code=125)
    fake.fail("container rm", "the engine hangs")
    with pytest.raises(CommandFailed, match="no space left on device"):
        provider.up(make_plan(), quiet)


def test_a_node_that_would_copy_every_layer_is_refused(fake: FakeDocker, provider: DockerProvider) -> None:
    fake.change(driver="vfs")
    with pytest.raises(EnvironmentBroken, match="storage driver vfs, not overlay2"):
        provider.up(make_plan(), quiet)


def test_a_node_whose_engine_does_not_start_is_told_with_its_log(
    fake: FakeDocker, provider: DockerProvider
) -> None:
    fake.fail("docker info", "Error response from daemon: container x is not running", times=9)
    with pytest.raises(EnvironmentBroken, match=r"the engine of n\d did not start:\nlog of harness-r1-n"):
        provider.up(make_plan(), quiet)


def test_the_workload_image_is_saved_once_and_loaded_everywhere(
    fake: FakeDocker, provider: DockerProvider
) -> None:
    plan = make_plan(images=(images.tag("workload"), "nginx:1", "elsewhere:2"))
    fake.change(images={**fake.state["images"], "nginx:1": "sha256:3"})
    provider.supply(provider.up(plan, quiet), plan, quiet)
    for node in ("harness-r1-n1", N2):
        loaded = fake.state["containers"][node]["loaded"]
        assert loaded == [f"image {images.tag('workload')}", "image nginx:1"]
    assert len(fake.calls("image", "save")) == 1


# --- which engine


def test_the_choice_of_engine(monkeypatch: pytest.MonkeyPatch, fake: FakeDocker) -> None:
    theirs, ours = fake.engine(own=False), fake.engine(own=True)
    monkeypatch.setattr(engine, "system_engine", lambda: theirs)
    assert engine.choose(lambda: ours) is theirs
    monkeypatch.setattr(engine, "system_engine", lambda: None)
    with pytest.raises(EnvironmentBroken, match="no Docker engine answers") as refused:
        engine.choose(lambda: ours)
    assert "HARNESS_ENGINE=own" in str(refused.value.hint)
    monkeypatch.setenv("HARNESS_ENGINE", "auto")
    assert engine.choose(lambda: ours) is ours
    monkeypatch.setenv("HARNESS_ENGINE", "mine")
    with pytest.raises(UsageError, match="auto, own or system, not 'mine'"):
        engine.choose(lambda: ours)


def test_the_engine_of_this_machine_is_the_one_that_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeDocker(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("HARNESS_ENGINE", "auto")
    monkeypatch.setenv("DOCKER_HOST", "tcp://192.0.2.1:2375")
    found = engine.system_engine()
    assert found == Engine("tcp://192.0.2.1:2375", (str(fake.program),), own=False, version="26.1.5")
    fake.fail("version", "Cannot connect to the Docker daemon")
    assert engine.system_engine() is None
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    assert engine.system_engine() is None
    monkeypatch.setenv("DOCKER_HOST", "tcp://192.0.2.1:2375")
    monkeypatch.setenv("HARNESS_ENGINE", "own")
    assert engine.system_engine() is None


def test_an_engine_that_hangs_is_none_and_a_call_to_it_ends(tmp_path: Path) -> None:
    hanging = Engine("unix:///nowhere", (str(script(tmp_path / "docker", "exec sleep 60")),), own=True)
    assert hanging.ask_version(0.1) is None
    with (
        pytest.raises(DeadlineExceeded, match="listing: the engine did not answer in time"),
        docker_errors("listing"),
    ):
        hanging.client(0.1).network.list()


# --- nodes


def test_a_command_on_a_node_has_its_deadline_inside_the_container(
    fake: FakeDocker, provider: DockerProvider
) -> None:
    host = provider.up(make_plan(), quiet).hosts["n2"]
    assert host.run(["sh", "-c", "echo"], timeout_s=2.5).stdout == "echo\n"
    assert fake.calls("exec")[-1] == ["exec", "-i", N2, "timeout", "-k", "2", "2.5", "sh", "-c", "echo"]


def test_the_lifecycle_of_a_node(fake: FakeDocker, provider: DockerProvider) -> None:
    lifecycle = provider.up(make_plan(), quiet).lifecycle
    assert lifecycle
    assert lifecycle.state("n2", timeout_s=5) == "running"
    for _ in range(2):
        lifecycle.freeze("n2", timeout_s=5)
    assert [lifecycle.state(node, timeout_s=5) for node in ("n1", "n2")] == ["running", "frozen"]
    for _ in range(2):
        lifecycle.thaw("n2", timeout_s=5)
    assert lifecycle.state("n2", timeout_s=5) == "running"
    for _ in range(2):
        lifecycle.kill("n2", timeout_s=5)
    assert lifecycle.state("n2", timeout_s=5) == "off"
    lifecycle.start("n2", timeout_s=5)
    assert lifecycle.state("n2", timeout_s=5) == "running"


def test_a_node_of_which_something_runs_on_is_not_frozen(fake: FakeDocker, provider: DockerProvider) -> None:
    lifecycle = provider.up(make_plan(), quiet).lifecycle
    fake.change(stubborn=2)
    assert lifecycle
    with pytest.raises(EnvironmentBroken, match="2 processes of n2 could not be stopped"):
        lifecycle.freeze("n2", timeout_s=5)


@pytest.mark.parametrize(("others", "state"), [(0, "frozen"), (2, "frozen"), (4, "running")])
def test_a_command_that_came_to_a_frozen_node_does_not_thaw_it(
    fake: FakeDocker, provider: DockerProvider, others: int, state: str
) -> None:
    """`others` of 5 processes run."""
    lifecycle = provider.up(make_plan(), quiet).lifecycle
    assert lifecycle
    lifecycle.freeze("n2", timeout_s=5)
    fake.change(stubborn=others)
    assert lifecycle.state("n2", timeout_s=5) == state


def test_a_kill_that_the_engine_refuses_is_told(fake: FakeDocker, provider: DockerProvider) -> None:
    lifecycle = provider.up(make_plan(), quiet).lifecycle
    fake.fail(f"kill {N2}", "permission denied")
    assert lifecycle
    with pytest.raises(CommandFailed, match="permission denied"):
        lifecycle.kill("n2", timeout_s=5)


def test_a_shell_has_the_callers_terminal(fake: FakeDocker, provider: DockerProvider) -> None:
    host = provider.up(make_plan(), quiet).hosts["n2"]
    assert host.terminal(["bash"])[-4:] == ["exec", "-it", N2, "bash"]  # type: ignore[attr-defined]


# --- labels


def test_nodes_are_in_their_order_also_beyond_nine(fake: FakeDocker) -> None:
    fake.change(containers={f"harness-r-n{i}": _labelled(f"harness-r-n{i}", "r", "node") for i in (10, 2, 1, 9)})
    assert [found.node for found in labels.nodes_of(fake.engine(), "r")] == ["n1", "n2", "n9", "n10"]


def test_of_a_run_that_was_killed_early_the_network_is_enough(fake: FakeDocker, provider: DockerProvider) -> None:
    fake.change(networks={"harness-r9": {"Name": "harness-r9", "labels": {"harness.run": "r9"}, "Subnet": "x"}})
    [info] = provider.clusters()
    assert (info.name, info.nodes, info.since) == ("harness-r9", 0, "")
    assert provider.down("r9") == ["network harness-r9"]
    assert provider.clusters() == []


def test_times_are_told_in_utc(fake: FakeDocker, provider: DockerProvider) -> None:
    provider.up(make_plan(), quiet)
    assert [info.since for info in provider.clusters()] == ["2026-11-24T22:43:01Z"]


def test_down_takes_tables_of_faults_that_were_never_healed(fake: FakeDocker, provider: DockerProvider) -> None:
    provider.up(make_plan(), quiet)
    fake.change(tables=["harness-r1", "harness-r2", "theirs"])
    assert "nft table bridge harness-r1" in provider.down("r1")
    assert fake.state["tables"] == ["harness-r2", "theirs"]


def test_a_cluster_that_another_process_removes_at_the_same_time_is_removed(
    fake: FakeDocker, provider: DockerProvider
) -> None:
    provider.up(make_plan(), quiet)
    fake.fail("container rm", "No such container: harness-r1-n1", loses="harness-r1")
    assert provider.down("r1")
    provider.up(make_plan(), quiet)
    fake.fail("volume rm", "get harness-r1-n1: no such volume", loses="harness-r1")
    assert provider.down("r1")
    assert provider.clusters() == []


@pytest.mark.parametrize("verb", ["container rm", "volume rm", "network rm"])
def test_what_cannot_be_removed_is_told(fake: FakeDocker, provider: DockerProvider, verb: str) -> None:
    provider.up(make_plan(), quiet)
    fake.fail(verb, "it is in use")
    with pytest.raises(CommandFailed, match="it is in use"):
        provider.down("r1")
    assert provider.down("r1")


def test_logs_that_cannot_be_had_say_so_in_the_file(
    fake: FakeDocker, provider: DockerProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(*_arguments: object, **_options: object) -> None:
        raise DeadlineExceeded("docker logs did not end")

    monkeypatch.setattr(docker, "run_process", late)
    fake.change(containers={N2: _labelled(N2, "r1", "node")})
    provider.logs("r1", tmp_path / "logs")
    assert (tmp_path / "logs" / "n2" / "engine.log").read_text() == "could not be had: docker logs did not end\n"


def _labelled(name: str, run: str, role: str) -> dict[str, object]:
    made = "2026-11-24 23:43:01 +0100 CET"
    return {
        "Names": name, "State": "running", "CreatedAt": made, "labels": {"harness.run": run, "harness.role": role},
    }  # fmt: skip


# --- rights


def test_capabilities_that_the_machine_lacks_are_named_by_number() -> None:
    everything = (1 << len(rights.CAPABILITIES)) - 1
    lacking = everything & ~(1 << 24) & ~(1 << 0)
    assert rights.lacking_capabilities(f"Name:\tx\nCapBnd:\t{everything:016x}\nSeccomp:\t0\n") == []
    assert rights.lacking_capabilities(f"CapBnd:\t{lacking:016x}\n") == ["CHOWN", "SYS_RESOURCE"]


def test_capabilities_stand_at_their_numbers() -> None:
    """capabilities(7); linux/capability.h."""
    numbers = {
        "CHOWN": 0,
        "NET_ADMIN": 12,
        "SYS_ADMIN": 21,
        "SYS_RESOURCE": 24,
        "SYSLOG": 34,
        "CHECKPOINT_RESTORE": 40,
    }
    assert {name: rights.CAPABILITIES.index(name) for name in numbers} == numbers


def test_rights_by_name_drop_what_this_machine_lacks() -> None:
    asked = rights.explicit_rights()
    assert asked["cap_add"] == ["ALL"]
    assert set(asked["cap_drop"]) <= set(rights.CAPABILITIES)
