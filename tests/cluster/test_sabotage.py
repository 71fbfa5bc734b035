"""Sabotage on a live cluster: what is broken on purpose is found and named, and the same check passes without."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import permutations

import pytest

from harness.model.verdict import Verdict
from harness.ports import Act, Cluster, Host
from harness.session import Bench
from tests.cluster_bench import container, done, listening

TIMEOUT_S = 20.0
AGENT_PORT = 7799
VXLAN = "udp dport 4789"
#: A listener that is not ours: it speaks first, and nothing that the agent understands.
FOREIGN = f"""
import socket
server = socket.create_server(("", {AGENT_PORT}))
print("listening", flush=True)
while True:
    server.accept()[0].sendall(b"220 ready\\r\\n")
"""


def wire(cluster: Cluster) -> Host:
    assert cluster.wire is not None
    return cluster.wire.host


def port(cluster: Cluster, node: str) -> str:
    assert cluster.wire is not None
    return cluster.wire.port(node)


def pairs(verdict: Verdict, *via: str) -> set[tuple[str, str]]:
    return {(failure.source, failure.target) for failure in verdict.failures if failure.via in via}


@contextmanager
def dropped_one_way(cluster: Cluster, source: str, target: str) -> Iterator[str]:
    """VXLAN frames from one node to another are dropped; the way back and Swarm's own talk are left alone."""
    table = f"{cluster.name}-test"
    rule = f'iifname "{port(cluster, source)}" oifname "{port(cluster, target)}" {VXLAN} counter drop'
    text = f"table bridge {table} {{ chain forward {{ type filter hook forward priority 0; {rule}; }}; }}\n"
    done(wire(cluster), ["nft", "-f", "-"], text)
    try:
        yield table
    finally:
        done(wire(cluster), ["nft", "delete", "table", "bridge", table])


def in_network_of(bench: Bench, name: str, *argv: str) -> list[str]:
    return ["nsenter", f"--net=/proc/{container(bench, name).pid}/ns/net", *argv]


@contextmanager
def redirected(bench: Bench, source: str, wrong: str, instead_of: str) -> Iterator[None]:
    """What `source` sends to the agent's port of one container reaches another one."""
    host = bench.live.cluster.hosts[container(bench, source).node]
    right_ip, wrong_ip = (container(bench, name).networks["app"].ip for name in (instead_of, wrong))
    rule = ["OUTPUT", "-d", right_ip, "-p", "tcp", "--dport", str(AGENT_PORT)]
    rule += ["-j", "DNAT", "--to-destination", f"{wrong_ip}:{AGENT_PORT}"]
    done(host, in_network_of(bench, source, "iptables", "-t", "nat", "-A", *rule))
    try:
        yield
    finally:
        done(host, in_network_of(bench, source, "iptables", "-t", "nat", "-D", *rule))


def foreign_listener(bench: Bench, name: str) -> AbstractContextManager[None]:
    """Somebody else has the agents' port in a container's network, before the agent comes."""
    host = bench.live.cluster.hosts[container(bench, name).node]
    return listening(host, in_network_of(bench, name, "python3", "-c", FOREIGN))


@contextmanager
def smaller_mtu(cluster: Cluster, node: str, mtu: int) -> Iterator[None]:
    link = port(cluster, node)
    done(wire(cluster), ["ip", "link", "set", link, "mtu", str(mtu)])
    try:
        yield
    finally:
        done(wire(cluster), ["ip", "link", "set", link, "mtu", "1500"])


@contextmanager
def stopped(bench: Bench, name: str) -> Iterator[None]:
    victim = container(bench, name)
    host = bench.live.cluster.hosts[victim.node]
    done(host, ["docker", "stop", "-t", "1", victim.id])
    try:
        yield
    finally:
        act = Act("start", victim.service, container=name)
        live = bench.live
        live.orchestrator.perform(live.cluster, live.plan, act, victim, timeout_s=TIMEOUT_S)


def test_control_everything_passes(healthy: Bench) -> None:
    for kind in ("connectivity", "mtu"):
        verdict = healthy.check(kind)
        assert verdict.verdict == "pass", verdict.reason


def test_vxlan_dropped_one_way_times_out_on_exactly_the_pairs_across_it(healthy: Bench) -> None:
    cluster = healthy.live.cluster
    with dropped_one_way(cluster, "n1", "n3") as table:
        verdict = healthy.check("connectivity", attempts=1)
        dropped = done(wire(cluster), ["nft", "list", "table", "bridge", table])

    assert verdict.verdict == "fail"
    # an answer needs both ways
    assert pairs(verdict, "ip", "name") == {("web.n1", "web.n3"), ("web.n3", "web.n1")}
    assert {failure.got for failure in verdict.failures} == {"timeout"}
    assert {failure.protocol for failure in verdict.failures} == {"icmp", "tcp", "udp"}
    assert "counter packets 0 " not in dropped
    assert healthy.check("connectivity", protocols=["tcp"]).verdict == "pass"


def test_an_answer_from_the_wrong_peer_is_no_answer(healthy: Bench) -> None:
    with redirected(healthy, "web.n1", wrong="web.n3", instead_of="probe"):
        verdict = healthy.check("connectivity", protocols=["tcp", "udp"])

    assert verdict.verdict == "fail"
    assert {(f.source, f.target, f.protocol, f.got) for f in verdict.failures if f.via == "ip"} == {
        ("web.n1", "probe", "tcp", "wrong-peer")
    }
    assert "answered by web.n3" in verdict.reason
    assert healthy.check("connectivity", protocols=["tcp"]).verdict == "pass"


def test_a_foreign_listener_leaves_the_peer_unverified(healthy: Bench) -> None:
    with foreign_listener(healthy, "probe"):
        verdict = healthy.check("connectivity", protocols=["tcp"], attempts=1)

    assert verdict.verdict == "unknown", verdict.reason
    assert "-> probe via ip (tcp): peer unverified" in verdict.reason
    assert healthy.check("connectivity", protocols=["tcp"]).verdict == "pass"


def test_a_smaller_mtu_on_the_wire_is_found_with_the_exact_sizes(healthy: Bench) -> None:
    with smaller_mtu(healthy.live.cluster, "n3", 1400):
        verdict = healthy.check("mtu", network="app", timeout_s=0.5)

    assert verdict.verdict == "fail"
    packets = [failure for failure in verdict.failures if "bytes to pass" in failure.expected]
    nodes = {name: container(healthy, name).node for name in ("web.n1", "web.n2", "web.n3", "probe")}
    across = {(nodes[failure.source], nodes[failure.target]) for failure in packets}
    assert across == {pair for pair in permutations(("n1", "n2", "n3"), 2) if "n3" in pair}
    assert {failure.expected for failure in packets} == {"1450 bytes to pass"}
    assert healthy.check("mtu", network="app").figures["app_packet_bytes"] == 1450


def test_a_stopped_container_is_named(healthy: Bench) -> None:
    with stopped(healthy, "probe"):
        verdict = healthy.check("connectivity", protocols=["tcp"])

    assert verdict.verdict == "fail"
    assert "probe: 0 of 1 containers run" in verdict.reason
    _await_health(healthy)
    assert healthy.check("connectivity", protocols=["tcp"]).verdict == "pass"


def _await_health(bench: Bench) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while bench.problems() and time.monotonic() < deadline:
        time.sleep(0.2)


@pytest.mark.parametrize(
    ("shim", "promise"),
    [
        ("lost", "append-loses-nothing"),
        ("duplicated", "append-no-duplicates"),
        ("torn", "append-not-torn"),
        ("reordered", "append-real-time-order"),
    ],
)
def test_a_bug_in_writes_is_caught_by_the_name_of_its_promise(healthy: Bench, shim: str, promise: str) -> None:
    verdict = healthy.check("concurrent-append", volume="shared", duration_s=1, rate_per_s=500, shim=shim)

    broken = {p.name: p.witness for p in verdict.promises if p.observed == "broken"}
    assert verdict.verdict == "fail"
    assert promise in broken
    assert f"{promise} is broken" in verdict.reason
    assert "(volume shared)" in broken[promise]


def test_control_writes_without_a_bug_keep_every_promise(healthy: Bench) -> None:
    verdict = healthy.check("concurrent-append", volume="shared", duration_s=1, rate_per_s=500)

    assert verdict.verdict == "pass", verdict.reason
    assert {p.observed for p in verdict.promises} == {"kept"}
