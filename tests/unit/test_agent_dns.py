"""The agent's resolver, against a name server of the test's own."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.agent import resolver
from harness.agent.loop import run_one
from harness.agent.namespaces import in_network
from harness.agent.resolver import Answer, Resolv, candidates, parse_resolv
from tests.agent_scene import call, namespace, needs_namespaces, started_agent

TIMEOUT_S = 30.0
NXDOMAIN, SERVFAIL = 3, 2
#: A name to its addresses, or to a response code; None: no answer at all.
Zone = dict[str, list[str] | int | None]


def name_of(query: bytes) -> str:
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode())
        at += 1 + query[at]
    return ".".join(labels)


def a_record(address: str) -> bytes:
    """Its name is a pointer to the question's."""
    return b"\xc0\x0c" + struct.pack(">2HIH", 1, 1, 60, 4) + socket.inet_aton(address)


def alias_record() -> bytes:
    """A CNAME, to be passed over: its data ends in a pointer as well."""
    data = b"\x05alias\xc0\x0c"
    return b"\xc0\x0c" + struct.pack(">2HIH", 5, 1, 60, len(data)) + data


def reply_to(query: bytes, zone: Zone, *, truncate_at: int = 1 << 16) -> bytes | None:
    known = zone.get(name_of(query), NXDOMAIN)
    if known is None:
        return None
    addresses = known if isinstance(known, list) else []
    records = [alias_record(), *map(a_record, addresses)] if addresses else []
    flags = 0x8180 | (known if isinstance(known, int) else 0)
    body = query[12:] + b"".join(records)
    if len(body) > truncate_at:
        records, body, flags = [], query[12:], flags | 0x0200
    return query[:2] + struct.pack(">5H", flags, 1, len(records), 0, 0) + body


class NameServer:
    """UDP and, where answers are to be truncated, TCP. `asked` holds the names of all queries."""

    def __init__(
        self, zone: Zone, address: tuple[str, int] = ("127.0.0.1", 0), truncate_at: int = 1 << 16
    ) -> None:
        self.zone = zone
        self.asked: list[str] = []
        self._truncate_at = truncate_at
        self._udp = socket.socket(type=socket.SOCK_DGRAM)
        self._udp.bind(address)
        self.address: tuple[str, int] = self._udp.getsockname()
        self._tcp = socket.create_server(self.address)
        for serve in (self._serve_udp, self._serve_tcp):
            threading.Thread(target=serve, daemon=True).start()

    def close(self) -> None:
        for sock in (self._udp, self._tcp):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def _serve_udp(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                query, client = self._udp.recvfrom(512)
                if not query:
                    return
                self.asked.append(name_of(query))
                reply = reply_to(query, self.zone, truncate_at=self._truncate_at)
                if reply is not None:
                    self._udp.sendto(reply, client)

    def _serve_tcp(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _address = self._tcp.accept()
                with connection:
                    query = connection.recv(512)[2:]
                    reply = reply_to(query, self.zone) or b""
                    connection.sendall(struct.pack(">H", len(reply)) + reply)


@contextlib.contextmanager
def serving(zone: Zone, **other: Any) -> Iterator[NameServer]:
    server = NameServer(zone, **other)
    try:
        yield server
    finally:
        server.close()


def resolve(name: str, server: NameServer, *, timeout_s: float = TIMEOUT_S, **other: Any) -> Answer:
    config = Resolv([server.address], other.pop("search", []), **other)
    return run_one(resolver.resolve(name, config, time.monotonic() + timeout_s))


def test_addresses_are_sorted_and_joined() -> None:
    with serving({"web": ["10.0.0.9", "10.0.0.10", "10.0.0.2"]}) as server:
        assert resolve("web", server).value == "10.0.0.10,10.0.0.2,10.0.0.9"


def test_what_a_name_server_says_when_there_are_none() -> None:
    with serving({"broken": SERVFAIL, "refused": 5, "empty": []}) as server:
        said = {name: resolve(name, server).value for name in ("broken", "refused", "empty", "unknown")}

    assert said == {"broken": "servfail", "refused": "servfail", "empty": "nxdomain", "unknown": "nxdomain"}


def test_silence_is_a_timeout_and_is_asked_twice() -> None:
    with serving({"mute": None}) as server:
        assert resolve("mute", server, timeout_s=1.0).value == "timeout"
        assert server.asked == ["mute", "mute"]


def test_nobody_at_the_port_is_servfail() -> None:
    with serving({}) as server:
        server.close()
        assert resolve("web", server).value == "servfail"


def test_an_answer_that_is_too_long_is_fetched_over_tcp() -> None:
    addresses = [f"10.0.{number // 200}.{number % 200 + 1}" for number in range(600)]
    with serving({"tasks.web": addresses}, truncate_at=480) as server:
        assert sorted(resolve("tasks.web", server).addresses) == sorted(addresses)


def test_the_second_server_is_asked_when_the_first_fails() -> None:
    with serving({"web": SERVFAIL}) as first, serving({"web": ["10.0.0.1"]}) as second:
        config = Resolv([first.address, second.address], [])
        answer = run_one(resolver.resolve("web", config, time.monotonic() + TIMEOUT_S))

    assert answer.value == "10.0.0.1"


def test_search_domains_are_tried() -> None:
    with serving({"web.b.example": ["10.0.0.1"]}) as server:
        assert resolve("web", server, search=["a.example", "b.example"]).value == "10.0.0.1"
        assert server.asked == ["web.a.example", "web.b.example"]


@pytest.mark.parametrize(
    ("name", "ndots", "tried"),
    [
        ("web", 1, ["web.x.example", "web"]),
        ("tasks.web", 1, ["tasks.web", "tasks.web.x.example"]),
        ("tasks.web", 2, ["tasks.web.x.example", "tasks.web"]),
        ("web", 0, ["web", "web.x.example"]),
        ("web.", 1, ["web"]),
    ],
)
def test_ndots_decides_the_order(name: str, ndots: int, tried: list[str]) -> None:
    assert candidates(name, Resolv([], ["x.example"], ndots)) == tried


def test_resolv_conf_is_read_as_its_manual_says() -> None:
    lines = [
        "# made by an engine\n", "domain first.example\n",
        "search a.example b.example. .\n", "nameserver 127.0.0.11 # here\n",
        "nameserver fe80::1\n", "options edns0 ndots:2 timeout:3\n", "\n", "nameserver\n", "; the end\n",
    ]  # fmt: skip

    assert parse_resolv(lines) == Resolv([("127.0.0.11", 53)], ["a.example", "b.example"], 2, 3)
    assert parse_resolv([]) == Resolv([("127.0.0.1", 53)], [], 1, 5)


QUERY = struct.pack(">6H", 7, 0x0100, 1, 0, 0, 0) + resolver.encode_name("web") + struct.pack(">2H", 1, 1)
GOOD = reply_to(QUERY, {"web": ["10.0.0.1"]}) or b""


@pytest.mark.parametrize(
    "spoil",
    [
        lambda reply: b"",
        lambda reply: b"\0\1" + reply[2:],
        lambda reply: reply[:2] + b"\1\0" + reply[4:],
        lambda reply: reply[:-1],
        lambda reply: reply[:14],
        lambda reply: reply[:6] + b"\xff\xff" + reply[8:],
    ],
)
def test_a_reply_that_is_malformed_or_not_ours_is_servfail(spoil: Callable[[bytes], bytes]) -> None:
    assert resolver.decode(GOOD, QUERY) == Answer("ok", ["10.0.0.1"])
    assert resolver.decode(spoil(GOOD), QUERY) == Answer("servfail", [])


@pytest.mark.parametrize("name", ["a..b", "x" * 64, ".".join(["label"] * 60)])
def test_what_no_message_can_hold_does_not_exist(name: str) -> None:
    with serving({}) as server:
        assert resolve(name, server).value == "nxdomain"
        assert server.asked == []


@needs_namespaces
def test_a_container_is_asked_by_its_own_resolv_conf(tmp_path: Path) -> None:
    conf = tmp_path / "resolv.conf"
    conf.write_text("search app.example\nnameserver 127.0.0.11\noptions ndots:0\n")
    setup = f"mount --bind {conf} /etc/resolv.conf"
    zone: Zone = {"web.app.example": ["127.0.0.1"], "web": NXDOMAIN}
    with namespace(setup, unshare=("--net", "--mount")) as pid, started_agent() as agent:
        server = in_network(pid, lambda: NameServer(zone, ("127.0.0.11", 53)))
        item = {"at": "web.1", "pid": pid}
        try:
            lookups = [
                {**item, "key": f"start|app|{name}", "name": name, "timeout_s": 5} for name in ("web", "db")
            ]
            looked = call(agent, "lookup", lookups=lookups)
            probes = [
                {**item, "key": name, "protocol": "icmp", "name": name, "port": 0, "token": "", "timeout_s": 5}
                for name in ("web", "db")
            ]
            probed = call(agent, "probe", probes=probes, parallel=2)
        finally:
            server.close()

    assert {(op.f, op.key, op.value, op.outcome) for op in looked} == {
        ("dns", "start|app|web", "127.0.0.1", "ok"),
        ("dns", "start|app|db", "nxdomain", "ok"),
    }
    assert {(op.key, op.value, op.outcome) for op in probed} == {("web", "ok", "ok"), ("db", "dns", "fail")}
