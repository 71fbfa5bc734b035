"""Kept connections: rates, round trips, and a beat through silence."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from harness.model.history import NEVER
from harness.transport.agent import Agent
from tests.agent_scene import (
    TOKEN,
    Item,
    Recorder,
    call,
    finish,
    free_port,
    in_network,
    joined_namespaces,
    listen,
    needs_namespaces,
    started_agent,
    tcp_server,
    wait_until,
)

IDENTITY = b'{"token": "the-token", "at": "web.9"}\n'


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    with started_agent() as agent:
        yield agent


@pytest.fixture(scope="module")
def port(agent: Agent) -> int:
    port = free_port()
    listen(agent, "web.1", port)
    return port


def to(port: int, **other: Any) -> Item:
    return {"at": "probe", "pid": 0, "key": "k", "address": "127.0.0.1", "port": port, "token": TOKEN, **other}


def test_a_stream_is_a_row_an_interval(agent: Agent, port: int) -> None:
    ops = call(agent, "stream", transfers=[to(port, duration_s=0.3, interval_s=0.1)])

    assert {(op.f, op.value, op.outcome) for op in ops} == {("stream", "ok web.1", "ok")}
    assert len(ops) >= 2
    assert all(op.length > 0 and op.start_ns < op.end_ns for op in ops)
    assert all(first.end_ns <= second.start_ns for first, second in pairwise(ops))


def test_a_stream_counts_what_arrived_and_not_what_was_buffered(agent: Agent) -> None:
    """The peer reads one MiB and then no more: a stall, whatever our own kernel still takes."""
    read, release = 1 << 20, threading.Event()

    def read_some(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(IDENTITY)
        left = read
        while left:
            left -= len(connection.recv(min(left, 1 << 16)))
        release.wait(30)

    with tcp_server(read_some) as port:
        ops = call(agent, "stream", transfers=[to(port, duration_s=0.6, interval_s=0.1)])
        release.set()

    assert sum(op.length for op in ops) >= read
    assert (ops[-1].value, ops[-1].length, ops[-1].outcome) == ("timeout", 0, "fail")


def test_round_trips_are_a_row_each(agent: Agent, port: int) -> None:
    ops = call(agent, "rtt", pairs=[to(port, count=20, timeout_s=5)])

    assert [(op.f, op.value, op.length) for op in ops] == [("rtt", "ok web.1", 64)] * 20


def test_a_round_trip_that_does_not_come_back_is_the_last(agent: Agent) -> None:
    release = threading.Event()

    def echo_once(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(IDENTITY)
        connection.sendall(connection.recv(64, socket.MSG_WAITALL))
        release.wait(30)

    with tcp_server(echo_once) as port:
        ops = call(agent, "rtt", pairs=[to(port, count=20, timeout_s=0.2)])
        release.set()

    assert [op.value for op in ops] == ["ok web.9", "timeout"]


@pytest.mark.parametrize(("method", "items"), [("stream", "transfers"), ("rtt", "pairs")])
def test_nobody_to_talk_to_is_one_row(agent: Agent, method: str, items: str) -> None:
    item = to(free_port(), duration_s=1, interval_s=0.1, count=5, timeout_s=1)
    ops = call(agent, method, **{items: [item, {**item, "pid": 2**22 - 1}]})

    assert [(op.value, op.outcome) for op in ops] == [("refused", "fail"), ("unreachable", "fail")]


# --- beat -----------------------------------------------------------------------------------------------------


class Beats(Recorder):
    """A beat under way on one connection."""

    def __init__(self, agent: Agent, item: Item, *, reply_s: float = 5.0, interval_s: float = 0.02) -> None:
        super().__init__()
        params = {"connections": [{"process": "c1", **item}], "interval_s": interval_s, "reply_s": reply_s}
        self.job = agent.open("beat", params, self.on_batch)

    def await_value(self, value: str, count: int = 1) -> None:
        wait_until(lambda: sum(op.value == value for op in self.ops()) >= count or self.job.ended)

    @property
    def values(self) -> list[int | str]:
        return [op.value for op in self.ops()]


def test_a_beat_echoes_until_it_is_stopped(agent: Agent, port: int) -> None:
    beats = Beats(agent, to(port))
    beats.await_value("ok web.1", 5)
    finish(beats.job)

    assert {(op.process, op.f, op.value) for op in beats.ops() if op.outcome == "ok"} == {
        ("c1", "beat", "ok web.1")
    }


def test_an_echo_that_is_under_way_at_the_stop_is_indeterminate(agent: Agent) -> None:
    release, heard = threading.Event(), threading.Event()

    def hear(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(IDENTITY)
        connection.recv(64, socket.MSG_WAITALL)
        heard.set()
        release.wait(30)

    with tcp_server(hear) as port:
        beats = Beats(agent, to(port), reply_s=60)
        assert heard.wait(30)
        finish(beats.job)
        release.set()

    (op,) = beats.ops()
    assert (op.outcome, op.end_ns) == ("info", NEVER)


def test_a_late_reply_is_a_timeout_and_then_still_counts(agent: Agent) -> None:
    late = threading.Event()

    def echo_late(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(IDENTITY)
        late.wait(30)
        with contextlib.suppress(OSError):
            while data := connection.recv(4096):
                connection.sendall(data)

    with tcp_server(echo_late) as port:
        beats = Beats(agent, to(port), reply_s=0.1)
        beats.await_value("timeout")
        late.set()
        beats.await_value("ok web.9", 2)
        finish(beats.job)

    first, second = beats.ops()[:2]
    assert (first.value, second.value) == ("timeout", "ok web.9")
    assert first.start_ns == second.start_ns
    assert first.end_ns < second.end_ns


def test_a_reset_ends_the_beat(agent: Agent) -> None:
    def greet_and_go(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(IDENTITY)

    with tcp_server(greet_and_go) as port:
        beats = Beats(agent, to(port))
        beats.job.wait(30)

    assert beats.values == ["reset"]


def test_no_connection_is_one_row(agent: Agent) -> None:
    beats = Beats(agent, to(free_port()))
    beats.job.wait(30)

    assert beats.values == ["refused"]


@needs_namespaces
def test_a_beat_outlives_a_cut_link(agent: Agent) -> None:
    with joined_namespaces() as (a, b):
        listen(agent, "web.2", 7799, pid=b)
        beats = Beats(agent, to(7799, pid=a, address="10.9.0.2"), reply_s=0.2)
        beats.await_value("ok web.2")
        in_network(b, "ip link set eth0 down")
        beats.await_value("timeout")
        in_network(b, "ip link set eth0 up")
        seen = beats.values.count("ok web.2")
        beats.await_value("ok web.2", seen + 2)
        finish(beats.job)

    assert "reset" not in beats.values
    stalled = next(op for op in beats.ops() if op.value == "timeout")
    assert [op.value for op in beats.ops() if op.start_ns == stalled.start_ns] == ["timeout", "ok web.2"]
