"""What every Provider keeps to: it makes what the plan says, finds it by labels alone, and leaves nothing behind.

The real one makes a cluster on the harness's own engine and carries the mark `cluster`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from harness.features import FEATURES
from harness.model.errors import EnvironmentBroken, HarnessError, UsageError
from harness.model.inventory import Inventory
from harness.model.plan import NodePlan, Plan, cluster_key
from harness.ports import Cluster, Provider
from harness.providers import docker, engine, images, inspection, kind_image
from harness.providers.docker import DockerProvider
from harness.providers.existing import ExistingProvider
from harness.providers.kind import KindProvider
from harness.providers.kubeconfig import KubeconfigProvider
from harness.providers.own_engine import OwnEngine
from harness.session.planning import new_run
from tests.fake_api import World, access
from tests.fakes import FakeProvider
from tests.kind_program import FakeKind
from tests.planner_topologies import EXAMPLE, topology
from tests.providers_engine import FakeDocker
from tests.ssh_server import ssh_server, write_key

TWO_NODES = "name: small\ncluster: {nodes: {manager: 1, worker: 1}}\n"


@dataclass
class Case:
    """`make` gives a provider without a memory; `spoil` lets the next `up` fail; it gives `rights` at least."""

    make: Callable[[], Provider]
    spoil: Callable[[], None]
    rights: frozenset[str] = frozenset({"shell", "wire", "lifecycle"})


class _NoEngine(OwnEngine):
    """An own engine that is never there: nothing of this machine is touched."""

    @property
    def left(self) -> bool:
        return False

    def running(self) -> None:
        return None


def _fake(_folder: Path, _patch: pytest.MonkeyPatch) -> Case:
    provider = FakeProvider()
    failure = EnvironmentBroken("the second node did not start")
    return Case(lambda: FakeProvider(provider.made, provider.raises), lambda: provider.raises.update(up=failure))


def _over_a_fake_client(folder: Path, patch: pytest.MonkeyPatch) -> Case:
    fake = FakeDocker(folder)
    fake.change(images={images.tag("node"): "sha256:1", images.tag("workload"): "sha256:" + "2" * 64})
    patch.setattr(engine, "system_engine", fake.engine)
    patch.setattr(images, "cache_dir", lambda: folder / "cache")
    patch.setenv("HARNESS_ENGINE", "system")
    patch.setenv("HARNESS_STATE", "nowhere")
    own = _NoEngine(lambda _progress: folder)
    return Case(lambda: DockerProvider(own), lambda: fake.fail("-n2", "no space left on device", code=125))


def _kind_over_fake_programs(folder: Path, patch: pytest.MonkeyPatch) -> Case:
    fake, kind = FakeDocker(folder), FakeKind(folder)
    fake.change(images={name: f"sha256:{i}" for i, name in enumerate((images.tag("node"), kind_image.tag()))})
    patch.setattr(engine, "system_engine", fake.engine)
    patch.setattr(kind_image, "kind_program", lambda _progress: str(kind.program))
    patch.setenv("HARNESS_ENGINE", "system")
    patch.setenv("HARNESS_STATE", "nowhere")
    own = _NoEngine(lambda _progress: folder)
    return Case(lambda: KindProvider(own), kind.fail)


def _hosts_by_ssh(folder: Path, patch: pytest.MonkeyPatch) -> Case:
    """Two servers of SSH on this machine, each with a docker client over a file of its own. What is looked at
    before they are used needs hosts that are not the same one: tests/cluster/test_existing.py.
    """
    patch.setattr(inspection, "inspect", lambda *_arguments: [])
    write_key(folder).rename(folder / "key")
    (folder / "known_hosts").touch()
    fakes = [FakeDocker(folder / name) for name in ("alpha", "beta")]
    listed = []
    for number, fake in enumerate(fakes, 1):
        path = f"{fake.program.parent}:{os.environ['PATH']}"
        server = SERVERS.enter_context(ssh_server({"PATH": path}))
        listed.append({"address": "127.0.0.1", "port": server.port, "wire": f"10.0.0.{number}"})
    whole = {"host_keys": "accept-new", "known_hosts": "known_hosts", "defaults": {"key": "key"}, "hosts": listed}
    inventory = Inventory.model_validate({**whole, "folder": str(folder)})
    return Case(
        lambda: ExistingProvider(inventory),
        lambda: fakes[1].fail("volume create", "no space left on device", code=1),
        frozenset({"shell", "networks"}),
    )


def _kubeconfig(_folder: Path, _patch: pytest.MonkeyPatch) -> Case:
    world = World()

    def spoil() -> None:
        world.fails = ("apply", '"DaemonSet"')

    return Case(lambda: KubeconfigProvider(access(world)), spoil, frozenset())


def _real(_folder: Path, patch: pytest.MonkeyPatch) -> Case:
    patch.setenv("HARNESS_ENGINE", "own")
    patch.setenv("HARNESS_STATE", "contract")

    def spoil() -> None:
        def refuse(*_arguments: object) -> None:
            raise EnvironmentBroken("the engine of n2 did not start")

        patch.setattr(docker, "_await_engine", refuse)

    return Case(DockerProvider, spoil)


CASES = {
    "fake": _fake,
    "docker-fake-client": _over_a_fake_client,
    "kind-fake-programs": _kind_over_fake_programs,
    "existing-by-ssh": _hosts_by_ssh,
    "kubeconfig": _kubeconfig,
    "docker": _real,
}


@pytest.fixture(
    params=[pytest.param(name, marks=[pytest.mark.cluster] if name == "docker" else []) for name in CASES]
)
def case(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Case]:
    made = CASES[request.param](tmp_path, monkeypatch)
    yield made
    for run in RUNS:
        made.make().down(run)  # what this module made, and nothing else that is there
    RUNS.clear()
    made.make().tidy()
    SERVERS.close()


@pytest.fixture
def plan() -> Plan:
    return Plan(
        run=own_run(),
        topology=topology(TWO_NODES),
        provider="docker",
        orchestrator="swarm",
        seed=1,
        nodes=(NodePlan("n1", "manager"), NodePlan("n2", "worker")),
    )


#: Runs that the current test made, and servers that its case did.
RUNS: list[str] = []
SERVERS = ExitStack()


def quiet(_line: str) -> None:
    pass


def own_run() -> str:
    RUNS.append(new_run())
    return RUNS[-1]


def up(case: Case, plan: Plan) -> Cluster:
    return case.make().up(plan, quiet)


def test_up_makes_the_nodes_of_the_plan_and_says_what_it_does(case: Case, plan: Plan) -> None:
    lines: list[str] = []
    cluster = case.make().up(plan, lines.append)
    assert (cluster.name, cluster.run, list(cluster.hosts)) == (plan.cluster, plan.run, ["n1", "n2"])
    assert {name: host.name for name, host in cluster.hosts.items()} == {"n1": "n1", "n2": "n2"}
    assert len({host.address for host in cluster.hosts.values()}) == 2
    assert case.rights <= cluster.rights
    assert lines


def test_the_cluster_is_found_by_its_name_and_by_its_run_from_labels_alone(case: Case, plan: Plan) -> None:
    cluster = up(case, plan)
    for name in (plan.cluster, plan.run):
        found = case.make().find(name)
        assert (found.name, list(found.hosts)) == (cluster.name, list(cluster.hosts))
        assert [h.address for h in found.hosts.values()] == [h.address for h in cluster.hosts.values()]


def test_the_list_tells_run_nodes_topology_and_shape(case: Case, plan: Plan) -> None:
    up(case, plan)
    [info] = case.make().clusters()
    assert (info.name, info.run, info.nodes, info.topology) == (plan.cluster, plan.run, 2, "small")
    assert info.key == cluster_key(plan.topology)
    assert info.since.endswith("Z")


def test_a_name_that_is_not_there_is_a_usage_error_that_names_those_that_are(case: Case, plan: Plan) -> None:
    with pytest.raises(UsageError, match="no cluster 'nobody'") as alone:
        case.make().find("nobody")
    up(case, plan)
    with pytest.raises(UsageError) as beside:
        case.make().find("nobody")
    assert "none" in str(alone.value.hint)
    assert plan.cluster in str(beside.value.hint)


def test_logs_stand_in_a_folder_for_each_node(case: Case, plan: Plan, tmp_path: Path) -> None:
    up(case, plan)
    case.make().logs(plan.cluster, tmp_path / "logs")
    for node in ("n1", "n2"):
        assert any(file.stat().st_size for file in (tmp_path / "logs" / node).iterdir())


def test_logs_of_nothing_are_nothing(case: Case, tmp_path: Path) -> None:
    case.make().logs("nobody", tmp_path / "logs")
    assert not (tmp_path / "logs").exists()


def test_down_says_what_it_removed_and_a_second_time_nothing(case: Case, plan: Plan) -> None:
    up(case, plan)
    assert case.make().down(plan.cluster)
    assert case.make().clusters() == []
    assert case.make().down(plan.cluster) == []
    assert case.make().down(plan.run) == []


def test_what_fails_to_come_up_is_gone_again(case: Case, plan: Plan) -> None:
    case.spoil()
    with pytest.raises(HarnessError):
        up(case, plan)
    assert case.make().clusters() == []


def test_two_clusters_do_not_meet(case: Case, plan: Plan) -> None:
    other = replace(plan, run=own_run())
    up(case, plan)
    up(case, other)
    case.make().down(plan.run)
    assert [info.run for info in case.make().clusters()] == [other.run]


def test_tidy_removes_no_cluster(case: Case, plan: Plan) -> None:
    up(case, plan)
    case.make().tidy()
    assert [info.run for info in case.make().clusters()] == [plan.run]


def test_demands_are_features_that_can_be_probed(case: Case) -> None:
    assert {demand.feature for demand in case.make().demands(topology(EXAMPLE))} <= set(FEATURES)
