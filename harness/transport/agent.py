"""The controller's side of agents: sends the agent to a host, and carries calls to it over one kept channel."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import secrets
import threading
import zipfile
from collections.abc import Callable, Mapping
from functools import cache
from importlib import resources
from typing import Any

from harness.model.errors import ChannelLost, DeadlineExceeded, EnvironmentBroken
from harness.ports import Channel, Host

Batch = dict[str, Any]
OnBatch = Callable[[Batch], None]
OnReserve = Callable[[dict[str, Any]], None]

#: What a host runs to become an agent: reads the zip's length (a line) and the zip from its standard input, not
#: a byte more, and runs it from a file without a name.
BOOTSTRAP = """
import os, sys, tempfile
def take(n):
    data = b""
    while len(data) < n:
        part = os.read(0, n - len(data))
        if not part:
            sys.exit("the input ended before the agent was whole")
        data += part
    return data
line = b""
while not line.endswith(b"\\n"):
    line += take(1)
try:
    file = os.fdopen(os.memfd_create("agent"), "w+b")
except (AttributeError, OSError):
    file = tempfile.TemporaryFile()
file.write(take(int(line)))
file.flush()
sys.path.insert(0, "/proc/self/fd/%d" % file.fileno())
from agent.main import main
main()
"""
_COMMAND = ("python3", "-I", "-S", "-c", BOOTSTRAP)
_HINT = "a host needs Python 3.9 or later as python3"
#: How often the reader looks whether it is to end.
_LOOK_S = 1.0
#: A zip must be the same wherever and whenever it is made.
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)


class AgentError(EnvironmentBroken):
    """A call met an error on its host. `kind` is the name of the agent's exception."""

    def __init__(self, where: str, method: str, kind: str, message: str) -> None:
        super().__init__(f"on {where}: the agent's {method} failed: {kind}: {message}")
        self.kind = kind


@cache
def bundle() -> bytes:
    """The agent's modules as one zip, importable as the package `agent`; the same bytes for the same modules."""
    buffer = io.BytesIO()
    folder = resources.files("harness.agent")
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".py"))
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            entry = zipfile.ZipInfo(f"agent/{name}", _ZIP_DATE)
            archive.writestr(entry, (folder / name).read_bytes(), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


class Job:
    """A call under way. Its callbacks run in the agent's reader thread; what they raise ends the job."""

    def __init__(
        self, agent: Agent, number: int, method: str, on_batch: OnBatch | None, on_reserve: OnReserve | None
    ) -> None:
        self.method = method
        self._agent = agent
        self._number = number
        self._on_batch = on_batch
        self._on_reserve = on_reserve
        self._ended = threading.Event()
        self._done: dict[str, Any] = {}
        self._error: BaseException | None = None

    def stop(self) -> None:
        """Ask a program that runs until stopped to end; `wait` tells when it has. Raises ChannelLost."""
        if not self._ended.is_set():
            self._agent._send({"id": self._number, "stop": True})

    def wait(self, timeout_s: float) -> dict[str, Any]:
        """What the call answered. Raises AgentError, ChannelLost, DeadlineExceeded, and what a callback raised.

        After DeadlineExceeded the job is still under way: stop it, or wait again.
        """
        if not self._ended.wait(timeout_s):
            late = f"on {self._agent.where}: the agent's {self.method} did not end within {timeout_s:g} s"
            raise DeadlineExceeded(late)
        if self._error is not None:
            raise self._error
        return self._done

    @property
    def ended(self) -> bool:
        return self._ended.is_set()

    def _take(self, message: Mapping[str, Any]) -> None:
        if "batch" in message:
            self._batch(message["batch"])
        elif "reserve" in message:
            self._reserve(message["reserve"])
        elif "done" in message:
            self._end(message["done"], None)
        elif "error" in message:
            error = message["error"]
            self._end({}, AgentError(self._agent.where, self.method, error["type"], error["message"]))

    def _batch(self, batch: Batch) -> None:
        if self._on_batch is None:
            raise EnvironmentBroken(f"the agent's {self.method} answers with rows, and nobody takes them")
        self._on_batch(batch)

    def _reserve(self, wanted: dict[str, Any]) -> None:
        """Only when the callback has returned is the reservation on record, and may be used."""
        if self._on_reserve is None:
            raise EnvironmentBroken(f"the agent's {self.method} reserves numbers, and nobody records that")
        self._on_reserve(wanted)
        self._agent._send({"id": self._number, "grant": wanted})

    def _end(self, done: dict[str, Any], error: BaseException | None) -> None:
        if not self._ended.is_set():
            self._done, self._error = done, error
            self._ended.set()


class Agent:
    """One agent on one host. Calls run side by side, from any thread. Nothing is ever sent twice.

    When the channel is lost, every job under way, and every later one, ends with ChannelLost.
    """

    def __init__(self, where: str, channel: Channel) -> None:
        self.where = where
        #: What the agent said of itself and its host: python, kernel, hostname, pid, monotonic_ns.
        self.hello: dict[str, Any] = {}
        self._channel = channel
        self._numbers = itertools.count(1)
        self._jobs: dict[int, Job] = {}
        self._changing = threading.Lock()
        self._lost: ChannelLost | None = None
        self._closing = threading.Event()
        self._reader = threading.Thread(target=self._read, name=f"agent-{where}", daemon=True)

    @classmethod
    def start(cls, host: Host, *, timeout_s: float) -> Agent:
        """Send the agent to `host` and greet it. Raises EnvironmentBroken (ChannelLost, DeadlineExceeded)."""
        agent = cls(host.name, host.channel(_COMMAND))
        try:
            agent._begin(timeout_s)
        except EnvironmentBroken as error:
            agent.close()
            error.hint = error.hint or _HINT
            raise
        except BaseException:
            agent.close()
            raise
        return agent

    def call(
        self, method: str, params: Mapping[str, Any], *, timeout_s: float, on_batch: OnBatch | None = None
    ) -> dict[str, Any]:
        """Open, wait, and forget the job where it is late. Raises as `Job.wait`."""
        job = self.open(method, params, on_batch)
        try:
            return job.wait(timeout_s)
        except DeadlineExceeded:
            self._abandon(job)
            raise

    def open(
        self,
        method: str,
        params: Mapping[str, Any],
        on_batch: OnBatch | None,
        on_reserve: OnReserve | None = None,
    ) -> Job:
        """Begin a call (docs/agent.md). `on_reserve` must have recorded a reservation when it returns: what it
        was given is granted then. Raises ChannelLost.
        """
        with self._changing:
            if self._lost is not None:
                raise ChannelLost(self._lost.message)
            number = next(self._numbers)
            job = Job(self, number, method, on_batch, on_reserve)
            self._jobs[number] = job
        self._send({"id": number, "call": method, "params": dict(params)})
        return job

    def alive(self, timeout_s: float) -> bool:
        """Whether it answers now. A frozen or unreachable host does not."""
        try:
            self.call("ping", {}, timeout_s=timeout_s)
        except (DeadlineExceeded, ChannelLost):
            return False
        return True

    def close(self) -> None:
        """End the agent on its host, and with it its listeners and writers. Idempotent."""
        self._closing.set()
        self._channel.close()
        if self._reader.is_alive():
            self._reader.join(2 * _LOOK_S)
        self._lose(ChannelLost(f"the agent on {self.where} was closed"))

    def _begin(self, timeout_s: float) -> None:
        data = bundle()
        self._channel.send(b"%d\n" % len(data) + data)
        self._reader.start()
        nonce = secrets.token_hex(16)
        self.hello = self.call("hello", {"nonce": nonce}, timeout_s=timeout_s)
        if self.hello.get("nonce") != nonce:
            raise EnvironmentBroken(f"on {self.where}: somebody else answers in the agent's place")

    def _send(self, message: Mapping[str, Any]) -> None:
        try:
            self._channel.send(json.dumps(message, separators=(",", ":")).encode() + b"\n")
        except ChannelLost as error:
            self._lose(error)
            raise

    def _read(self) -> None:
        try:
            while not self._closing.is_set():
                line = self._channel.receive(_LOOK_S)
                if line is not None:
                    self._take(line)
        except ChannelLost as error:
            self._lose(error)

    def _take(self, line: bytes) -> None:
        """Raises ChannelLost for a line that is not the agent's language: what follows cannot be trusted."""
        try:
            message = json.loads(line)
            number = message["id"]
        except (ValueError, KeyError, TypeError):
            said = line[:200].decode(errors="replace").strip()
            raise ChannelLost(f"on {self.where}: not an agent's words: {said}") from None
        job = self._jobs.get(number)
        if job is None:
            return
        try:
            job._take(message)
        except Exception as error:  # noqa: BLE001 (a callback's error belongs to whoever waits for the job)
            job._end({}, error)
            self._abandon(job)
        if job.ended:
            self._jobs.pop(number, None)

    def _abandon(self, job: Job) -> None:
        """Nobody waits for it any more: let it stop, and take no more of its rows."""
        self._jobs.pop(job._number, None)
        with contextlib.suppress(ChannelLost):
            self._send({"id": job._number, "stop": True})

    def _lose(self, error: ChannelLost) -> None:
        with self._changing:
            self._lost = self._lost or error
            jobs, self._jobs = list(self._jobs.values()), {}
        for job in jobs:
            job._end({}, self._lost)
