"""Macvlan on Kubernetes: what nodes and pods are told, what is seen of them, and what is refused."""

from __future__ import annotations

import ipaddress
import json
from typing import Any

import pytest
import yaml

from harness import drivers
from harness.model.errors import EnvironmentBroken
from harness.model.plan import Plan
from harness.orchestrators.kubernetes import Kubernetes, meta_plugin, names, waiting
from harness.planner import problems
from harness.ports import Cluster
from tests.fake_kubernetes import FakeKubernetes
from tests.planner_topologies import KUBERNETES, ON_KIND, RUN, planned_on_kubernetes, topology

TEXT = """
name: lans
networks:
  app: {driver: overlay}
  lan: {driver: macvlan, driver_opts: {parent: eth0}, ipam: {config: [{subnet: 10.71.0.0/24}]}}
  wan:
    driver: macvlan
    driver_opts: {parent: eth1, macvlan_mode: private}
    ipam: {config: [{subnet: 10.72.0.0/24}]}
services:
  web: {deploy: {mode: replicated, replicas: 4}, networks: {app: {aliases: [www]}, lan: {}}}
  edge: {deploy: {mode: global}, networks: [lan, wan]}
  probe: {node: n1, networks: [lan]}
"""
PLAN = planned_on_kubernetes(TEXT)


def quiet(_line: str) -> None:
    pass


def config(plan: Plan, network: str, node: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(plan.document(f"{network}-{node}.conf").text)
    return found


def objects(plan: Plan) -> dict[tuple[str, str], dict[str, Any]]:
    documents = yaml.safe_load_all(plan.document("objects.yaml").text)
    return {(each["kind"], each["metadata"]["name"]): each for each in documents}


def deployed(fake: FakeKubernetes) -> Cluster:
    cluster = fake.cluster(RUN)
    Kubernetes().join(cluster, PLAN, quiet)
    Kubernetes().apply(cluster, PLAN, quiet)
    return cluster


def refused(text: str) -> list[tuple[str, str]]:
    return problems(topology(text, cluster=ON_KIND), KUBERNETES, wire_mtu=1500)


# --- what is made


def test_a_definition_is_named_as_the_configuration_that_each_node_has_for_it() -> None:
    space, definition = yaml.safe_load_all(PLAN.document("network-lan.yaml").text)
    assert space["metadata"]["name"] == definition["metadata"]["namespace"] == PLAN.cluster
    assert definition["kind"] == "NetworkAttachmentDefinition"
    assert definition["apiVersion"] == "k8s.cni.cncf.io/v1"
    assert "spec" not in definition
    assert {config(PLAN, "lan", node)["name"] for node in ("n1", "n2", "n3")} == {definition["metadata"]["name"]}
    assert (config(PLAN, "wan", "n1")["master"], config(PLAN, "wan", "n1")["mode"]) == ("eth1", "private")


@pytest.mark.parametrize("subnet", ["10.71.0.0/24", "10.71.0.0/28"])
def test_nodes_hand_out_parts_of_the_subnet_that_do_not_overlap(subnet: str) -> None:
    plan = planned_on_kubernetes(TEXT.replace("10.71.0.0/24", subnet))
    given: list[int] = []
    for node in ("n1", "n2", "n3"):
        [[part]] = config(plan, "lan", node)["ipam"]["ranges"]
        first, last = (int(ipaddress.ip_address(part[key])) for key in ("rangeStart", "rangeEnd"))
        assert part["subnet"] == subnet
        given += range(first, last + 1)
    whole = ipaddress.ip_network(subnet)
    assert len(given) == len(set(given))
    assert {int(whole[0]), int(whole[-1])} & set(given) == set()
    assert all(ipaddress.ip_address(each) in whole for each in given)


def test_a_dual_stack_network_has_a_range_of_each_family() -> None:
    both = "subnet: 10.71.0.0/24}, {subnet: fd71::/64}]}, enable_ipv6: true"
    plan = planned_on_kubernetes(TEXT.replace("subnet: 10.71.0.0/24}]}", both))
    [four], [six] = config(plan, "lan", "n2")["ipam"]["ranges"]
    assert (four["subnet"], six["subnet"]) == ("10.71.0.0/24", "fd71::/64")
    assert six["rangeStart"] != config(plan, "lan", "n3")["ipam"]["ranges"][1][0]["rangeStart"]


def test_nodes_know_their_part_before_the_definition_and_pods_come_last() -> None:
    phases = list(dict.fromkeys(step.phase for step in PLAN.steps))
    expected = ["parents of networks", "networks", "network definitions", "namespace"]
    assert [phase for phase in phases if phase in expected] == expected
    assert phases[-1] == "services"
    assert {step.node for step in PLAN.steps if step.phase == "networks"} == {"n1", "n2", "n3"}
    forgotten = [step for step in PLAN.undo if step.phase == "remove networks"]
    assert len(forgotten) == 6
    assert all(step.argv[-1].startswith(f"{meta_plugin.NAD_CONFIGS}/{PLAN.cluster}-") for step in forgotten)


def test_pods_ask_for_their_further_networks_and_for_no_others() -> None:
    made = objects(PLAN)
    lan, wan = (f"{PLAN.cluster}/{PLAN.cluster}-{name}" for name in ("lan", "wan"))
    asked = {
        "web": made["Deployment", "web"]["spec"]["template"]["metadata"],
        "edge": made["DaemonSet", "edge"]["spec"]["template"]["metadata"],
        "probe": made["Pod", "probe"]["metadata"],
    }
    annotations = {name: metadata["annotations"][meta_plugin.NETWORKS] for name, metadata in asked.items()}
    assert annotations == {"web": lan, "edge": f"{lan}, {wan}", "probe": lan}
    assert [str(wish) for wish in meta_plugin.wishes(annotations["edge"], "x")] == [lan, wan]


def test_names_are_of_the_clusters_network_only() -> None:
    named = {name for kind, name in objects(PLAN) if kind == "Service"}
    assert named == {"web", "www"}
    assert not PLAN.network("lan").resolves_names


def test_both_orchestrators_promise_the_same_of_packets_and_of_neighbours() -> None:
    network = PLAN.topology.networks["wan"].model_copy(update={"scope": "local"})
    swarm, kubernetes = (
        drivers.REGISTRY[key, "macvlan"].plan("wan", network, 1500) for key in ("swarm", "kubernetes")
    )
    assert swarm == kubernetes
    assert not kubernetes.same_node


WAN, WEB = "networks.wan", "services.web.networks.lan"
TWO = "{subnet: 10.72.0.0/24}, {subnet: 10.73.0.0/24}"


@pytest.mark.parametrize(
    ("old", "new", "key", "words"),
    [
        ("lan: {}}", "lan: {aliases: [x]}}", f"{WEB}.aliases", "names lead to pods' addresses"),
        ("lan: {}}", "lan: {ipv4_address: 10.71.0.9}}", f"{WEB}.ipv4_address", "static"),
        ("private", "passthru", f"{WAN}.driver_opts.macvlan_mode", "lose its wire"),
        ("ipam: {config: [{subnet: 10.72.0.0/24}]}", "", f"{WAN}.ipam", "an IPv4 subnet is needed"),
        ("10.72.0.0/24", "10.72.0.0/30", f"{WAN}.ipam", "too few to share among 3 nodes"),
        ("{subnet: 10.72.0.0/24}", TWO, f"{WAN}.ipam.config.1.subnet", "one IPv4 subnet"),
    ],
)
def test_what_cannot_be_expressed_is_refused_with_its_key(old: str, new: str, key: str, words: str) -> None:
    assert refused(TEXT) == []
    assert old in TEXT
    found = dict(refused(TEXT.replace(old, new)))
    assert words in found[key]


THEIRS = {**ON_KIND, "provider": "existing", "kubeconfig": "/theirs"}
PAIR = """
name: pair
networks:
  lan:
    driver: macvlan
    enable_ipv6: true
    driver_opts: {parent: eth0}
    ipam: {config: [{subnet: 10.71.0.0/24, gateway: 10.71.0.2}, {subnet: "fd00:71::/64"}]}
services:
  a: {node: n1, networks: [lan]}
  b: {node: n2, networks: [lan]}
  c: {node: n2, networks: [lan]}
"""


def test_on_a_cluster_that_exists_pods_of_one_template_would_all_have_one_address() -> None:
    found = dict(problems(topology(TEXT, cluster=THEIRS), KUBERNETES, wire_mtu=1500))
    refused = {key for key, words in found.items() if "only plain containers" in words}
    assert refused == {"services.web.networks.lan", "services.edge.networks.lan", "services.edge.networks.wan"}
    assert problems(topology(PAIR, cluster=THEIRS), KUBERNETES, wire_mtu=1500) == []


def test_on_a_cluster_that_exists_every_pod_asks_for_addresses_of_its_own_and_no_node_is_written_to() -> None:
    plan = planned_on_kubernetes(PAIR, cluster=THEIRS)
    made = plan.engine_name("lan")
    given = {}
    for service in ("a", "b", "c"):
        [asked] = json.loads(objects(plan)["Pod", service]["metadata"]["annotations"][names.NETWORKS_ANNOTATION])
        assert (asked["name"], asked["namespace"]) == (made, plan.namespace)
        given[service] = asked["ips"]
    assert given == {
        "a": ["10.71.0.1/24", "fd00:71::2/64"],
        "b": ["10.71.0.3/24", "fd00:71::3/64"],  # the gateway's is not given away
        "c": ["10.71.0.4/24", "fd00:71::4/64"],
    }
    [definition] = yaml.safe_load_all(plan.document("network-lan.yaml").text)
    config = json.loads(definition["spec"]["config"])
    assert (config["type"], config["master"], config["ipam"]) == ("macvlan", "eth0", {"type": "static"})
    assert config["capabilities"] == {"ips": True}
    commands = [step.argv[0] for step in (*plan.steps, *plan.undo)]
    assert set(commands) == {"kubectl"}


def test_a_subnet_with_too_few_addresses_for_the_pods_is_refused() -> None:
    small = PAIR.replace("{subnet: 10.71.0.0/24, gateway: 10.71.0.2}", "{subnet: 10.71.0.0/30}")
    found = dict(problems(topology(small, cluster=THEIRS), KUBERNETES, wire_mtu=1500))
    assert found["networks.lan.ipam"] == "it has room for 1 of its 3 containers"
    many = "".join(f"  s{number}: {{node: n1, networks: [lan]}}\n" for number in range(11))
    crowded = PAIR.replace("10.71.0.0/24", "10.71.0.0/28") + many
    found = dict(problems(topology(crowded, cluster=THEIRS), KUBERNETES, wire_mtu=1500))
    assert found["networks.lan.ipam"] == "it has room for 13 of its 14 containers"
    assert objects(
        planned_on_kubernetes(crowded.replace("  s10: {node: n1, networks: [lan]}\n", ""), cluster=THEIRS)
    )


def test_a_subnet_of_a_further_network_is_used_and_not_noted_otherwise() -> None:
    assert not any("network lan" in note for note in PLAN.notes)


# --- what is seen


def test_addresses_and_macs_are_those_that_the_pod_was_given_there() -> None:
    fake = FakeKubernetes()
    cluster = deployed(fake)
    found = {container.name: container for container in Kubernetes().containers(cluster, PLAN)}
    web, edge = found["web.1"], found["edge.n2"]
    assert web.networks["app"].ip.startswith("10.244.0.")
    assert web.pod
    assert web.pod.address == web.networks["app"].ip
    assert (web.networks["lan"].ip[:8], web.networks["lan"].prefix) == ("10.71.0.", 24)
    assert edge.networks["wan"].ip.startswith("10.72.0.")
    macs = [address.mac for each in found.values() for name, address in each.networks.items() if name != "app"]
    assert len(set(macs)) == len(macs) == 4 + 6 + 1


def test_nodes_get_a_plugin_of_ours_where_the_cluster_has_no_multus() -> None:
    fake = FakeKubernetes()
    deployed(fake)
    installed = [
        name for name, host in fake.hosts.items() if any("harness-meta" in " ".join(c) for c in host.calls)
    ]
    assert installed == ["n1", "n2", "n3"]
    assert fake.attacher == "ours"
    deployed(fake)  # ours is no Multus: a newer harness renews it


def test_where_the_cluster_has_multus_nothing_is_installed() -> None:
    fake = FakeKubernetes()
    fake.attacher = "Multus"
    deployed(fake)
    assert not any("harness-meta" in " ".join(call) for host in fake.hosts.values() for call in host.calls)
    assert fake.attacher == "Multus"


def test_topologies_without_further_networks_leave_nodes_as_they_are() -> None:
    fake, plan = FakeKubernetes(), planned_on_kubernetes()
    Kubernetes().apply(fake.cluster(RUN), plan, quiet)
    assert fake.attacher == ""


def test_a_pod_that_runs_without_its_network_does_not_count_and_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "RUNNING_TIMEOUT_S", 0.0)
    fake = FakeKubernetes()
    fake.attaches = False
    with pytest.raises(EnvironmentBroken, match=r"probe runs, and nothing tells its address on lan"):
        deployed(fake)


def test_the_plugin_and_the_orchestrator_mean_the_same_annotations() -> None:
    assert (names.NETWORKS_ANNOTATION, names.STATUS_ANNOTATION) == (meta_plugin.NETWORKS, meta_plugin.STATUS)
