"""Help for tests of the agent: one on this machine, rows as a history, and network namespaces to work in."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from harness.model.history import History, Op
from harness.transport.agent import Agent, Batch, Job
from harness.transport.local import LocalHost

TIMEOUT_S = 30.0
TOKEN = "the-token"
Item = dict[str, Any]

needs_namespaces = pytest.mark.skipif(os.geteuid() != 0, reason="making network namespaces needs root")


@contextlib.contextmanager
def started_agent() -> Iterator[Agent]:
    agent = Agent.start(LocalHost(), timeout_s=TIMEOUT_S)
    try:
        yield agent
    finally:
        agent.close()


class Recorder:
    """Takes batches as the runner does; `ops` holds them against the format of a history."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.reserved: list[dict[str, Any]] = []

    def on_batch(self, batch: Batch) -> None:
        self.batches.append(batch)

    def on_reserve(self, wanted: dict[str, Any]) -> None:
        self.reserved.append(wanted)

    def ops(self, **equal: str) -> list[Op]:
        return list(History.of_batches(self.batches).only(**equal).ops())


def call(agent: Agent, method: str, **params: Any) -> list[Op]:
    """Run a call to its end and return its rows."""
    recorder = Recorder()
    agent.call(method, params, timeout_s=TIMEOUT_S, on_batch=recorder.on_batch)
    return recorder.ops()


def finish(job: Job) -> dict[str, Any]:
    job.stop()
    return job.wait(TIMEOUT_S)


def wait_until(done: Callable[[], bool]) -> None:
    end = time.monotonic() + TIMEOUT_S
    while not done():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def listen(agent: Agent, at: str, port: int, *, pid: int = 0, token: str = TOKEN) -> dict[str, Any]:
    endpoints = [{"at": at, "pid": pid, "ports": [port]}]
    return agent.call("listen", {"token": token, "endpoints": endpoints}, timeout_s=TIMEOUT_S)


def free_port() -> int:
    """A port that neither TCP nor UDP uses at the moment."""
    with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        tcp.bind(("127.0.0.1", 0))
        port: int = tcp.getsockname()[1]
        udp.bind(("127.0.0.1", port))
    return port


@contextlib.contextmanager
def tcp_server(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """A foreign listener on loopback: `serve` gets each connection, which is closed after it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_accept_all, args=(server, serve))
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def _accept_all(server: socket.socket, serve: Callable[[socket.socket], None]) -> None:
    while True:
        try:
            connection, _address = server.accept()
        except OSError:
            return
        with connection, contextlib.suppress(OSError):
            serve(connection)


@contextlib.contextmanager
def namespace(*setup: str, unshare: Sequence[str] = ("--net",)) -> Iterator[int]:
    """A process in namespaces of its own, set up by shell lines run inside; its pid stands for a container's."""
    script = "\n".join(["set -e", "ip link set lo up", *setup, "echo ready", "exec sleep 600"])
    argv = ["unshare", *unshare, "sh", "-c", script]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    try:
        said = process.stdout.readline()
        assert said == "ready\n", said + process.stdout.read()
        yield process.pid
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@contextlib.contextmanager
def joined_namespaces(mtu_of_b: int = 1500) -> Iterator[tuple[int, int]]:
    """Two namespaces on one link: 10.9.0.1 and 10.9.0.2."""
    with namespace() as a, namespace() as b:
        in_network(a, f"ip link add eth0 type veth peer name eth0 netns {b}")
        for pid, address, mtu in ((a, "10.9.0.1/24", 1500), (b, "10.9.0.2/24", mtu_of_b)):
            in_network(pid, f"ip addr add {address} dev eth0")
            in_network(pid, f"ip link set eth0 up mtu {mtu}")
        yield a, b


@contextlib.contextmanager
def member_of(pid: int) -> Iterator[int]:
    """Another process in the network of `pid`."""
    process = subprocess.Popen(["nsenter", f"--net=/proc/{pid}/ns/net", "sleep", "600"])
    try:
        wait_until(lambda: os.readlink(f"/proc/{process.pid}/ns/net") == os.readlink(f"/proc/{pid}/ns/net"))
        yield process.pid
    finally:
        process.kill()
        process.wait()


def in_network(pid: int, line: str) -> None:
    argv = ["nsenter", f"--net=/proc/{pid}/ns/net", *line.split()]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, f"{line}: {done.stderr}"
