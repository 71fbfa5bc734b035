"""What every network and volume driver keeps to: pure, demands that can be probed, steps that name real nodes."""

from __future__ import annotations

import subprocess
from dataclasses import asdict

import pytest

from harness import drivers
from harness.features import CNI, FEATURES
from harness.model.plan import Plan
from harness.model.topology import Network, Volume
from harness.ports import Declared
from harness.session import CATALOG
from tests.planner_topologies import planned

#: What each driver is given, beside its defaults.
NETWORKS = [
    {},
    {"internal": True},
    {"ipam": {"config": [{"subnet": "10.9.0.0/16"}]}},
]
VOLUMES = [{}, {"driver_opts": {"type": "none", "o": "bind", "device": "/srv/shared"}}]

networks = pytest.mark.parametrize("key", sorted(drivers.REGISTRY), ids="/".join)
volumes = pytest.mark.parametrize("key", sorted(drivers.VOLUMES), ids="/".join)


@pytest.fixture(autouse=True)
def no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object, **_options: object) -> None:
        raise AssertionError("a driver is pure")

    monkeypatch.setattr(subprocess, "Popen", refuse)


@networks
@pytest.mark.parametrize("settings", NETWORKS, ids=str)
def test_a_network_is_planned_the_same_way_twice(key: tuple[str, str], settings: dict[str, object]) -> None:
    driver, network = drivers.REGISTRY[key], Network.model_validate({"driver": key[1], **settings})
    first, again = (driver.plan("app", network, 1500) for _ in range(2))
    assert first == again
    assert (first.name, first.driver, first.internal) == ("app", key[1], network.internal)
    assert 68 <= first.packet_bytes <= 1500
    is_clusters = key == ("kubernetes", "overlay")  # whose pods have the cluster's addresses
    assert first.subnets == (() if is_clusters else tuple(network.subnets))


@networks
@pytest.mark.parametrize("settings", NETWORKS, ids=str)
def test_a_networks_demands_can_be_probed_and_name_the_network(
    key: tuple[str, str], settings: dict[str, object]
) -> None:
    driver, network = drivers.REGISTRY[key], Network.model_validate({"driver": key[1], **settings})
    demands = driver.demands("app", network)
    assert demands == driver.demands("app", network)
    assert all(demand.feature in FEATURES or demand.feature.startswith(CNI) for demand in demands)
    assert {demand.wanted_by for demand in demands} <= {"network app"}
    assert driver.problems("app", network) == []


@networks
def test_a_network_is_declared_on_nodes_of_the_plan_and_undone(key: tuple[str, str]) -> None:
    plan, driver = planned(), drivers.REGISTRY[key]
    network = plan.topology.networks["app"]
    declared = driver.declare("app", network, plan)
    assert declared == driver.declare("app", network, plan)
    _runs_on(declared, plan)
    assert declared.undo or not _makes(declared)


@volumes
@pytest.mark.parametrize("settings", VOLUMES, ids=str)
def test_a_volume_is_planned_the_same_way_twice_with_sourced_promises(
    key: tuple[str, str], settings: dict[str, object]
) -> None:
    driver, volume = drivers.VOLUMES[key], Volume.model_validate({"driver": key[1], **settings})
    planned_volume = driver.plan("shared", volume, None)
    assert planned_volume == driver.plan("shared", volume, None)
    assert {expected for expected, _ in planned_volume.promises.values()} <= {"holds", "may", "opt", "unproven"}
    assert all(source for _, source in planned_volume.promises.values())
    assert planned_volume.shared == (planned_volume.promises["shared"][0] == "holds")


@volumes
@pytest.mark.parametrize("settings", VOLUMES, ids=str)
def test_a_volume_is_declared_on_nodes_of_the_plan_and_undone(
    key: tuple[str, str], settings: dict[str, object]
) -> None:
    driver, volume, plan = drivers.VOLUMES[key], Volume.model_validate({"driver": key[1], **settings}), planned()
    declared = driver.declare("shared", volume, plan)
    assert declared == driver.declare("shared", volume, plan)
    _runs_on(declared, plan)
    assert declared.undo or not _makes(declared)
    assert {demand.feature for demand in driver.demands("shared", volume)} <= set(FEATURES)


def _makes(declared: Declared) -> bool:
    """Whether something is made that was not there: a directory that all nodes share stays, with what is in it."""
    return any(step.argv[0] != "mkdir" for step in declared.steps)


def _runs_on(declared: Declared, plan: Plan) -> None:
    nodes = {node.name for node in plan.nodes}
    documents = {document.name for document in declared.documents}
    for step in (*declared.steps, *declared.undo):
        assert step.node in nodes
        assert step.timeout_s > 0
        assert step.argv
        assert not step.document or step.document in documents


def test_every_driver_stands_in_the_catalogue_and_no_more() -> None:
    assert CATALOG.network_drivers.built == {name for _, name in drivers.REGISTRY}
    assert CATALOG.volume_drivers.built == {name for _, name in drivers.VOLUMES}
    assert not CATALOG.network_drivers.built & CATALOG.network_drivers.later


def test_the_plan_of_a_topology_is_the_same_twice() -> None:
    assert asdict(planned()) == asdict(planned())
