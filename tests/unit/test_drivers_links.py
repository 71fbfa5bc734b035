"""Drivers whose networks are made on each node: bridge, macvlan, ipvlan."""

from __future__ import annotations

from typing import Any

import pytest

from harness import drivers
from harness.model.plan import Plan
from harness.model.subnets import node_slices
from harness.model.topology import Network
from tests.planner_topologies import planned, problem_keys

MACVLAN = drivers.REGISTRY["swarm", "macvlan"]
IPVLAN = drivers.REGISTRY["swarm", "ipvlan"]
BRIDGE = drivers.REGISTRY["swarm", "bridge"]
LAN = {"driver": "macvlan", "ipam": {"config": [{"subnet": "10.70.0.0/24"}]}}
PLAIN = {"a": {"node": "n1", "networks": ["lan"]}, "b": {"node": "n3", "networks": ["lan"]}}
SCHEDULED = {"web": {"deploy": {"replicas": 2}, "networks": ["lan"]}}


def network(driver: str, **settings: Any) -> Network:
    return Network.model_validate({"driver": driver, **settings})


def made(services: dict[str, Any], **lan: Any) -> Plan:
    return planned("name: x", networks={"lan": {**LAN, **lan}}, services=services)


def commands(plan: Plan, phase: str) -> dict[str, str]:
    return {step.node: " ".join(step.argv) for step in plan.steps if step.phase == phase}


# --- how nodes share a range


def test_each_node_has_an_aligned_part_and_one_is_left_over() -> None:
    parts = node_slices(network("macvlan", ipam=LAN["ipam"]), 3)
    assert [str(part) for part in parts] == ["10.70.0.0/26", "10.70.0.64/26", "10.70.0.128/26", "10.70.0.192/26"]


@pytest.mark.parametrize("nodes", range(1, 12))
def test_parts_lie_in_the_range_and_never_overlap(nodes: int) -> None:
    config = [{"subnet": "10.70.0.0/16", "ip_range": "10.70.8.0/22"}]
    parts = node_slices(network("macvlan", ipam={"config": config}), nodes)
    assert len(parts) == nodes + 1
    assert sum(part.num_addresses for part in parts) <= 1024
    for index, part in enumerate(parts):
        assert str(part.network_address).startswith("10.70.")
        assert not any(part.overlaps(other) for other in parts[index + 1 :])


@pytest.mark.parametrize("config", [[], [{"subnet": "10.70.0.0/29"}]])
def test_a_range_that_cannot_be_shared_is_a_problem_of_the_topology(config: list[dict[str, str]]) -> None:
    text = f"name: x\nnetworks: {{lan: {{driver: macvlan, ipam: {{config: {config}}}}}}}".replace("'", '"')
    assert "networks.lan.ipam" in problem_keys(text)


# --- macvlan


def test_a_node_local_macvlan_is_made_where_its_containers_are() -> None:
    plan = made(PLAIN)
    assert plan.topology.networks["lan"].scope == "local"
    found = commands(plan, "networks")
    assert set(found) == {"n1", "n3"}
    assert "--driver macvlan --subnet 10.70.0.0/24 --ip-range 10.70.0.128/26 --opt parent=eth0" in found["n3"]
    assert {step.node for step in plan.undo if step.argv[:3] == ("docker", "network", "rm")} == {"n1", "n3"}


def test_a_scheduled_service_makes_it_a_network_of_the_swarm() -> None:
    plan = made(SCHEDULED)
    assert plan.topology.networks["lan"].scope == "swarm"
    configured = commands(plan, "network configurations")
    assert set(configured) == {"n1", "n2", "n3"}
    assert all(
        "--config-only" in command and "harness-r1-lan-config" in command for command in configured.values()
    )
    [create] = commands(plan, "networks").values()
    assert create.endswith("--scope swarm --attachable --config-from harness-r1-lan-config harness-r1-lan")
    assert "--label" not in create, "the engine refuses labels beside --config-from"
    phases = [step.phase for step in plan.undo]
    assert phases.index("remove networks") < phases.index("remove network configurations")


def test_the_parent_is_looked_for_before_anything_is_made() -> None:
    phases = list(dict.fromkeys(step.phase for step in made(PLAIN, driver_opts={"parent": "eth7.20"}).steps))
    assert phases[:2] == ["parents of networks", "networks"]
    looks = commands(made(PLAIN, driver_opts={"parent": "eth7.20"}), "parents of networks")
    assert all(" eth7 " in command for command in looks.values())
    assert all(step.only_looks == (step.phase == "parents of networks") for step in made(PLAIN).steps)


@pytest.mark.parametrize(
    ("driver", "options", "features"),
    [
        ("macvlan", {}, ["macvlan"]),
        ("macvlan", {"parent": "eth0.20"}, ["macvlan", "8021q"]),
        ("ipvlan", {"parent": "eth0"}, ["ipvlan"]),
        ("bridge", {}, ["bridge"]),
    ],
)
def test_what_a_driver_needs_of_the_kernel(driver: str, options: dict[str, str], features: list[str]) -> None:
    demands = drivers.REGISTRY["swarm", driver].demands("lan", network(driver, driver_opts=options))
    assert [demand.feature for demand in demands] == features
    assert {demand.wanted_by for demand in demands} == {"network lan"}


@pytest.mark.parametrize(
    ("driver", "settings", "key"),
    [
        ("macvlan", {"driver_opts": {"macvlan_mode": "bridged"}}, "driver_opts.macvlan_mode"),
        ("macvlan", {"driver_opts": {"ipvlan_mode": "l2"}}, "driver_opts.ipvlan_mode"),
        ("macvlan", {"driver_opts": {"macvlan_mode": "passthru"}}, "driver_opts.macvlan_mode"),
        ("macvlan", {"driver_opts": {"parent": "eth0.4095"}}, "driver_opts.parent"),
        ("macvlan", {"driver_opts": {"parent": "eth 0"}}, "driver_opts.parent"),
        ("macvlan", {"attachable": True, "scope": "local"}, "attachable"),
        ("ipvlan", {"driver_opts": {"ipvlan_mode": "bridge"}}, "driver_opts.ipvlan_mode"),
        ("bridge", {"scope": "swarm"}, "driver"),
        ("bridge", {"attachable": True}, "attachable"),
        ("bridge", {"driver_opts": {"parent": "eth0"}}, "driver_opts.parent"),
        ("overlay", {"scope": "local"}, "scope"),
    ],
)
def test_what_cannot_be_is_refused_with_its_key(driver: str, settings: dict[str, Any], key: str) -> None:
    problems = drivers.REGISTRY["swarm", driver].problems("lan", network(driver, **settings))
    assert [found for found, _ in problems] == [key]


def test_a_parent_belongs_to_one_network() -> None:
    networks = {"lan": LAN, "dmz": {"driver": "ipvlan", "ipam": {"config": [{"subnet": "10.71.0.0/24"}]}}}
    text = f"name: x\nnetworks: {networks}".replace("'", '"')
    assert problem_keys(text) == ["networks.dmz.driver_opts.parent"]


@pytest.mark.parametrize(("mode", "same_node"), [("bridge", True), ("private", False), ("vepa", False)])
def test_the_mode_says_whether_containers_of_one_node_meet(mode: str, same_node: bool) -> None:
    plan = MACVLAN.plan("lan", network("macvlan", driver_opts={"macvlan_mode": mode}), 1500)
    assert (plan.packet_bytes, plan.linked) == (1500, True)
    assert plan.joins("n1", "n1") == same_node
    assert plan.joins("n1", "n2")


@pytest.mark.parametrize(("mode", "linked"), [("l2", True), ("l3", False), ("l3s", False)])
def test_ipvlan_of_layer_3_has_no_link_between_nodes(mode: str, linked: bool) -> None:
    assert IPVLAN.plan("lan", network("ipvlan", driver_opts={"ipvlan_mode": mode}), 1500).linked == linked


# --- bridge


def test_a_bridge_is_a_network_of_its_own_on_each_node() -> None:
    plan = made(PLAIN, driver="bridge")
    assert [network.name for network in plan.networks] == ["lan@n1", "lan@n3"]
    assert {network.base for network in plan.networks} == {"lan"}
    assert list(plan.target("b").networks) == ["lan@n3"]
    assert set(commands(plan, "networks")) == {"n1", "n3"}
    assert plan.joining("n1", plan.target("a").networks, "n3", plan.target("b").networks) == []


def test_nothing_is_scheduled_on_a_bridge() -> None:
    text = f"name: x\nnetworks: {{lan: {{driver: bridge}}}}\nservices: {SCHEDULED}".replace("'", '"')
    assert problem_keys(text) == ["networks.lan.driver"]


def test_two_bridges_of_one_node_join_nobody() -> None:
    networks = {"left": {"driver": "bridge"}, "right": {"driver": "bridge"}}
    services = {"a": {"node": "n1", "networks": ["left"]}, "b": {"node": "n1", "networks": ["right", "left"]}}
    plan = planned("name: x", networks=networks, services=services)
    assert plan.joining("n1", ["left@n1"], "n1", ["right@n1", "left@n1"]) == ["left@n1"]
    assert plan.joining("n1", ["left@n1"], "n1", ["right@n1"]) == []
