"""The formats as they are promised: the example of the format, the topologies that travel along, the schema."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness import loader, session
from harness.loader import render_schema
from harness.model.errors import TopologyError
from harness.model.places import data_dir
from harness.session import CATALOG, Options
from tests.loader_jsonschema import accepts

EXAMPLE = Path(__file__).parent / "data" / "contract.yaml"
SCHEMA = files("harness") / "schema" / "topology.schema.json"
TOPOLOGIES = sorted(data_dir("topologies").glob("*.yaml"))


def example() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(EXAMPLE.read_text())
    return loaded


def test_the_example_loads_as_it_is_written() -> None:
    topology = session.topology_of(EXAMPLE, Options())
    assert topology.cluster.nodes.names == ["n1", "n2", "n3"]
    assert topology.services["web"].networks["app"].aliases == ["www"]
    assert topology.services["bare"].network_mode == "host"
    assert [check.kind for check in topology.checks] == ["connectivity", "mtu", "concurrent-append"]
    assert [fault.fault for fault in topology.checks[2].faults] == ["partition"]


def test_the_example_can_be_planned_with_every_target_and_step() -> None:
    plan = session.make_plan(session.topology_of(EXAMPLE, Options()), Options(seed=1), run="r1")
    assert {target.service: target.containers for target in plan.targets} == {
        "web": 3, "edge": 3, "probe": 1, "bare": 1,
    }  # fmt: skip
    assert plan.network("app").packet_bytes == 1450
    assert plan.volume("shared").shared
    assert plan.store("pool").nodes == ("n1", "n2", "n3")
    assert "nft-bridge" in {demand.feature for demand in plan.demands}


def test_the_committed_schema_is_what_harness_schema_prints() -> None:
    assert SCHEMA.read_text() == render_schema(CATALOG), (
        "run: harness schema > harness/schema/topology.schema.json"
    )


def test_the_committed_schema_takes_the_example() -> None:
    assert accepts(json.loads(SCHEMA.read_text()), example())


def test_there_are_topologies() -> None:
    assert "overlay.yaml" in [path.name for path in TOPOLOGIES]


@pytest.mark.parametrize("path", TOPOLOGIES, ids=lambda path: path.name)
def test_every_topology_that_travels_along_is_right_by_loader_and_schema(path: Path) -> None:
    topology = session.topology_of(path, Options())
    assert topology.checks
    assert session.make_plan(topology, Options(), run="r1").steps
    assert accepts(json.loads(SCHEMA.read_text()), yaml.safe_load(path.read_text()))


@pytest.mark.parametrize("path", TOPOLOGIES, ids=lambda path: path.name)
def test_the_promise_matrix_knows_every_option_of_the_topologies_that_travel_along(path: Path) -> None:
    plan = session.make_plan(session.topology_of(path, Options()), Options(), run="r1")
    said = [source for volume in plan.volumes for _, source in volume.promises.values()]
    assert not [source for source in said if "does not know" in source or "not in the promise matrix" in source]


@pytest.mark.parametrize("path", TOPOLOGIES, ids=lambda path: path.name)
def test_every_topology_that_travels_along_tells_editors_where_the_schema_is(path: Path) -> None:
    assert path.read_text().startswith("# yaml-language-server: $schema=../harness/schema/topology.schema.json\n")


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        (
            "cluster.engine",
            'cluster: {engine: "29"}',
            "no engine 29 can be had for container nodes; there is 20.10.24 (bookworm), 26.1.5 (trixie), "
            "28.5.2 (forky), or the beginning of one",
        ),
        (
            "cluster.engine",
            "cluster: {engine: 28.5, provider: vagrant}",
            "hosts of provider vagrant have engines of their own: leave it out",
        ),
        (
            "cluster.engine",
            "cluster: {engine: 20.10}\nstores: {pool: {kind: glusterfs, nodes: [n1, n2, n3]}}",
            "the servers of stores are built for nodes with engine 26.1.5 only: leave it out",
        ),
        (
            "cluster.inventory",
            "cluster: {inventory: hosts.yaml}",
            "provider docker makes its own hosts: leave it out",
        ),
    ],
)
def test_what_nothing_acts_on_is_refused_and_not_dropped(key: str, text: str, message: str) -> None:
    with pytest.raises(TopologyError) as caught:
        loader.loads(f"name: x\nservices: {{a: {{}}}}\n{text}\n", "x.yaml", CATALOG)
    problem = next(p for p in caught.value.problems if p.key == key)
    assert (problem.line, problem.message) == (3, message)


@pytest.mark.parametrize("written", ["20.10", '"20.10"', "20", "26.1.5"])
def test_a_version_is_taken_as_it_is_written(written: str) -> None:
    """20.10 is a number to YAML, and the same as 20.1."""
    text = f"name: x\nservices: {{a: {{}}}}\ncluster: {{engine: {written}}}\n"
    assert loader.loads(text, "x.yaml", CATALOG).cluster.engine == written.strip('"')
    laid = loader.loads("name: x\nservices: {a: {}}\n", "x.yaml", CATALOG, [("cluster.engine", written)])
    assert laid.cluster.engine == written.strip('"')
    assert accepts(json.loads(SCHEMA.read_text()), yaml.safe_load(text)), "editors take it as well"
