"""Overlay tables for real: all nodes agree, and what is stale or missing is named with its node."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from harness.model.topology import Fault
from harness.session import Bench
from harness.transport.recorder import read_history
from tests.cluster_bench import container, containers, done, live_bench

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def overlays(own_engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with live_bench("overlay-isolation", tmp_path_factory.mktemp("overlays")) as made:
        yield made


@contextmanager
def changed(bench: Bench, node: str, change: Sequence[str], undo: Sequence[str]) -> Iterator[None]:
    """Change a node's tables of the network `front` behind the engine's back."""
    live = bench.live
    host = live.cluster.hosts[node]
    found = done(host, ("docker", "network", "inspect", "--format", "{{.Id}}", live.plan.engine_name("front")))
    inside = ["nsenter", f"--net=/run/docker/netns/1-{found[:10]}"]
    done(host, [*inside, *change])
    try:
        yield
    finally:
        done(host, [*inside, *undo])


def test_a_stale_neighbour_is_named_with_its_node(overlays: Bench) -> None:
    stale = ("10.63.0.250", "dev", "vxlan0")
    add = ("ip", "neigh", "add", *stale, "lladdr", "02:42:0a:3f:00:fa", "nud", "permanent")
    with changed(overlays, "n2", add, ("ip", "neigh", "del", *stale)):
        verdict = overlays.check("consistency", service="web", flaps=0, within_s=1)
    assert verdict.verdict == "fail"
    assert "front on n2: its neighbours still have 10.63.0.250" in verdict.reason
    assert "front on n1" not in verdict.reason


def test_a_missing_row_is_named_and_after_it_all_agree_again(overlays: Bench) -> None:
    there = container(overlays, "edge.n1")
    address = overlays.live.cluster.hosts["n1"].address
    row = (there.networks["front"].mac, "dev", "vxlan0", "dst", address)
    remove = ("bridge", "fdb", "del", *row, "self")
    with changed(overlays, "n3", remove, ("bridge", "fdb", "append", *row, "self", "permanent")):
        verdict = overlays.check("consistency", service="web", flaps=0, within_s=1)
    assert verdict.verdict == "fail"
    assert "front on n3: its FDB lacks edge.n1" in verdict.reason
    assert overlays.check("consistency", service="web").verdict == "pass"
    assert overlays.problems() == []


def test_an_update_replaces_every_container_and_names_follow(overlays: Bench) -> None:
    before = {name: container(overlays, name).id for name in ("web.1", "web.2", "web.3")}
    verdict = overlays.check("recovery", update="web", hold_s=1, stable_s=0.5)
    assert verdict.verdict == "pass", verdict.reason
    assert all(container(overlays, name).id != id for name, id in before.items())


def test_a_node_that_dies_under_open_connections_fails_over(overlays: Bench) -> None:
    """Longer than Swarm takes to call it Down, so that its replicas are made elsewhere and stay there."""
    before = containers(overlays)
    lost = {each.id for each in before if each.node == "n3"}
    assert any(each.service == "web" for each in before if each.id in lost)
    kill = Fault(fault="kill", target="n3", at_s=1, hold_s=12)
    verdict = overlays.check("recovery", inject=[kill], hold_s=1, stable_s=1)
    assert verdict.verdict == "pass", verdict.reason
    assert verdict.figures["connections_died"] > 0
    web = containers(overlays, "web")
    assert {each.node for each in web} == {"n1", "n2"}
    assert len(web) == 3
    after = {each.id for each in containers(overlays)}
    assert not lost & after
    assert {each.id for each in before} - lost <= after
    assert overlays.problems() == []


def test_a_drained_node_is_emptied_felt_and_given_back(overlays: Bench) -> None:
    drain = Fault(fault="drain", target="n3", at_s=0.2, hold_s=5)
    verdict = overlays.check("recovery", inject=[drain], hold_s=1, stable_s=0.5)
    assert verdict.verdict == "pass", verdict.reason
    live = overlays.live
    nodes = done(live.cluster.hosts["n1"], ("docker", "node", "ls", "--format", "{{.Availability}}")).split()
    assert nodes == ["Active"] * 3
    felt = read_history(overlays.folder).only(check=verdict.id, f="felt")
    assert {(row.key, row.outcome) for row in felt.ops()} == {("drain", "ok")}
