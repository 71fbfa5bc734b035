"""A macvlan of the whole swarm, as shipped: names on every node, and what a check is told of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.model.places import data_dir
from tests.cluster_cli import harness

pytestmark = pytest.mark.cluster


def test_names_of_a_swarms_macvlan_resolve_on_every_node(own_engine: None, tmp_path: Path) -> None:
    topology = data_dir("topologies") / "macvlan-swarm.yaml"
    ended = harness("run", topology, "--only", "macvlan", "--runs-dir", tmp_path, "--json")
    assert ended.code == 0, ended.told
    [check] = json.loads(ended.stdout)["checks"]
    observed = {promise["name"]: (promise["expected"], promise["observed"]) for promise in check["promises"]}
    assert observed["names resolve across nodes"] == ("holds", "kept")
    assert observed["names resolve on a node"] == ("holds", "kept")
    assert observed["reached from its own node"] == ("may", "broken")


def test_a_parent_that_a_node_lacks_is_named_with_those_that_it_has(own_engine: None, tmp_path: Path) -> None:
    topology = data_dir("topologies") / "macvlan.yaml"
    other = ("--set", "networks.lan.driver_opts.parent=eth7")
    ended = harness("run", topology, *other, "--only", "connectivity", "--runs-dir", tmp_path)
    assert ended.code == 70, ended.told
    assert "the parent of network lan: n1 has no interface eth7; it has eth0" in ended.stderr
