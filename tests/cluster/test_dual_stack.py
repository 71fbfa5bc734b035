"""Both families for real: the topology passes as shipped, and what only IPv6 loses is named with its family."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from harness.session import Bench
from tests.cluster_bench import container, done, live_bench

pytestmark = pytest.mark.cluster

#: What asks, and nothing of what answers: so the way back stays open.
QUESTIONS = (
    "icmpv6 type echo-request drop",
    "tcp flags & (syn | ack) == syn drop",
    "udp dport 7799 drop",
)


@pytest.fixture(scope="module")
def dual(own_engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with live_bench("dual-stack", tmp_path_factory.mktemp("dual")) as made:
        yield made


@contextmanager
def in_network_of(bench: Bench, name: str, *rules: str) -> Iterator[None]:
    """Rules of nft on what comes in to a container, from its node."""
    where = container(bench, name)
    host = bench.live.cluster.hosts[where.node]
    enter = ["nsenter", f"--net=/proc/{where.pid}/ns/net", "nft"]
    chain = "type filter hook input priority 0; " + "; ".join(rules)
    done(host, [*enter, "-f", "-"], f"table inet sabotage {{ chain c {{ {chain}; }}; }}\n")
    try:
        yield
    finally:
        done(host, [*enter, "delete", "table", "inet", "sabotage"])


@pytest.mark.parametrize("kind", ["connectivity", "isolation", "mtu"])
def test_it_passes_as_shipped(dual: Bench, kind: str) -> None:
    verdict = dual.check(kind)
    assert verdict.verdict == "pass", verdict.reason
    if kind == "mtu":
        assert verdict.figures == {"lan_packet_bytes": 1500, "lan_ipv6_packet_bytes": 1500}
    assert dual.problems() == []


def test_engines_hand_out_addresses_of_both_families_that_differ(dual: Bench) -> None:
    on_lan = [container(dual, name).networks["lan"] for name in ("a1", "b1", "c1")]
    assert len({address.ip for address in on_lan}) == 3
    assert len({address.ip6 for address in on_lan} - {""}) == 3
    assert container(dual, "web").networks["front@n1"].ip6 == "fd00:85::80"


def test_ipv6_dropped_one_way_is_named_with_its_family_and_direction(dual: Bench) -> None:
    asker = container(dual, "a1").networks["lan"].ip6
    with in_network_of(dual, "b1", *(f"ip6 saddr {asker} {rule}" for rule in QUESTIONS)):
        verdict = dual.check("connectivity", attempts=1)

    assert verdict.verdict == "fail"
    assert {(f.source, f.target, f.family, f.got) for f in verdict.failures} == {("a1", "b1", 6, "timeout")}
    assert {f.protocol for f in verdict.failures} == {"icmp", "tcp", "udp"}
    assert "ipv6" in verdict.reason


def test_a_packet_size_that_only_ipv6_loses_is_named(dual: Bench) -> None:
    with in_network_of(dual, "c1", "meta nfproto ipv6 meta length > 1400 drop"):
        verdict = dual.check("mtu", network="lan")

    assert verdict.verdict == "fail"
    sized = [failure for failure in verdict.failures if failure.protocol == "df"]
    assert {failure.family for failure in sized} == {6}
    assert all("c1" in (failure.source, failure.target) for failure in sized)


def test_an_address_that_a_container_lost_is_missed(dual: Bench) -> None:
    victim = container(dual, "far")
    ip6 = victim.networks["front@n2"].ip6
    host = dual.live.cluster.hosts[victim.node]
    enter = ["nsenter", f"--net=/proc/{victim.pid}/ns/net", "ip", "-6", "address"]
    done(host, [*enter, "del", f"{ip6}/64", "dev", "eth0"])
    try:
        verdict = dual.check("connectivity", attempts=1)
    finally:
        done(host, [*enter, "add", f"{ip6}/64", "dev", "eth0", "nodad"])

    assert verdict.verdict == "fail"
    assert {failure.family for failure in verdict.failures} == {6}
    assert {failure.target for failure in verdict.failures if failure.via == "ip"} >= {"far"}


def test_names_lead_to_both_families(dual: Bench) -> None:
    """The last one: a container that starts again may have another MAC behind the same IPv6 address, and Docker
    tells its neighbours nothing (docs/decisions/011-ipv6.md).
    """
    verdict = dual.check("dns")
    assert verdict.verdict == "pass", verdict.reason
    assert dual.problems() == []
