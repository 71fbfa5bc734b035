"""Macvlan for real: it passes as shipped, and what is broken on purpose is named."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import pytest

from harness.session import Bench
from tests.cluster_bench import container, done, live_bench

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def lan(own_engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with live_bench("macvlan", tmp_path_factory.mktemp("lan")) as made:
        yield made


@contextmanager
def changed(bench: Bench, name: str, new: Sequence[str], old: Sequence[str]) -> Iterator[None]:
    """A container's interface has other settings (words of `ip link set`) for a while."""
    victim = container(bench, name)
    enter = ["nsenter", f"--net=/proc/{victim.pid}/ns/net", "ip", "link", "set", "dev", "eth0"]
    host = bench.live.cluster.hosts[victim.node]
    done(host, [*enter, *new])
    try:
        yield
    finally:
        done(host, [*enter, *old])


def forget(bench: Bench, name: str) -> None:
    """The wire no longer knows where `name` was: what was seen just before a check counts as seen during it,
    since a bridge has a clock of whole seconds.
    """
    wire, victim = bench.live.cluster.wire, container(bench, name)
    assert wire is not None
    mac = victim.networks["lan"].mac
    wire.host.run(["bridge", "fdb", "del", mac, "dev", wire.port(victim.node), "master"], timeout_s=10)


def test_macvlan_passes_and_shows_the_kernels_limit(lan: Bench) -> None:
    verdict = lan.check("macvlan")
    assert verdict.verdict == "pass", verdict.reason
    observed = {promise.name: promise.observed for promise in verdict.promises}
    assert observed == {
        "reached from its own node": "broken",
        "reached through a shim": "kept",
        "names resolve across nodes": "broken",
        "names resolve on a node": "kept",
    }
    assert lan.problems() == []


def test_a_mac_that_is_not_the_one_of_the_engine_is_named(lan: Bench) -> None:
    own = container(lan, "b1").networks["lan"].mac
    with changed(lan, "b1", ["address", "02:42:0a:46:00:99"], ["address", own]):
        forget(lan, "b1")
        verdict = lan.check("macvlan")
    assert verdict.verdict == "fail"
    assert "b1: its MAC was not seen on the wire" in verdict.reason


def test_mode_private_where_bridge_was_promised_is_named(lan: Bench) -> None:
    mode = ("type", "macvlan", "mode")
    with changed(lan, "a2", [*mode, "private"], [*mode, "bridge"]):
        verdict = lan.check("macvlan")
    assert verdict.verdict == "fail"
    assert {("a1", "a2"), ("a2", "a1")} <= {(failure.source, failure.target) for failure in verdict.failures}
    assert "reached through a shim: n1 -> a2: timeout" in verdict.reason


def test_a_macvlan_where_ipvlan_in_layer_3_was_promised_is_named(
    lan: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check of ipvlan on a kernel that may have none: its commands work, and what they find is told."""
    live = lan.live
    promised = [replace(network, driver="ipvlan", linked=False) for network in live.plan.networks]
    monkeypatch.setattr(lan, "live", replace(live, plan=replace(live.plan, networks=tuple(promised))))
    verdict = lan.check("ipvlan", timeout_s=2)
    assert verdict.verdict == "fail"
    assert "a1: its interface is no ipvlan but macvlan" in verdict.reason
    assert verdict.wrong == len(live.plan.targets)
    assert verdict.failures == ()
    assert verdict.promises[0].of > 0
    for host in live.cluster.hosts.values():
        assert "10.70.0." not in done(host, ["ip", "route", "show"])


def test_nothing_of_a_check_stays_on_the_nodes(lan: Bench) -> None:
    lan.check("macvlan")
    for host in lan.live.cluster.hosts.values():
        left = done(host, ["ip", "-brief", "address"])
        assert "harness-shim" not in left
        assert "10.70.0." not in left
