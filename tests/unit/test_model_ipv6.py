"""IPv6 in a topology: what drivers make of it, what they refuse, and how nodes share a subnet."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from harness import drivers
from harness.model.plan import plan_from_json, plan_to_json
from harness.model.subnets import node_slices6
from harness.model.topology import IpamConfig, Network
from tests.planner_topologies import planned, problem_keys

V4, V6 = {"subnet": "10.75.0.0/24"}, {"subnet": "fd00:75::/64"}
MTU = "com.docker.network.driver.mtu"


def network(driver: str, *configs: dict[str, str], **settings: Any) -> Network:
    return Network.model_validate({"driver": driver, "ipam": {"config": list(configs)}, **settings})


def problems(driver: str, *configs: dict[str, str], **settings: Any) -> list[str]:
    found = drivers.REGISTRY["swarm", driver].problems("lan", network(driver, *configs, **settings))
    return [key for key, _ in found]


def commands(driver: str, services: dict[str, Any]) -> list[str]:
    lan = {"driver": driver, "enable_ipv6": True, "ipam": {"config": [V4, V6]}}
    plan = planned("name: x", networks={"lan": lan}, services=services)
    return [
        " ".join(step.argv) for step in plan.steps if step.argv[:2] in (("docker", "network"), ("docker", "run"))
    ]


# --- how nodes share a subnet


@pytest.mark.parametrize("nodes", [1, 3, 8, 64])
@pytest.mark.parametrize(
    "config", [V6, {"subnet": "fd00::/48", "ip_range": "fd00:0:0:7::/112"}, {"subnet": "fd00::/116"}]
)
def test_parts_are_aligned_apart_and_in_the_range(config: dict[str, str], nodes: int) -> None:
    parts = node_slices6(IpamConfig(**config), nodes)
    whole = ipaddress.IPv6Network(config.get("ip_range", config["subnet"]))
    assert len(parts) == nodes + 1
    assert all(part.subnet_of(whole) and part.num_addresses <= 1 << 16 for part in parts)
    assert not any(a.overlaps(b) for i, a in enumerate(parts) for b in parts[i + 1 :])


def test_a_range_that_is_too_small_is_a_problem_of_the_topology() -> None:
    with pytest.raises(ValueError, match="too few to share among 3 nodes"):
        node_slices6(IpamConfig(subnet="fd00::/125"), 3)
    config = '{subnet: 10.75.0.0/24}, {subnet: "fd00::/125"}'
    text = f"name: x\nnetworks: {{lan: {{driver: macvlan, enable_ipv6: true, ipam: {{config: [{config}]}}}}}}"
    assert problem_keys(text) == ["networks.lan.ipam"]


# --- what is made


def test_a_macvlan_has_a_part_of_each_family_on_each_node() -> None:
    made = commands(
        "macvlan", {"a": {"node": "n1", "networks": ["lan"]}, "b": {"node": "n2", "networks": ["lan"]}}
    )
    ranges = "--ipv6 --subnet 10.75.0.0/24 --ip-range {} --subnet fd00:75::/64 --ip-range {} "
    assert ranges.format("10.75.0.0/26", "fd00:75::/112") in made[0]
    assert ranges.format("10.75.0.64/26", "fd00:75::1:0/112") in made[1]


def test_a_macvlan_of_the_swarm_has_ipv6_in_its_configurations_alone() -> None:
    """The engine refuses it beside --config-from, and takes it from there."""
    made = commands("macvlan", {"web": {"deploy": {"replicas": 2}, "networks": ["lan"]}})
    assert ["--ipv6" in command for command in made if "--config-only" in command] == [True] * 3
    assert ["--ipv6" in command for command in made if "--config-from" in command] == [False]


def test_a_bridge_and_a_fixed_address() -> None:
    made = commands("bridge", {"a": {"node": "n1", "networks": {"lan": {"ipv6_address": "fd00:75::9"}}}})
    assert "--driver bridge --ipv6 --subnet 10.75.0.0/24 --subnet fd00:75::/64" in made[0]
    assert "alias=a,ip6=fd00:75::9" in made[1]


@pytest.mark.parametrize(("driver", "named"), [("bridge", True), ("macvlan", False), ("ipvlan", False)])
def test_the_plan_says_who_has_ipv6_and_whether_names_lead_to_it(driver: str, named: bool) -> None:
    plan = drivers.REGISTRY["swarm", driver].plan("lan", network(driver, V4, V6, enable_ipv6=True), 1500)
    assert (plan.families, plan.resolves_ipv6) == ((4, 6), named)
    without = drivers.REGISTRY["swarm", driver].plan("lan", network(driver, V4), 1500)
    assert (without.families, without.resolves_ipv6) == ((4,), False)


def test_ipv6_is_asked_of_the_kernel_and_survives_the_disk() -> None:
    lan = {"driver": "bridge", "enable_ipv6": True, "ipam": {"config": [V6]}}
    plan = planned("name: x", networks={"lan": lan}, services={"a": {"node": "n1", "networks": ["lan"]}})
    assert ("ipv6", "network lan") in {(demand.feature, demand.wanted_by) for demand in plan.demands}
    assert plan_from_json(plan_to_json(plan)) == plan


# --- what is refused


@pytest.mark.parametrize("driver", ["bridge", "macvlan", "ipvlan"])
@pytest.mark.parametrize(
    ("configs", "settings", "keys"),
    [
        ([V4, V6], {"enable_ipv6": True}, []),
        ([V4, {**V6, "ip_range": "fd00:75::/80", "gateway": "fd00:75::1"}], {"enable_ipv6": True}, []),
        ([V4], {"enable_ipv6": True}, ["enable_ipv6"]),
        ([V4, V6], {}, ["ipam.config.1.subnet"]),
        ([V4, V6, {"subnet": "fd00:76::/64"}], {"enable_ipv6": True}, ["ipam.config.2.subnet"]),
        ([V4, {**V6, "ip_range": "10.75.0.0/25"}], {"enable_ipv6": True}, ["ipam.config.1.ip_range"]),
        ([V4, {**V6, "ip_range": "fd00:76::/80"}], {"enable_ipv6": True}, ["ipam.config.1.ip_range"]),
        ([V4, {**V6, "gateway": "10.75.0.1"}], {"enable_ipv6": True}, ["ipam.config.1.gateway"]),
    ],
)
def test_halves_of_a_dual_stack_are_refused(
    driver: str, configs: list[dict[str, str]], settings: dict[str, Any], keys: list[str]
) -> None:
    assert problems(driver, *configs, **settings) == keys


def test_a_link_that_is_too_small_for_ipv6_is_refused() -> None:
    assert problems("bridge", V6, enable_ipv6=True, driver_opts={MTU: 1279}) == ["enable_ipv6"]
    assert problems("bridge", V6, enable_ipv6=True, driver_opts={MTU: 1280}) == []


@pytest.mark.parametrize(
    ("configs", "settings", "keys"),
    [
        ([V4, V6], {"enable_ipv6": True}, ["enable_ipv6"]),
        ([V6], {"enable_ipv6": True}, ["enable_ipv6"]),
        ([], {"enable_ipv6": True}, ["enable_ipv6"]),
        ([V4, V6], {}, ["ipam.config.1.subnet"]),
    ],
)
def test_an_overlay_has_none_and_says_why(
    configs: list[dict[str, str]], settings: dict[str, Any], keys: list[str]
) -> None:
    found = drivers.REGISTRY["swarm", "overlay"].problems("app", network("overlay", *configs, **settings))
    assert [key for key, _ in found] == keys
    assert all("for-linux issue 973" in message and "bridge and macvlan" in message for _, message in found)


@pytest.mark.parametrize(
    ("attachment", "key"),
    [
        ("ipv6_address: 10.75.0.9", "ipv6_address"),
        ('ipv4_address: "fd00:75::9"', "ipv4_address"),
        ('ipv6_address: "fd00:76::9"', "ipv6_address"),
        ("ipv6_address: here", "ipv6_address"),
    ],
)
def test_a_fixed_address_is_one_of_its_family_and_subnet(attachment: str, key: str) -> None:
    text = f"""
name: x
networks:
  lan:
    driver: bridge
    enable_ipv6: true
    ipam: {{config: [{{subnet: 10.75.0.0/24}}, {{subnet: "fd00:75::/64"}}]}}
services:
  a: {{node: n1, networks: {{lan: {{{attachment}}}}}}}
"""
    assert problem_keys(text) == [f"services.a.networks.lan.{key}"]
