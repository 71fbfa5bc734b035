"""Probes: what came, from whom, and why nothing came."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from harness.transport.agent import Agent, AgentError
from tests.agent_scene import (
    TIMEOUT_S,
    TOKEN,
    Item,
    call,
    free_port,
    in_network,
    joined_namespaces,
    listen,
    member_of,
    namespace,
    needs_namespaces,
    started_agent,
    tcp_server,
    wait_until,
)


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    with started_agent() as agent:
        yield agent


@pytest.fixture(scope="module")
def port(agent: Agent) -> int:
    port = free_port()
    assert listen(agent, "web.1", port)["opened"] == {"web.1": [port]}
    return port


def ask(protocol: str, port: int = 0, *, address: str = "127.0.0.1", pid: int = 0, **other: Any) -> Item:
    key = f"ip|app|4|web.1|{address}"
    item = {"at": "probe", "pid": pid, "key": key, "protocol": protocol, "address": address, "port": port}
    return {"token": TOKEN, "timeout_s": 5, **item, **other}


def values(agent: Agent, *probes: Item) -> list[str | int]:
    """In the order of the probes."""
    keyed = [{**probe, "key": str(number)} for number, probe in enumerate(probes)]
    ops = call(agent, "probe", probes=keyed, parallel=64)
    return [op.value for op in sorted(ops, key=lambda op: int(op.key))]


def test_a_row_says_who_asked_whom_and_how_long_it_took(agent: Agent, port: int) -> None:
    (op,) = call(agent, "probe", probes=[ask("tcp", port)], parallel=1)

    assert (op.process, op.at, op.f, op.key) == ("agent", "probe", "tcp", "ip|app|4|web.1|127.0.0.1")
    assert (op.value, op.outcome, op.errno) == ("ok web.1", "ok", 0)
    assert 0 < op.start_ns < op.end_ns


def test_tcp_and_udp_name_the_peer_and_icmp_does_not(agent: Agent, port: int) -> None:
    asked = ask("tcp", port), ask("udp", port), ask("icmp")

    assert values(agent, *asked) == ["ok web.1", "ok web.1", "ok"]


def test_nobody_listens(agent: Agent) -> None:
    closed = free_port()

    assert values(agent, ask("tcp", closed), ask("udp", closed)) == ["refused", "refused"]


def test_a_peer_with_another_token_is_the_wrong_one(agent: Agent, port: int) -> None:
    other: Item = {"token": "another"}

    assert values(agent, ask("tcp", port, **other), ask("udp", port, **other)) == ["wrong-peer web.1"] * 2


@pytest.mark.parametrize(
    "words", [b"220 mail.example ESMTP\r\n", b"no newline", b"[1]\n", b'{"at": "web.1"}\n', b""]
)
def test_a_listener_of_somebody_else_is_unverified(agent: Agent, words: bytes) -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(words)

    with tcp_server(serve) as port:
        assert values(agent, ask("tcp", port)) == ["ok ?"]


def test_a_listener_that_keeps_silent_is_unverified_and_no_success(agent: Agent) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        asked = ask("tcp", server.getsockname()[1], timeout_s=0.1)
        (op,) = call(agent, "probe", probes=[asked], parallel=1)

    assert (op.value, op.outcome, op.errno) == ("ok ?", "fail", errno.ETIMEDOUT)


def test_a_connection_that_is_reset_after_accept(agent: Agent) -> None:
    def reset(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    with tcp_server(reset) as port:
        assert values(agent, ask("tcp", port)) == ["reset"]


def test_silence_is_a_timeout(agent: Agent) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as mute:
        mute.bind(("127.0.0.1", 0))
        (op,) = call(agent, "probe", probes=[ask("udp", mute.getsockname()[1], timeout_s=0.1)], parallel=1)

    assert (op.value, op.outcome) == ("timeout", "fail")


def test_only_the_last_attempt_is_a_row(agent: Agent) -> None:
    refusals = iter([True, False])

    def answer_the_second(connection: socket.socket) -> None:
        if next(refusals):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        else:
            connection.recv(4096)
            connection.sendall(b'{"token": "the-token", "at": "late"}\n')

    with tcp_server(answer_the_second) as port:
        assert values(agent, ask("tcp", port, attempts=3)) == ["ok late"]


def test_attempts_run_out(agent: Agent) -> None:
    assert values(agent, ask("tcp", free_port(), attempts=2)) == ["refused"]


def test_a_name_is_no_address(agent: Agent) -> None:
    with pytest.raises(AgentError, match="not an IP address"):
        call(agent, "probe", probes=[ask("tcp", 80, address="localhost")], parallel=1)


def test_a_container_that_is_gone_reaches_nothing(agent: Agent) -> None:
    gone = 2**22 - 1
    (op,) = call(agent, "probe", probes=[ask("icmp", pid=gone)], parallel=1)

    assert (op.value, op.outcome, op.errno) == ("unreachable", "fail", errno.ESRCH)


def test_more_probes_than_may_run_at_once_are_all_answered(agent: Agent, port: int) -> None:
    ops = call(agent, "probe", probes=[ask("tcp", port)] * 50, parallel=3)

    assert [op.value for op in ops] == ["ok web.1"] * 50


def test_bulk_counts_at_the_other_end(agent: Agent, port: int) -> None:
    item = {"at": "probe", "pid": 0, "key": "k", "address": "127.0.0.1", "token": TOKEN, "timeout_s": 5}
    one, two = call(
        agent,
        "bulk",
        transfers=[{**item, "port": port, "bytes": 1 << 20}, {**item, "port": free_port(), "bytes": 9}],
    )

    got = {op.value: (op.length, op.offset, op.outcome) for op in (one, two)}
    assert got == {"ok web.1": (1 << 20, 1 << 20, "ok"), "refused": (9, 0, "fail")}


def test_bulk_to_a_peer_that_ends_early_is_no_success(agent: Agent) -> None:
    def end_early(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b'{"token": "the-token", "at": "web.9"}\n{"bytes": 5}\n')

    with tcp_server(end_early) as port:
        item = {"at": "p", "pid": 0, "key": "k", "address": "127.0.0.1", "port": port, "token": TOKEN}
        (op,) = call(agent, "bulk", transfers=[{**item, "bytes": 64, "timeout_s": 5}])

    assert (op.value, op.outcome) == ("reset", "fail")


# --- listeners ------------------------------------------------------------------------------------------------


def test_a_taken_port_is_told(agent: Agent) -> None:
    with socket.create_server(("0.0.0.0", 0)) as server:
        port = server.getsockname()[1]
        told = listen(agent, "edge.1", port)

    assert told == {"opened": {"edge.1": []}, "taken": {"edge.1": [port]}, "errors": {}}


def test_listening_again_replaces_and_unlisten_ends_it() -> None:
    with started_agent() as agent:
        first, second = free_port(), free_port()
        listen(agent, "web.1", first)
        listen(agent, "web.1", second, token="new")
        asked = ask("tcp", first), ask("tcp", second, token="new")
        assert values(agent, *asked) == ["refused", "ok web.1"]

        agent.call("unlisten", {}, timeout_s=TIMEOUT_S)

        assert values(agent, *asked) == ["refused", "refused"]


def test_an_agent_within_a_pod_answers_by_the_pods_new_name_only() -> None:
    """It knows its pod as 0; the port must not be taken by who it was before."""
    with started_agent() as agent:
        port = free_port()
        listen(agent, "web.2", port)
        told = listen(agent, "web.1", port)
        assert (told["opened"], told["taken"]) == ({"web.1": [port]}, {})
        assert values(agent, ask("tcp", port), ask("udp", port)) == ["ok web.1", "ok web.1"]


def test_a_container_that_is_gone_cannot_listen(agent: Agent) -> None:
    told = listen(agent, "gone.1", free_port(), pid=2**22 - 1)

    assert told["opened"] == {}
    assert "No such file" in told["errors"]["gone.1"]


# --- in other network namespaces --------------------------------------------------------------------------------


@needs_namespaces
def test_each_namespace_has_its_own_listener(agent: Agent) -> None:
    with joined_namespaces() as (a, b):
        listen(agent, "web.1", 7799, pid=a)
        listen(agent, "web.2", 7799, pid=b)
        # what is sent before the kernel has noticed that a new link is up is lost: more than one attempt
        asked = [ask(p, 7799, pid=a, address="10.9.0.2", attempts=3) for p in ("tcp", "udp", "icmp")]
        asked += [ask(p, 7799, pid=b, address="10.9.0.1", attempts=3) for p in ("tcp", "udp")]

        assert values(agent, *asked) == ["ok web.2", "ok web.2", "ok", "ok web.1", "ok web.1"]


@needs_namespaces
def test_a_container_that_is_called_otherwise_answers_by_its_new_name_only(agent: Agent) -> None:
    """As pods do whose elder is gone: all move up, and the names go round among those that stay."""
    with joined_namespaces() as (a, b):
        for names in (("web.2", "web.3"), ("web.1", "web.2"), ("web.2", "web.1")):
            endpoints = [{"at": at, "pid": pid, "ports": [7799]} for at, pid in zip(names, (a, b), strict=True)]
            told = agent.call("listen", {"token": TOKEN, "endpoints": endpoints}, timeout_s=TIMEOUT_S)
            assert (told["taken"], told["errors"]) == ({}, {})
            first = ask("tcp", 7799, pid=b, address="10.9.0.1")
            asked = first, ask("udp", 7799, pid=a, address="10.9.0.2", attempts=3)
            assert values(agent, *asked) == [f"ok {names[0]}", f"ok {names[1]}"]


@needs_namespaces
def test_df_finds_the_exact_packet_size(agent: Agent) -> None:
    with joined_namespaces(mtu_of_b=1450) as (a, b):
        df: Item = {"df": True, "address": "10.9.0.1", "pid": b}
        asked = ask("icmp", packet_bytes=1450, **df), ask("icmp", packet_bytes=1451, **df)
        fragmented = ask("icmp", packet_bytes=1451, address="10.9.0.1", pid=b)
        ops = call(agent, "probe", probes=[*asked, fragmented], parallel=4)

        assert {(op.f, op.length, op.value) for op in ops} == {
            ("df", 1450, "ok"),
            ("df", 1451, "mtu"),
            ("icmp", 1451, "ok"),
        }
        assert a


@needs_namespaces
def test_a_router_that_would_have_to_fragment_is_mtu(agent: Agent) -> None:
    with joined_namespaces() as (a, router), namespace() as far:
        steps = [
            (router, f"ip link add eth1 mtu 1400 type veth peer name eth0 mtu 1400 netns {far}"),
            (router, "ip addr add 10.8.0.1/24 dev eth1"),
            (router, "ip link set eth1 up"),
            (router, "sysctl -qw net.ipv4.ip_forward=1"),
            (far, "ip addr add 10.8.0.2/24 dev eth0"),
            (far, "ip link set eth0 up"),
            (far, "ip route add default via 10.8.0.1"),
            (a, "ip route add default via 10.9.0.2"),
        ]
        for pid, line in steps:
            in_network(pid, line)
        df: Item = {"df": True, "address": "10.8.0.2", "pid": a}

        assert values(agent, ask("icmp", packet_bytes=1401, **df), ask("icmp", packet_bytes=1400, **df)) == [
            "mtu",
            "ok",
        ]


@needs_namespaces
def test_no_route_and_no_neighbour_are_unreachable(agent: Agent) -> None:
    with joined_namespaces() as (a, _b):
        asked = [ask(p, 7799, pid=a, address="10.77.0.1") for p in ("tcp", "udp", "icmp")]
        assert values(agent, *asked) == ["unreachable"] * 3


@needs_namespaces
def test_a_listener_ends_with_its_container(agent: Agent) -> None:
    with joined_namespaces() as (a, b):
        asked = ask("tcp", 7799, pid=a, address="10.9.0.2")
        with member_of(b) as container:
            listen(agent, "web.2", 7799, pid=container)
            assert values(agent, asked) == ["ok web.2"]

        wait_until(lambda: values(agent, asked) == ["refused"])
