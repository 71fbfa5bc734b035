"""The agent over IPv6: probes, packet sizes, listeners of both families, and AAAA records."""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections.abc import Iterator
from typing import Any

import pytest

from harness.agent import icmp, resolver
from harness.agent.loop import run_one
from harness.agent.resolver import Answer, Resolv
from harness.agent.sockets import numeric
from harness.transport.agent import Agent
from tests.agent_scene import (
    TIMEOUT_S,
    TOKEN,
    Item,
    call,
    in_network,
    joined_namespaces,
    needs_namespaces,
    started_agent,
)
from tests.unit.test_agent_dns import a_record, serving

PORT = 7799


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    with started_agent() as running:
        yield running


@contextlib.contextmanager
def dual_stack(mtu_of_b: int = 1500) -> Iterator[tuple[int, int]]:
    """Two namespaces on one link with addresses of both families: 10.9.0.x, fd09::x."""
    with joined_namespaces(mtu_of_b) as (a, b):
        for pid, address in ((a, "fd09::1/64"), (b, "fd09::2/64")):
            in_network(pid, f"ip address add {address} dev eth0 nodad")
        yield a, b


def listen(agent: Agent, at: str, pid: int, *, ipv6: bool = True) -> None:
    endpoint = {"at": at, "pid": pid, "ports": [PORT], "ipv6": ipv6}
    done = agent.call("listen", {"token": TOKEN, "endpoints": [endpoint]}, timeout_s=TIMEOUT_S)
    assert done["opened"] == {at: [PORT]}


def ask(protocol: str, pid: int, address: str, **other: Any) -> Item:
    key = f"ip|net|6|web|{address}"
    told = {"protocol": protocol, "address": address, "port": PORT, "token": TOKEN, "timeout_s": 2.0}
    return {"at": "probe", "pid": pid, "key": key, **told, **other}


def values(agent: Agent, *probes: Item) -> list[str | int]:
    rows = {(op.f, op.key, op.length): op.value for op in call(agent, "probe", probes=list(probes), parallel=4)}
    lengths = [probe.get("packet_bytes") or 84 if probe["protocol"] == "icmp" else 0 for probe in probes]
    kinds = ["df" if probe.get("df") else probe["protocol"] for probe in probes]
    return [rows[f, probe["key"], n] for f, probe, n in zip(kinds, probes, lengths, strict=True)]


@needs_namespaces
def test_both_families_are_answered_by_one_endpoint(agent: Agent) -> None:
    with dual_stack() as (a, b):
        listen(agent, "web.2", b)
        asked = [ask(p, a, to) for to in ("fd09::2", "10.9.0.2") for p in ("tcp", "udp", "icmp")]

        assert values(agent, *asked) == ["ok web.2", "ok web.2", "ok"] * 2


@needs_namespaces
def test_an_endpoint_without_ipv6_refuses_it(agent: Agent) -> None:
    with dual_stack() as (a, b):
        listen(agent, "web.2", b, ipv6=False)

        assert values(agent, ask("tcp", a, "fd09::2"), ask("udp", a, "fd09::2")) == ["refused", "refused"]


@needs_namespaces
def test_an_address_in_another_form_is_the_same(agent: Agent) -> None:
    with dual_stack() as (a, _b):
        assert values(agent, ask("icmp", a, "fd09:0:0::0002")) == ["ok"]


@needs_namespaces
def test_no_route_is_unreachable_and_no_neighbour_too(agent: Agent) -> None:
    with dual_stack() as (a, _b):
        asked = [ask(p, a, "fd77::1") for p in ("tcp", "udp", "icmp")]
        asked += [ask("icmp", a, "fd09::77", timeout_s=6.0)]

        assert values(agent, *asked) == ["unreachable"] * 4


@needs_namespaces
def test_a_packet_has_its_size_over_ipv6_as_well(agent: Agent) -> None:
    with dual_stack(mtu_of_b=1450) as (a, b):
        fits = [ask("icmp", b, "fd09::1", packet_bytes=size, df=True) for size in (1450, 1451)]
        fragmented = ask("icmp", b, "fd09::1", packet_bytes=1451)

        assert values(agent, *fits, fragmented) == ["ok", "mtu", "ok"]
        assert a


@needs_namespaces
def test_a_router_says_that_a_packet_is_too_big(agent: Agent) -> None:
    with dual_stack() as (a, router), joined_namespaces() as (near, far):
        steps = [
            (near, f"ip link set eth0 netns {router} name eth1"),
            # a router asks for neighbours by its link-local address, which is none for a second otherwise
            (router, "sysctl -qw net.ipv6.conf.eth1.accept_dad=0"),
            (router, "ip link set eth1 up mtu 1400"),
            (router, "ip address add fd08::1/64 dev eth1 nodad"),
            (router, "sysctl -qw net.ipv6.conf.all.forwarding=1"),
            (far, "ip address add fd08::2/64 dev eth0 nodad"),
            (far, "ip -6 route add default via fd08::1"),
            (a, "ip -6 route add default via fd09::2"),
        ]
        for pid, line in steps:
            in_network(pid, line)
        sizes = [ask("icmp", a, "fd08::2", packet_bytes=size, df=True) for size in (1401, 1400)]

        assert values(agent, *sizes) == ["mtu", "ok"]


@needs_namespaces
def test_streams_and_round_trips_take_either_family(agent: Agent) -> None:
    with dual_stack() as (a, b):
        listen(agent, "web.2", b)
        pair = {"at": "a", "pid": a, "key": "ip|net|6|web.2|fd09::2", "address": "fd09::2", "port": PORT}
        pair |= {"token": TOKEN, "timeout_s": 2.0}

        assert [op.value for op in call(agent, "rtt", pairs=[{**pair, "count": 2}])] == ["ok web.2"] * 2
        [bulk] = call(agent, "bulk", transfers=[{**pair, "bytes": 70_000}])
        assert (bulk.value, bulk.offset) == ("ok web.2", 70_000)


@pytest.mark.parametrize("address", ["fe80::1", "fe80::1%eth0", "web", "10.0.0", "fd00::g"])
def test_what_says_too_little_is_refused_before_it_is_dialled(address: str) -> None:
    with pytest.raises(ValueError, match=r"not an IP address|link-local"):
        numeric(address)


def test_a_complaint_counts_only_about_our_own_echo() -> None:
    mark = b"\1\2\3\4"
    quoted = bytes([0x60]) + bytes(39) + bytes([128, 0, 0, 0]) + mark

    def complaint(kind: int, code: int, about: bytes = mark) -> str | None:
        message = bytes([kind, code, 0, 0, 0, 0, 0, 0]) + quoted
        missed = icmp.complaint_in(message, about, icmp._V6)
        return missed.got if missed else None

    assert complaint(2, 0) == "mtu"
    assert (complaint(1, 3), complaint(3, 0)) == ("unreachable", "unreachable")
    assert complaint(2, 0, b"\4\3\2\1") is None
    assert complaint(129, 0) is None


# --- names ----------------------------------------------------------------------------------------------------


def aaaa_record(address: str) -> bytes:
    return b"\xc0\x0c" + struct.pack(">2HIH", 28, 1, 60, 16) + socket.inet_pton(socket.AF_INET6, address)


def test_only_the_family_that_was_asked_for_is_an_answer() -> None:
    """As a server that gives all that it knows in one answer."""
    for kind, expected in ((28, ["fd09::1", "fd09::2"]), (1, ["10.9.0.1"])):
        question = resolver.encode_name("web") + struct.pack(">2H", kind, 1)
        query = struct.pack(">6H", 7, 0x0100, 1, 0, 0, 0) + question
        records = [aaaa_record("fd09::2"), a_record("10.9.0.1"), aaaa_record("fd09:0::1")]
        reply = query[:2] + struct.pack(">5H", 0x8180, 1, len(records), 0, 0) + question + b"".join(records)
        assert resolver.decode(reply, query) == Answer("ok", expected)


def test_a_name_with_addresses_of_the_other_family_alone_has_none() -> None:
    with serving({"web": ["10.9.0.1"]}) as server:
        config = Resolv([server.address], [])
        assert run_one(resolver.resolve("web", config, time.monotonic() + TIMEOUT_S, 6)).status == "nxdomain"
        assert run_one(resolver.resolve("web", config, time.monotonic() + TIMEOUT_S, 4)).status == "ok"


def test_a_look_up_says_by_its_kind_which_records_it_wanted(agent: Agent) -> None:
    item = {"at": "a", "pid": 0, "name": "nobody.invalid", "timeout_s": 0.2}
    lookups = [{**item, "key": f"start|net|{n}", "family": n} for n in (4, 6)]

    assert {op.f for op in call(agent, "lookup", lookups=lookups)} == {"dns", "aaaa"}
