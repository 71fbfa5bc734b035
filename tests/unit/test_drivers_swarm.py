"""Swarm's network and volume drivers."""

from __future__ import annotations

from typing import Any

import pytest

from harness import drivers
from harness.model.topology import Network, Volume
from harness.promises import promises_of
from tests.planner_topologies import planned

OVERLAY = drivers.REGISTRY["swarm", "overlay"]
LOCAL = drivers.VOLUMES["swarm", "local"]
MTU = "com.docker.network.driver.mtu"
ACROSS_HOSTS = ("shared", "append-loses-nothing", "append-real-time-order", "close-to-open", "exclusive-create")
BIND = {"type": "none", "o": "bind", "device": "/srv/shared"}


def network(**settings: Any) -> Network:
    return Network.model_validate({"driver": "overlay", **settings})


def subnet_problems(**config: str) -> list[str]:
    return [key for key, _ in OVERLAY.problems("app", network(ipam={"config": [config]}))]


@pytest.mark.parametrize(
    ("options", "wire_mtu", "packet_bytes"),
    [
        ({}, 1500, 1450),
        ({}, 9000, 1450),
        ({}, 1400, 1350),
        ({MTU: 1400}, 1500, 1350),
        ({MTU: 9000}, 9000, 8950),
        ({"encrypted": ""}, 1500, 1424),
        ({"encrypted": "", MTU: 1403}, 1500, 1324),
    ],
)
def test_overlay_packets_leave_room_for_every_header(
    options: dict[str, Any], wire_mtu: int, packet_bytes: int
) -> None:
    plan = OVERLAY.plan("app", network(driver_opts=options), wire_mtu)
    assert plan.packet_bytes == packet_bytes
    assert plan.resolves_names


def test_overlay_demands_esp_only_where_it_is_encrypted() -> None:
    assert [demand.feature for demand in OVERLAY.demands("app", network())] == ["vxlan"]
    secret = OVERLAY.demands("app", network(driver_opts={"encrypted": True}))
    assert [(demand.feature, demand.wanted_by) for demand in secret] == [
        ("vxlan", "network app"),
        ("esp", "network app"),
    ]


def test_overlay_passes_every_key_to_the_engine() -> None:
    app = {
        "driver": "overlay",
        "attachable": True,
        "internal": True,
        "ipam": {"config": [{"subnet": "10.60.0.0/16", "gateway": "10.60.0.9", "ip_range": "10.60.1.0/24"}]},
        "driver_opts": {MTU: 1400, "encrypted": ""},
    }
    plan = planned("name: a", networks={"app": app})
    declared = OVERLAY.declare("app", plan.topology.networks["app"], plan)
    assert " ".join(declared.steps[0].argv) == (
        "docker network create --driver overlay --attachable --internal --subnet 10.60.0.0/16 "
        "--ip-range 10.60.1.0/24 --gateway 10.60.0.9 --opt com.docker.network.driver.mtu=1400 --opt encrypted "
        "--label harness.run=r1 harness-r1-app"
    )
    assert declared.steps[0].node == "n1"
    assert declared.stack == {"name": "harness-r1-app", "external": True}
    assert declared.undo[0].argv == ("docker", "network", "rm", "harness-r1-app")


@pytest.mark.parametrize(
    ("config", "keys"),
    [
        ({"subnet": "10.60.0.0/16", "gateway": "10.60.0.1", "ip_range": "10.60.4.0/24"}, []),
        ({"gateway": "10.60.0.1"}, ["ipam.config.0.gateway"]),
        ({"ip_range": "10.60.0.0/24"}, ["ipam.config.0.ip_range"]),
        ({"subnet": "10.60.0.0/16", "gateway": "10.61.0.1"}, ["ipam.config.0.gateway"]),
        ({"subnet": "10.60.0.0/16", "ip_range": "10.61.0.0/24"}, ["ipam.config.0.ip_range"]),
        ({"subnet": "10.0.0.0/16"}, ["ipam.config.0.subnet"]),
        ({"subnet": "fd00::/64"}, ["ipam.config.0.subnet"]),
    ],
)
def test_overlay_refuses_ranges_that_do_not_fit(config: dict[str, str], keys: list[str]) -> None:
    assert subnet_problems(**config) == keys


@pytest.mark.parametrize("options", [{"parent": "eth0"}, {"encrypted": "false"}])
def test_overlay_refuses_options_that_the_engine_would_ignore_or_misread(options: dict[str, str]) -> None:
    keys = [key for key, _ in OVERLAY.problems("app", network(driver_opts=options))]
    assert keys == [f"driver_opts.{next(iter(options))}"]


def test_a_bound_directory_keeps_every_promise_and_is_made_on_every_node() -> None:
    made = planned("name: a", volumes={"data": {"driver_opts": BIND}})
    plan = made.volume("data")
    assert plan.shared
    assert plan.device == "/srv/shared"
    assert plan.promises == promises_of("local", "one-directory", {})
    assert {plan.promises[name][0] for name in ACROSS_HOSTS} == {"holds"}
    makes = [step for step in made.steps if step.phase == "volumes"]
    assert [(step.node, step.argv[-1]) for step in makes] == [(f"n{i}", "/srv/shared") for i in (1, 2, 3)]


def test_a_plain_local_volume_promises_nothing_across_hosts() -> None:
    plan = LOCAL.plan("data", Volume(), None)
    assert not plan.shared
    assert plan.promises == promises_of("local", "own", {})
    assert {plan.promises[name][0] for name in ACROSS_HOSTS} == {"may"}


@pytest.mark.parametrize(
    ("volume", "key"),
    [
        ({"driver_opts": {"type": "tmpfs", "device": "tmpfs"}}, "driver_opts"),
        ({"driver_opts": {"type": "none", "o": "bind"}}, "driver_opts"),
        ({"driver_opts": {**BIND, "device": "relative"}}, "driver_opts"),
        ({"driver_opts": {**BIND, "bricks": 3}}, "driver_opts.bricks"),
        ({"store": "disk", "driver_opts": {"type": "none", "o": "bind", "device": "/x"}}, "driver_opts"),
        ({"access_mode": "ReadWriteMany"}, "access_mode"),
        ({"storage_class": "fast"}, "storage_class"),
    ],
)
def test_local_refuses_what_it_cannot_express(volume: dict[str, Any], key: str) -> None:
    assert [key for key, _ in LOCAL.problems("data", Volume.model_validate(volume))] == [key]
