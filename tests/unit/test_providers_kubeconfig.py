"""A Kubernetes that exists: asked for its rights first, given nothing but what is ours, and left as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from harness.model.errors import DeadlineExceeded, EnvironmentBroken, FeatureMissing, UsageError
from harness.model.plan import Plan
from harness.providers import kube_pods, kube_rights
from harness.providers.kube_access import Access
from harness.providers.kubeconfig import KubeconfigProvider
from harness.transport.kubectl import PodHost
from tests.fake_api import World, access
from tests.planner_topologies import FOREIGN, planned_on_kubernetes

TEXT = """
name: small
networks: {app: {driver: overlay}}
services:
  web: {deploy: {replicas: 2}, networks: [app], ports: [{target: 80, published: 30080}]}
"""
TWO = {**FOREIGN, "nodes": {"manager": 1, "worker": 1}}
SECRET = "eyJhbGciOiJSUzI1NiJ9.s3cr3t"


def plan(**cluster: object) -> Plan:
    return planned_on_kubernetes(TEXT, cluster={**TWO, **cluster})


def quiet(_line: str) -> None:
    pass


def made(world: World) -> set[str]:
    return {kind for kind, _space, _name in world.objects}


# --- rights


def test_all_that_is_not_allowed_is_named_at_once_and_nothing_is_made() -> None:
    world = World(denied={("create", "pods/exec"), ("patch", "deployments"), ("delete", "namespaces")})
    with pytest.raises(EnvironmentBroken) as caught:
        KubeconfigProvider(access(world)).up(plan(), quiet)
    message = caught.value.message
    assert "in the whole cluster: delete namespaces" in message
    assert "in namespace harness-r1: create pods/exec, patch deployments.apps" in message
    assert caught.value.exit_code == 70
    assert not world.objects
    assert [words[0] for words in world.asked] == ["version", "create"]


def test_in_a_namespace_that_is_given_nothing_is_asked_of_the_whole_cluster() -> None:
    asked = list(kube_rights.wishes(plan(namespace="team")))
    assert {wish.namespace for wish in asked} == {"team"}
    assert not [wish for wish in kube_rights.wishes(plan()) if wish.resource == "persistentvolumeclaims"]


def test_a_cluster_that_does_not_answer_is_told_in_its_own_words() -> None:
    world = World(silent="Unable to connect to the server: dial tcp 192.0.2.9:6443: i/o timeout")
    with pytest.raises(EnvironmentBroken, match="does not answer: Unable to connect"):
        KubeconfigProvider(access(world)).up(plan(), quiet)


# --- nodes


def test_nodes_are_those_that_take_pods_in_the_order_of_their_names() -> None:
    world = World()
    cluster = KubeconfigProvider(access(world)).up(plan(), quiet)
    assert cluster.called == {"n1": "theirs-2", "n2": "theirs-10"}
    assert (cluster.rights, cluster.shared_clock, cluster.in_nodes) == (frozenset({"pods", "nodes"}), False, True)


@pytest.mark.parametrize("denied", [("patch", "nodes"), ("list", "pods"), ("create", "pods/eviction")])
def test_who_may_not_shut_nodes_may_end_pods_of_its_own_only(denied: tuple[str, str]) -> None:
    provider = KubeconfigProvider(access(world := World()))
    made = provider.up(plan(), quiet)
    world.denied = {denied}
    assert provider.find(made.name).rights == frozenset({"pods"})


def test_a_node_that_a_killed_run_has_shut_takes_pods_again_and_no_other_does() -> None:
    provider = KubeconfigProvider(access(world := World()))
    provider.up(plan(), quiet)
    world.shut = {"theirs-2": "r1", "theirs-10": "", "theirs-3": "r2"}
    assert "drain of node theirs-2" in provider.down("r1")
    assert world.shut == {"theirs-10": "", "theirs-3": "r2"}


def test_of_more_nodes_than_are_wanted_the_rest_is_left_alone() -> None:
    world = World(nodes=["a", "b", "c", "d"])
    cluster = KubeconfigProvider(access(world)).up(plan(), quiet)
    assert cluster.called == {"n1": "a", "n2": "b"}
    assert {o["spec"]["nodeName"] for (kind, *_), o in world.objects.items() if kind == "Pod"} == {"a", "b"}


def test_too_few_nodes_are_a_usage_error_that_says_what_to_do_and_leaves_nothing() -> None:
    world = World(nodes=["a"])
    with pytest.raises(UsageError, match="wants 2 nodes, and 1 of the cluster take its pods: a") as caught:
        KubeconfigProvider(access(world)).up(plan(), quiet)
    assert caught.value.hint == "--set cluster.nodes.worker=0"
    assert not world.objects


def test_pods_that_may_not_stand_in_nodes_networks_stand_in_their_own() -> None:
    world = World(no_host_network='violates PodSecurity "baseline:latest": host namespaces (hostNetwork=true)')
    lines: list[str] = []
    cluster = KubeconfigProvider(access(world)).up(plan(), lines.append)
    assert not cluster.in_nodes
    assert any("no pods in its nodes' network" in line for line in lines)


def test_a_namespace_that_takes_no_pods_of_ours_ends_the_waiting_with_its_last_words() -> None:
    told = 'pods "a" is forbidden: violates PodSecurity "restricted:latest": {}runAsNonRoot != true'
    world = World(no_host_network=told.format("host namespaces (hostNetwork=true), "), no_pods=told.format(""))
    with pytest.raises(EnvironmentBroken, match=r"harness-r1 takes no pods of ours: .*runAsNonRoot") as caught:
        KubeconfigProvider(access(world)).up(plan(), quiet)
    assert "hostNetwork" not in caught.value.message  # the events of what it had tried before
    assert "--namespace" in str(caught.value.hint)
    assert not world.objects


def test_pods_that_are_let_in_on_terms_that_their_image_cannot_keep_end_the_waiting() -> None:
    """So does a PodSecurityPolicy with MustRunAsNonRoot, as Kubernetes 1.20.2 told it."""
    words = "container has runAsNonRoot and image will run as root"
    world = World(waiting="CreateContainerConfigError", waiting_words=words)
    with pytest.raises(
        EnvironmentBroken, match=f"takes no pods of ours: CreateContainerConfigError: {words}"
    ) as caught:
        KubeconfigProvider(access(world)).up(plan(), quiet)
    assert "are root" in str(caught.value.hint)
    assert not world.objects


def test_an_image_that_cannot_be_had_is_told_with_the_way_out() -> None:
    world = World(waiting="ErrImagePull")
    with pytest.raises(EnvironmentBroken, match=r"0 of 2 nodes: ErrImagePull") as caught:
        KubeconfigProvider(access(world)).up(plan(), quiet)
    assert "--workload-image" in str(caught.value.hint)
    assert not world.objects


def test_a_pod_that_does_not_come_is_told_with_its_node_where_no_event_says_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kube_pods, "READY_TIMEOUT_S", -1.0)
    world = World(waiting="ContainerCreating")
    with pytest.raises(DeadlineExceeded, match=r"on theirs-10: Pending, ContainerCreating; pod .* on theirs-2"):
        KubeconfigProvider(access(world)).up(plan(), quiet)


# --- a namespace of somebody else's


LAN = """
name: lan
networks: {lan: {driver: macvlan, driver_opts: {parent: eth0}, ipam: {config: [{subnet: 10.71.0.0/24}]}}}
volumes: {data: {driver: claim}}
services:
  a: {node: n1, networks: [lan], volumes: ["data:/data"]}
  b: {node: n2, networks: [lan]}
"""


def test_a_cluster_without_multus_is_told_by_the_network_that_needs_it_and_nothing_is_made() -> None:
    made = planned_on_kubernetes(LAN, cluster={**TWO, "namespace": "team"})
    with pytest.raises(FeatureMissing, match="network lan cannot work here: the cluster has no Multus") as caught:
        KubeconfigProvider(access(world := World(), "team")).up(made, quiet)
    assert caught.value.needs == ("Multus",)
    assert not world.objects
    denied = {("create", "network-attachment-definitions")}
    with pytest.raises(EnvironmentBroken, match=r"create network-attachment-definitions\.k8s\.cni\.cncf\.io"):
        KubeconfigProvider(access(World(has_multus=True, denied=denied), "team")).up(made, quiet)


def test_claims_and_definitions_of_a_killed_run_go_from_a_namespace_that_stays() -> None:
    provider = KubeconfigProvider(access(world := World(has_multus=True), "team"))
    cluster = provider.up(planned_on_kubernetes(LAN, cluster={**TWO, "namespace": "team"}), quiet)
    for kind in ("PersistentVolumeClaim", "NetworkAttachmentDefinition"):
        for name, run in (("ours", "r1"), ("theirs", "r2")):
            metadata = {"name": name, "namespace": "team", "labels": {"harness.run": run}}
            world.objects[kind, "team", name] = {"kind": kind, "metadata": metadata}
    provider.down(cluster.name)
    left = {(kind, name) for kind, _, name in world.objects}
    assert left == {("PersistentVolumeClaim", "theirs"), ("NetworkAttachmentDefinition", "theirs")}


def test_what_has_our_names_already_is_refused_and_left_as_it_is() -> None:
    world = World()
    theirs = {"kind": "Service", "metadata": {"name": "web", "namespace": "team"}, "spec": {"theirs": True}}
    world.objects["Service", "team", "web"] = theirs
    with pytest.raises(EnvironmentBroken, match="namespace team has these already: Service web"):
        KubeconfigProvider(access(world, "team")).up(plan(namespace="team"), quiet)
    assert list(world.objects.values()) == [theirs]


def test_what_has_our_names_is_refused_for_the_next_topology_too() -> None:
    world = World()
    provider = KubeconfigProvider(access(world, "team"))
    made = plan(namespace="team")
    cluster = provider.up(made, quiet)
    provider.supply(cluster, made, quiet)
    theirs = {"kind": "Service", "metadata": {"name": "web", "namespace": "team"}}
    world.objects["Service", "team", "web"] = theirs
    with pytest.raises(EnvironmentBroken, match="has these already: Service web"):
        provider.supply(cluster, made, quiet)


def test_only_what_carries_our_label_is_removed_from_it() -> None:
    world = World()
    theirs = {"kind": "Service", "metadata": {"name": "shop", "namespace": "team", "labels": {"app": "shop"}}}
    world.objects["Service", "team", "shop"] = theirs
    provider = KubeconfigProvider(access(world, "team"))
    cluster = provider.up(plan(namespace="team"), quiet)
    assert provider.find(cluster.name).called == cluster.called
    assert provider.down(cluster.name)
    assert list(world.objects.values()) == [theirs]


def test_what_was_cut_short_before_its_marker_is_found_by_its_namespace() -> None:
    world = World()
    provider = KubeconfigProvider(access(world))
    labels = kube_pods.labels("r9")
    world.objects["Namespace", "", "harness-r9"] = {
        "kind": "Namespace",
        "metadata": {"name": "harness-r9", "labels": labels, "creationTimestamp": "2026-01-01T00:00:00Z"},
    }
    [info] = provider.clusters()
    assert (info.run, info.nodes, info.provider) == ("r9", 0, "existing kubernetes")
    assert provider.down("harness-r9") == ["namespace harness-r9"]


def test_an_api_that_is_slow_to_say_that_a_namespace_is_gone_is_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(slow=2)
    provider = KubeconfigProvider(access(world))
    made = provider.up(plan(), quiet)
    assert "namespace harness-r1" in provider.down(made.name)
    assert (world.slow, world.objects) == (0, {})
    provider.up(plan(), quiet)
    world.slow = 2
    monkeypatch.setattr("harness.providers.kubeconfig.REMOVE_TIMEOUT_S", 1e-9)  # not for ever
    world.asked.clear()
    with pytest.raises(DeadlineExceeded):
        provider.down(made.name)


def test_a_namespace_that_only_copied_our_label_is_not_ours() -> None:
    world = World()
    labels = kube_pods.labels("r9")
    world.objects["Namespace", "", "shop"] = {"kind": "Namespace", "metadata": {"name": "shop", "labels": labels}}
    provider = KubeconfigProvider(access(world))
    assert provider.clusters() == []
    assert provider.down("harness-r9") == []
    assert world.objects


# --- kubeconfigs


def kubeconfig(folder: Path, **changes: object) -> Path:
    whole = {
        "users": [{"name": "ci", "user": {"token": SECRET, "exec": {"command": "aws-get-token"}}}],
        "contexts": [{"name": "prod", "context": {}}, {"name": "stage", "context": {}}],
        "current-context": "prod",
        **changes,
    }
    path = folder / "config"
    path.write_text(yaml.safe_dump(whole))
    return path


def test_secrets_of_a_kubeconfig_are_taken_out_of_what_kubectl_says(tmp_path: Path) -> None:
    program = tmp_path / "kubectl"
    program.write_text(f"#!/bin/sh\necho sent {SECRET} by aws-get-token; echo {SECRET} >&2; exit 3\n")
    program.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        api = Access(kubeconfig(tmp_path)).api(quiet)
        result = api.run(("kubectl", "get", "pods"), timeout_s=10)
    assert (result.code, result.stdout, result.stderr) == (3, "sent *** by aws-get-token\n", "***\n")


def test_a_context_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no context 'live'") as caught:
        Access(kubeconfig(tmp_path), context="live").api(quiet)
    assert caught.value.hint == "it has prod, stage"


def test_without_a_current_context_one_must_be_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no current context"):
        Access(kubeconfig(tmp_path, **{"current-context": ""})).api(quiet)


@pytest.mark.parametrize("text", ["users: [", "\x00\x01", f"token: {SECRET}\n bad: ["])
def test_a_file_that_is_no_kubeconfig_is_told_without_its_words(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        Access(path).api(quiet)
    assert str(path) in caught.value.message
    assert SECRET not in f"{caught.value} {caught.value.__cause__} {caught.value.hint}"


def test_a_file_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        Access(tmp_path / "nowhere").api(quiet)


def test_a_node_has_a_number_for_each_container_and_runs_commands_in_our_pod_only() -> None:
    world = World()
    host = KubeconfigProvider(access(world)).up(plan(), quiet).hosts["n1"]
    assert isinstance(host, PodHost)
    assert host.seat("c1", "s", "web-1") == host.seat("c1", "s", "web-1") != host.seat("c2", "s", "web-1")
    assert host.terminal(["bash"])[-4:] == ["-c", "main", "--", "bash"]
    assert host.terminal(["bash"])[:1] == ["kubectl"]


def test_rights_are_asked_for_without_making_anything() -> None:
    world = World(denied={("create", "pods/exec")})
    [complaint] = KubeconfigProvider(access(world)).inspect(plan())
    assert complaint.grave
    assert "create pods/exec" in str(complaint)
    assert complaint.hint
    assert KubeconfigProvider(access(world)).inspect(None) == []  # it answers
    assert not world.objects
