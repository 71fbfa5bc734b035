"""What every Orchestrator keeps to: Swarm and Kubernetes over fake hosts, and the fake of the runner's tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from harness.features import FEATURES
from harness.model.errors import UsageError
from harness.model.plan import Plan
from harness.model.topology import Topology
from harness.orchestrators.kubernetes import Kubernetes
from harness.orchestrators.swarm import Swarm
from harness.ports import Act, Cluster, Container, Orchestrator
from tests import runner_fakes
from tests.fake_kubernetes import FakeKubernetes, ForeignKubernetes
from tests.fake_swarm import FakeSwarm
from tests.planner_topologies import FOREIGN, RUN, planned, planned_on_kubernetes


@dataclass
class Case:
    """`deployed` says whether containers run; one that adopts a running cluster starts with them."""

    orchestrator: Orchestrator
    cluster: Cluster
    plan: Plan


def _swarm() -> Case:
    return Case(Swarm(), FakeSwarm().cluster(RUN), planned())


def _fake() -> Case:
    return Case(runner_fakes.FakeOrchestrator(), runner_fakes.make_cluster(), runner_fakes.make_plan())


def _kubernetes() -> Case:
    return Case(Kubernetes(), FakeKubernetes().cluster(RUN), planned_on_kubernetes())


def _foreign() -> Case:
    plan = planned_on_kubernetes(cluster=FOREIGN)
    return Case(Kubernetes(), ForeignKubernetes(plan.topology.cluster.kubectl).cluster(RUN), plan)


CASES: dict[str, Callable[[], Case]] = {
    "swarm": _swarm,
    "kubernetes": _kubernetes,
    "foreign": _foreign,
    "fake": _fake,
}
#: Kinds of act that an orchestrator does not have, and says so.
LACKING = {"kubernetes": {"rename"}, "foreign": {"rename"}}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    made = CASES[request.param]()
    made.orchestrator.join(made.cluster, made.plan, quiet)
    made.orchestrator.apply(made.cluster, made.plan, quiet)
    return made


def quiet(_line: str) -> None:
    pass


def containers(case: Case, service: str | None = None) -> list[Container]:
    return case.orchestrator.containers(case.cluster, case.plan, service)


def perform(case: Case, act: Act, container: Container | None = None) -> None:
    case.orchestrator.perform(case.cluster, case.plan, act, container, timeout_s=30)


def scaled(case: Case, replicas: int) -> list[str]:
    perform(case, Act("scale", "web", replicas=replicas))
    return sorted(container.name for container in containers(case, "web"))


def test_it_has_a_name_and_demands_features_that_can_be_probed(case: Case) -> None:
    topology = Topology.model_validate({"name": "x", "services": {"a": {"deploy": {"endpoint_mode": "vip"}}}})
    assert case.orchestrator.name
    assert {demand.feature for demand in case.orchestrator.demands(topology)} <= set(FEATURES)


def test_after_apply_exactly_the_containers_of_the_plan_run(case: Case) -> None:
    found = containers(case)
    counts = {target.service: target.containers for target in case.plan.targets}
    assert {name: sum(c.service == name for c in found) for name in counts} == counts
    assert len(found) == sum(counts.values())
    assert case.orchestrator.state(case.cluster, case.plan).complaints == ()


def test_names_are_distinct_and_say_service_and_place(case: Case) -> None:
    found = containers(case)
    assert len({container.name for container in found}) == len(found)
    for container in found:
        assert container.node in case.cluster.hosts
        kind = case.plan.target(container.service).kind
        suffix = {"plain": "", "global": f".{container.node}"}.get(kind, container.name[len(container.service) :])
        assert container.name == container.service + suffix


def test_each_container_is_on_the_networks_of_its_service_with_an_address(case: Case) -> None:
    for container in containers(case):
        target = case.plan.target(container.service)
        assert set(container.networks) == set(target.networks)
        assert container.host == target.host
        assert all(address.ip for address in container.networks.values())
        assert container.pid > 0


def test_one_service_is_asked_for_alone(case: Case) -> None:
    assert {container.service for container in containers(case, "edge")} == {"edge"}
    assert containers(case, "nobody") == []


def test_published_ports_are_told_for_every_node_of_the_service(case: Case) -> None:
    sight = case.orchestrator.look(case.cluster, case.plan)
    assert {service for service, _ in sight.published} == {"edge"}
    found = [address for _, address in sight.published]
    assert {address.node for address in found} == set(case.cluster.hosts)
    assert {(a.port, a.target, a.protocol, a.mode) for a in found} == {(8000, 5000, "tcp", "host")}


def test_what_it_sees_at_once_is_what_it_sees_one_by_one(case: Case) -> None:
    sight = case.orchestrator.look(case.cluster, case.plan)
    assert {container.id for container in sight.containers} == {container.id for container in containers(case)}
    running = Counter(container.service for container in sight.containers)
    assert case.orchestrator.state(case.cluster, case.plan).running == running


def test_scaling_up_and_down_ends_with_that_many(case: Case) -> None:
    for replicas in (5, 1, 3):
        assert len(set(scaled(case, replicas))) == replicas


def test_a_plain_container_stops_and_comes_back_under_its_name(case: Case) -> None:
    [probe] = containers(case, "probe")
    perform(case, Act("stop", "probe", container="probe"), probe)
    assert containers(case, "probe") == []
    perform(case, Act("start", "probe", container="probe"), probe)
    [again] = containers(case, "probe")
    assert (again.name, again.node) == (probe.name, probe.node)


def test_a_renamed_container_stays_what_it_is(case: Case) -> None:
    [probe] = containers(case, "probe")
    if "rename" in LACKING.get(case.orchestrator.name, ()):
        with pytest.raises(UsageError, match="renames nothing"):
            perform(case, Act("rename", "probe", container="probe", name="other"), probe)
        return
    for name in ("other", ""):
        perform(case, Act("rename", "probe", container="probe", name=name), probe)
        [again] = containers(case, "probe")
        assert (again.name, again.node, again.id) == (probe.name, probe.node, probe.id)
    assert case.orchestrator.state(case.cluster, case.plan).complaints == ()


def test_an_update_replaces_every_container_of_a_service(case: Case) -> None:
    before = {container.id for container in containers(case, "web")}
    perform(case, Act("update", "web"))
    after = {container.id for container in containers(case, "web")}
    assert len(after) == len(before)
    assert not after & before


def test_joining_again_adopts_what_is_there(case: Case) -> None:
    case.orchestrator.join(case.cluster, case.plan, quiet)
    assert case.orchestrator.state(case.cluster, case.plan).complaints == ()


def test_delete_removes_what_apply_made_and_a_second_time_nothing(case: Case) -> None:
    case.orchestrator.delete(case.cluster, case.plan)
    assert containers(case) == []
    case.orchestrator.delete(case.cluster, case.plan)
    case.orchestrator.apply(case.cluster, case.plan, quiet)
    assert case.orchestrator.state(case.cluster, case.plan).complaints == ()
    assert len(containers(case)) == sum(target.containers for target in case.plan.targets)
