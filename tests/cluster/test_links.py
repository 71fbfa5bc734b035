"""Macvlan for real: it passes as shipped, and what is broken on purpose is named."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from harness import session
from harness.model.places import data_dir
from harness.session import Bench, Options

pytestmark = pytest.mark.cluster
TIMEOUT_S = 20.0


def quiet(_line: str) -> None:
    pass


@pytest.fixture(scope="module")
def lan(own_engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A live cluster with topologies/macvlan.yaml."""
    options = Options(seed=1)
    topology = session.topology_of(data_dir("topologies") / "macvlan.yaml", options)
    live = session.up(session.make_plan(topology, options, run=session.new_run()), quiet)
    try:
        with Bench(live, tmp_path_factory.mktemp("lan"), quiet) as made:
            yield made
    finally:
        session.down(live.cluster.name)


@contextmanager
def other_mac(bench: Bench, name: str, mac: str) -> Iterator[None]:
    """A container's interface has another MAC for a while."""
    live = bench.live
    victim = next(c for c in live.orchestrator.containers(live.cluster, live.plan) if c.name == name)
    host, inside = live.cluster.hosts[victim.node], ["nsenter", f"--net=/proc/{victim.pid}/ns/net"]
    own = victim.networks["lan"].mac
    for address in (mac, own):
        result = host.run([*inside, "ip", "link", "set", "eth0", "address", address], timeout_s=TIMEOUT_S)
        assert result.ok, result.output
        if address == mac:
            yield


def test_macvlan_passes_and_shows_the_kernels_limit(lan: Bench) -> None:
    verdict = lan.check("macvlan")
    assert verdict.verdict == "pass", verdict.reason
    observed = {promise.name: promise.observed for promise in verdict.promises}
    assert observed == {
        "reached from its own node": "broken",
        "reached through a shim": "kept",
        "names resolve across nodes": "broken",
    }
    assert lan.problems() == []


def test_a_mac_that_is_not_the_one_of_the_engine_is_named(lan: Bench) -> None:
    with other_mac(lan, "b1", "02:42:0a:46:00:99"):
        verdict = lan.check("macvlan")
    assert verdict.verdict == "fail"
    assert "b1: its MAC was not seen on the wire" in verdict.reason


def test_nothing_of_a_check_stays_on_the_nodes(lan: Bench) -> None:
    lan.check("macvlan")
    for host in lan.live.cluster.hosts.values():
        result = host.run(["ip", "-brief", "address"], timeout_s=TIMEOUT_S)
        assert "harness-shim" not in result.stdout
        assert "10.70.0." not in result.stdout
