"""Kubernetes over fake hosts: what is seen, changed and waited for, and what is said when it goes wrong."""

from __future__ import annotations

import pytest

from harness.model.errors import DeadlineExceeded, EnvironmentBroken, UsageError
from harness.model.plan import Plan
from harness.orchestrators.kubernetes import Kubernetes, waiting
from harness.ports import Act, Cluster
from tests.fake_kubernetes import FakeKubernetes, ForeignKubernetes
from tests.planner_topologies import FOREIGN, RUN, planned_on_kubernetes

PLAN = planned_on_kubernetes()


@pytest.fixture
def fake() -> FakeKubernetes:
    return FakeKubernetes()


def deployed(fake: FakeKubernetes) -> Cluster:
    cluster = fake.cluster(RUN)
    Kubernetes().join(cluster, PLAN, quiet)
    Kubernetes().apply(cluster, PLAN, quiet)
    return cluster


def quiet(_line: str) -> None:
    pass


def test_an_address_is_the_pods_on_its_networks_and_none_in_the_nodes_network(
    fake: FakeKubernetes,
) -> None:
    by_name = {found.name: found for found in Kubernetes().containers(deployed(fake), PLAN)}
    assert by_name["web.1"].networks["app"].ip.startswith("10.244.0.")
    assert by_name["bare"].host
    assert by_name["bare"].networks == {}


def test_nodes_that_do_not_answer_contribute_nothing(fake: FakeKubernetes) -> None:
    cluster = deployed(fake)
    fake.hosts["n3"].silent = True
    assert {found.node for found in Kubernetes().containers(cluster, PLAN)} == {"n1", "n2"}
    fake.hosts["n1"].silent = True
    assert Kubernetes().containers(cluster, PLAN) == []
    [complaint] = Kubernetes().state(cluster, PLAN).complaints
    assert "the control plane does not answer" in complaint


def test_a_pod_on_its_way_out_is_not_there(fake: FakeKubernetes) -> None:
    cluster = deployed(fake)
    fake.pods["probe"]["metadata"]["deletionTimestamp"] = "2026-01-01T00:01:00Z"
    assert Kubernetes().containers(cluster, PLAN, "probe") == []


def test_a_node_that_is_not_ready_is_a_complaint(fake: FakeKubernetes) -> None:
    cluster = deployed(fake)
    fake.not_ready = {"n2"}
    assert Kubernetes().state(cluster, PLAN).complaints == ("node n2 is not Ready",)


def test_what_the_api_calls_ready_and_no_node_runs_is_a_complaint(fake: FakeKubernetes) -> None:
    """The API hears of a node that restarts after many seconds only."""
    cluster = deployed(fake)
    [struck] = [pod for pod in fake.pods.values() if pod["owner"] == "edge" and pod["spec"]["nodeName"] == "n2"]
    struck["status"]["containerStatuses"] = []
    assert Kubernetes().state(cluster, PLAN).complaints == ("service edge has 2 of 3 containers",)


def test_a_cluster_with_other_nodes_is_refused(fake: FakeKubernetes) -> None:
    del fake.hosts["n3"]
    with pytest.raises(EnvironmentBroken, match="has no node n3"):
        Kubernetes().join(fake.cluster(RUN), PLAN, quiet)


def test_an_image_that_is_not_there_ends_the_waiting_with_the_kubelets_words(fake: FakeKubernetes) -> None:
    fake.broken["web"] = {"waiting": {"reason": "ErrImageNeverPull", "message": "not present"}}
    with pytest.raises(EnvironmentBroken, match=r"web 0 of 3; .*ErrImageNeverPull: not present") as caught:
        deployed(fake)
    assert caught.value.hint
    assert "ctr -n k8s.io images ls" in caught.value.hint


def test_an_image_that_may_not_run_as_root_is_told_with_the_way_out(fake: FakeKubernetes) -> None:
    words = "container has runAsNonRoot and image will run as root"
    fake.broken["web"] = {"waiting": {"reason": "CreateContainerConfigError", "message": words}}
    with pytest.raises(EnvironmentBroken, match=words) as caught:
        deployed(fake)
    assert "are root" in str(caught.value.hint)


def test_a_pod_without_a_place_ends_the_waiting(fake: FakeKubernetes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "UNPLACED_TIMEOUT_S", 0.0)
    fake.unplaced = {"web"}
    with pytest.raises(EnvironmentBroken, match=r"cannot be placed: 0/3 nodes are available"):
        deployed(fake)


HOST_PORT = 'pods "x" is forbidden: violates PodSecurity "baseline:latest": hostPort (container "main" uses it)'
NO_ACCOUNT = 'pods "x" is forbidden: error looking up service account a/default: "default" not found'


@pytest.mark.parametrize("service", ["web", "edge"])  # a Deployment and a DaemonSet
def test_pods_that_are_not_let_in_end_the_waiting_with_the_clusters_words(
    fake: FakeKubernetes, monkeypatch: pytest.MonkeyPatch, service: str
) -> None:
    monkeypatch.setattr(waiting, "MADE_WITHIN_S", 0.0)
    fake.refused = {service: HOST_PORT}
    with pytest.raises(EnvironmentBroken, match=f"does not let in pods of {service}: .*hostPort") as caught:
        deployed(fake)
    assert "--namespace" in str(caught.value.hint)


def test_a_plain_pod_that_is_not_let_in_is_told_by_that_alone(fake: FakeKubernetes) -> None:
    fake.refused = {"probe": HOST_PORT}
    with pytest.raises(EnvironmentBroken) as caught:
        deployed(fake)
    assert caught.value.message == HOST_PORT
    assert "--namespace" in str(caught.value.hint)


def test_a_refusal_that_passes_is_waited_for_and_told_at_last(
    fake: FakeKubernetes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "MADE_WITHIN_S", 0.0)
    monkeypatch.setattr(waiting, "RUNNING_TIMEOUT_S", 0.0)
    fake.refused = {"edge": NO_ACCOUNT}
    with pytest.raises(EnvironmentBroken, match=r"does not run: edge 0 of 3; edge: FailedCreate: .*not found"):
        deployed(fake)


def test_a_refusal_of_a_controller_that_has_gone_is_none_of_the_next_ones(
    fake: FakeKubernetes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "MADE_WITHIN_S", 0.0)
    monkeypatch.setattr(waiting, "RUNNING_TIMEOUT_S", 0.0)
    fake.refused = {"edge": HOST_PORT}
    with pytest.raises(EnvironmentBroken, match="does not let in"):
        deployed(fake)
    fake.refused = {"edge": NO_ACCOUNT}
    left = fake.objects.pop(("Event", "e-edge"))
    fake.objects["Event", "e-gone"] = left
    with pytest.raises(EnvironmentBroken, match="does not run: edge 0 of 3"):
        deployed(fake)


@pytest.mark.parametrize(("order", "surge", "unavailable"), [("start-first", 2, 0), ("stop-first", 0, 2)])
def test_an_update_has_the_pace_that_was_asked_for(
    fake: FakeKubernetes, order: str, surge: int, unavailable: int
) -> None:
    cluster = deployed(fake)
    act = Act("update", "web", parallelism=2, order=order)  # type: ignore[arg-type]
    Kubernetes().perform(cluster, PLAN, act, None, timeout_s=30)
    rolling = fake.patches["spec"]["strategy"]["rollingUpdate"]
    assert rolling == {"maxSurge": surge, "maxUnavailable": unavailable}


@pytest.mark.parametrize(
    "act",
    [
        Act("scale", "edge", replicas=2),
        Act("update", "probe"),
        Act("update", "edge", order="start-first"),
        Act("stop", "web", container="web"),
    ],
)
def test_what_cannot_be_done_is_refused(fake: FakeKubernetes, act: Act) -> None:
    cluster = deployed(fake)
    with pytest.raises(UsageError):
        Kubernetes().perform(cluster, PLAN, act, None, timeout_s=30)


def test_python_is_given_to_nodes_before_anything_else(fake: FakeKubernetes) -> None:
    deployed(fake)
    for host in fake.hosts.values():
        assert "/usr/local/bin/python3" in host.calls[0]


def test_nodes_of_a_cluster_that_exists_keep_their_names_there_and_have_the_topologys_here() -> None:
    plan = planned_on_kubernetes(cluster=FOREIGN)
    theirs = ForeignKubernetes(plan.topology.cluster.kubectl)
    cluster = theirs.cluster(RUN)
    Kubernetes().join(cluster, plan, quiet)
    Kubernetes().apply(cluster, plan, quiet)
    assert {pod["spec"]["nodeName"] for pod in theirs.pods.values()} == {"worker-n1", "worker-n2", "worker-n3"}
    seen = Kubernetes().look(cluster, plan)
    by_name = {container.name: container for container in seen.containers}
    assert (by_name["probe"].node, by_name["edge.n3"].node) == ("n1", "n3")
    assert len({(container.node, container.pid) for container in seen.containers}) == len(by_name)
    assert {published.node for _, published in seen.published} == {"n1", "n2", "n3"}
    theirs.api.silent = True  # no fault of ours stops it: then a check must say so, and not that nothing runs
    with pytest.raises(DeadlineExceeded):
        Kubernetes().look(cluster, plan)


def test_a_pod_of_which_nothing_runs_is_gone_without_asking_its_kubelet_again() -> None:
    fake = FakeKubernetes()
    cluster = deployed(fake)
    fake.linger = {"probe"}
    Kubernetes().delete(cluster, PLAN)
    assert not fake.pods
    [forced] = [words for words in fake.asked if "--force" in words]
    assert "probe" in forced
    assert "web" not in " ".join(forced)


STABLE = """
name: stable
networks: {app: {driver: overlay}}
services:
  web: {hostname: "{{.Service.Name}}-{{.Task.Slot}}", deploy: {replicas: 3}, networks: [app]}
  probe: {node: n1, networks: [app]}
"""


def stable() -> tuple[FakeKubernetes, Cluster, Plan]:
    fake, plan = FakeKubernetes(), planned_on_kubernetes(STABLE)
    cluster = fake.cluster(RUN)
    Kubernetes().apply(cluster, plan, quiet)
    return fake, cluster, plan


def own_names(cluster: Cluster, plan: Plan) -> dict[str, tuple[str, ...]]:
    return {found.name: found.aliases["app"] for found in Kubernetes().containers(cluster, plan, "web")}


def test_names_that_hold_are_a_stateful_sets_and_stay_when_all_pods_are_replaced() -> None:
    fake, cluster, plan = stable()
    wanted = {"web.1": ("web-0.web",), "web.2": ("web-1.web",), "web.3": ("web-2.web",)}
    assert own_names(cluster, plan) == wanted
    before = {found.id for found in Kubernetes().containers(cluster, plan, "web")}
    Kubernetes().perform(cluster, plan, Act("update", "web", parallelism=0), None, timeout_s=30)
    assert own_names(cluster, plan) == wanted
    assert not before & {found.id for found in Kubernetes().containers(cluster, plan, "web")}
    assert fake.patches["spec"]["updateStrategy"] == {"type": "OnDelete", "rollingUpdate": None}


def test_pods_with_names_that_hold_are_scaled_and_replaced_one_by_one_or_all_at_once() -> None:
    fake, cluster, plan = stable()
    Kubernetes().perform(cluster, plan, Act("scale", "web", replicas=5), None, timeout_s=30)
    assert own_names(cluster, plan)["web.5"] == ("web-4.web",)
    Kubernetes().perform(cluster, plan, Act("update", "web", parallelism=1), None, timeout_s=30)
    assert fake.patches["spec"]["updateStrategy"] == {"type": "RollingUpdate"}
    for act in (Act("update", "web", parallelism=2), Act("update", "web", order="start-first")):
        with pytest.raises(UsageError, match="names that hold"):
            Kubernetes().perform(cluster, plan, act, None, timeout_s=30)
    Kubernetes().delete(cluster, plan)
    assert not fake.objects
    assert not fake.pods


def test_the_dns_is_waited_for_and_one_that_does_not_come_is_told_with_its_pods(
    fake: FakeKubernetes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "DNS_TIMEOUT_S", 0.0)
    fake.dns = [{"kind": "Deployment", "metadata": {"name": "coredns"}, "spec": {"replicas": 2}, "status": {}}]
    with pytest.raises(EnvironmentBroken, match=r"the DNS is not up within 0 s: coredns has 0 of 2 pods"):
        deployed(fake)
    fake.dns[0]["status"] = {"readyReplicas": 2}
    deployed(fake)
