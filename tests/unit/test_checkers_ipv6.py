"""Checks over two families: whatever IPv6 lacks is named apart from IPv4, and what nobody tried is unknown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest

from harness.checkers import judge
from harness.model.history import History, Op
from harness.model.plan import NetworkPlan, Plan, Target
from harness.model.verdict import Verdict
from tests.checkers_scene import NODES, make_check, make_plan, row

#: Name -> (node, network, IPv4, IPv6). a and b share `lan`; c has a bridge with d on one node, d has no IPv6.
PLACES = {
    "a": ("n1", "lan", "10.1.0.1", "fd00:1::1"),
    "b": ("n2", "lan", "10.1.0.2", "fd00:1::2"),
    "c": ("n1", "back", "10.2.0.1", "fd00:2::1"),
    "d": ("n1", "back", "10.2.0.2", "fd00:2::2"),
}
PROTOCOLS = ("icmp", "tcp", "udp")
NETWORKS = (
    NetworkPlan("lan", "macvlan", 1500, False, ipv6=True),
    NetworkPlan("back", "bridge", 1500, True, ipv6=True, resolves_ipv6=True),
)
TARGETS = tuple(Target(name, 1, "plain", {net: (name,)}, node=node) for name, (node, net, _, _) in PLACES.items())


def plan() -> Plan:
    return make_plan(targets=TARGETS, networks=NETWORKS)


def look(check: str, phase: str = "start") -> list[Op]:
    rows = [
        row("endpoint", check, process="-", host=n, at=n, key=f"{phase}|node", value=ip) for n, ip in NODES.items()
    ]
    for name, (node, network, ip, ip6) in PLACES.items():
        who = {"process": name, "host": node, "at": name}
        rows.append(row("task", check, **who, key=f"{phase}|{name}", value="running"))
        rows.append(row("endpoint", check, **who, key=f"{phase}|{network}", value=ip))
        rows.append(row("endpoint6", check, **who, key=f"{phase}|{network}", value=ip6))
        told = {"process": "orchestrator", "host": "controller", "key": f"{phase}|{network}|{name}"}
        rows.append(row("truth", check, **told, value=ip))
        if network == "back":
            rows.append(row("truth6", check, **told, value=ip6))
    return rows


def key(to: str, family: int, via: str = "ip") -> str:
    _node, network, ip, ip6 = PLACES[to]
    address = to if via == "service" else ip6 if family == 6 else ip
    return f"{via}|{network}|{family}|{to}|{address}"


def pairs(check: str = "connectivity") -> list[Op]:
    """Every ordered pair by every family, answered as it must be; neighbours on the bridge by name as well."""
    rows = []
    for source, target in permutations(PLACES, 2):
        shared = PLACES[source][1] == PLACES[target][1]
        for family in (4, 6):
            for f in PROTOCOLS:
                value = ("ok" if f == "icmp" else f"ok {target}") if shared else "unreachable"
                rows.append(probe(check, f, source, key(target, family), value))
            if shared and PLACES[target][1] == "back":
                names = [
                    probe(check, f, source, key(target, family, "service"), f"ok {target}") for f in ("tcp", "udp")
                ]
                rows += names
    return rows


def probe(check: str, f: str, at: str, key: str, value: str, **fields: Any) -> Op:
    return row(f, check, host=PLACES[at][0], at=at, key=key, value=value, **fields)


def judged(rows: list[Op], kind: str = "connectivity") -> Verdict:
    return judge(History.of(rows), plan(), make_check(kind))


def by_ipv6(row: Op) -> bool:
    return "|6|" in row.key


def changed(rows: list[Op], which: Callable[[Op], bool], value: str) -> list[Op]:
    return [replace(row, value=value) if which(row) else row for row in rows]


def of(source: str, target: str, family: int) -> Callable[[Op], bool]:
    return lambda row: row.at == source and row.key.startswith("ip|") and f"|{family}|{target}|" in row.key


# --- connectivity, isolation


@pytest.mark.parametrize("kind", ["connectivity", "isolation"])
def test_all_right_by_both_families(kind: str) -> None:
    verdict = judged([*look(kind), *pairs(kind)], kind)
    assert verdict.verdict == "pass", verdict.reason


def test_what_ipv6_alone_loses_one_way_is_named_with_its_family() -> None:
    verdict = judged([*look("connectivity"), *changed(pairs(), of("a", "b", 6), "timeout")])
    assert verdict.verdict == "fail"
    assert {(f.source, f.target, f.family, f.got) for f in verdict.failures} == {("a", "b", 6, "timeout")}
    assert "a -> b via ip (icmp/ipv6)" in verdict.reason


@pytest.mark.parametrize("kind", ["connectivity", "isolation"])
def test_two_networks_that_meet_by_ipv6_alone_are_not_apart(kind: str) -> None:
    verdict = judged([*look(kind), *changed(pairs(kind), of("a", "c", 6), "ok c")], kind)
    assert verdict.verdict == "fail"
    assert {(f.source, f.target, f.family, f.expected) for f in verdict.failures} == {("a", "c", 6, "closed")}


@pytest.mark.parametrize("kind", ["connectivity", "isolation"])
def test_pairs_that_nobody_tried_by_ipv6_are_unknown(kind: str) -> None:
    verdict = judged([*look(kind), *(row for row in pairs(kind) if not by_ipv6(row))], kind)
    assert verdict.verdict == "unknown"
    assert "ipv6" in verdict.reason


def test_silence_by_ipv6_of_one_who_reached_others_by_ipv4_only_says_nothing() -> None:
    rows = changed(pairs("isolation"), lambda row: by_ipv6(row) and row.at == "a", "timeout")
    verdict = judged([*look("isolation"), *rows], "isolation")
    assert verdict.verdict == "unknown"
    assert "a reached nobody by IPv6" in verdict.reason


def test_a_container_without_an_address_on_a_network_of_both_families_is_wrong() -> None:
    scene = [row for row in look("connectivity") if not (row.f == "endpoint6" and row.at == "b")]
    verdict = judged([*scene, *pairs()])
    assert verdict.verdict == "fail"
    assert "b has no IPv6 address on lan" in verdict.reason


def test_names_must_lead_to_both_families_where_the_network_says_so() -> None:
    named6 = [row for row in pairs() if row.key.startswith("service|") and by_ipv6(row) and row.at == "c"]
    assert named6
    without = [row for row in pairs() if row not in named6]
    verdict = judged([*look("connectivity"), *without])
    assert (verdict.verdict, "c -> d via service" in verdict.reason) == ("unknown", True)


# --- mtu


def sizes(family: int, largest: int = 1500) -> list[Op]:
    rows = []
    for source, target in (("a", "b"), ("b", "a")):
        for length in (1500, 1501):
            value = "ok" if length <= largest else "mtu"
            rows.append(probe("mtu", "df", source, key(target, family), value, length=length))
        whole = {"length": 1 << 20, "offset": 1 << 20}
        rows.append(probe("mtu", "bulk", source, key(target, family), f"ok {target}", **whole))
    return rows


def test_sizes_are_measured_by_each_family() -> None:
    verdict = judged([*look("mtu"), *sizes(4), *sizes(6)], "mtu")
    assert verdict.verdict == "pass", verdict.reason
    assert verdict.figures == {"lan_packet_bytes": 1500, "lan_ipv6_packet_bytes": 1500}


def test_a_size_that_ipv6_does_not_carry_is_named_and_one_that_was_not_tried_is_unknown() -> None:
    small = judged([*look("mtu"), *sizes(4), *sizes(6, largest=1400)], "mtu")
    assert (small.verdict, {f.family for f in small.failures}) == ("fail", {6})
    untried = judged([*look("mtu"), *sizes(4)], "mtu")
    assert untried.verdict == "unknown"
    assert "bytes by IPv6: not tried on lan" in untried.reason


# --- names


def lookups(f: str, *, wrong: str = "") -> list[Op]:
    place = 3 if f == "aaaa" else 2
    return [
        probe("dns", f, at, f"start|back|{name}", wrong or PLACES[name][place])
        for at, name in (("c", "d"), ("d", "c"))
    ]


def test_names_are_judged_by_each_family() -> None:
    verdict = judged([*look("dns"), *lookups("dns"), *lookups("aaaa")], "dns")
    assert (verdict.verdict, verdict.correct) == ("pass", 4), verdict.reason


@pytest.mark.parametrize("answer", ["nxdomain", "fd00:2::9", "10.2.0.1", "timeout"])
def test_a_name_that_is_wrong_by_ipv6_alone_is_named_with_its_family(answer: str) -> None:
    verdict = judged([*look("dns"), *lookups("dns"), *lookups("aaaa", wrong=answer)], "dns")
    assert verdict.verdict == "fail"
    assert {(failure.target, failure.family) for failure in verdict.failures} == {("c", 6), ("d", 6)}


def test_names_that_were_asked_for_by_ipv4_only_are_unknown() -> None:
    verdict = judged([*look("dns"), *lookups("dns")], "dns")
    assert verdict.verdict == "unknown"
    assert "no name's IPv6 address was looked up on back" in verdict.reason
