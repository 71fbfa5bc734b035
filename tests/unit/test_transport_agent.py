"""The controller's side of the agent: many calls on one stream, and the ways in which it ends."""

from __future__ import annotations

import io
import json
import threading
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.model.errors import ChannelLost, DeadlineExceeded, EnvironmentBroken
from harness.transport import agent as transport
from harness.transport.agent import Agent, AgentError, bundle
from harness.transport.local import LocalHost
from tests.agent_scene import TIMEOUT_S, started_agent, wait_until
from tests.fakes import FakeHost

Message = dict[str, Any]


class Scripted:
    """Speaks the agent's language: greets, and answers each call by `answers`."""

    def __init__(self, **answers: list[Message]) -> None:
        self.answers = answers
        self.heard: list[Message] = []
        self._begun = False

    def __call__(self, line: bytes) -> Iterable[bytes]:
        if not self._begun:
            self._begun = True
            return []
        message: Message = json.loads(line)
        self.heard.append(message)
        return [json.dumps(answer).encode() + b"\n" for answer in self._answers(message)]

    def _answers(self, message: Message) -> Iterator[Message]:
        if message.get("call") == "hello":
            yield {"id": message["id"], "done": {"nonce": message["params"]["nonce"]}}
        for answer in self.answers.get(message.get("call", ""), []):
            yield {"id": message["id"], **answer}


def begin(script: Any) -> tuple[Agent, FakeHost]:
    host = FakeHost(programs={("python3",): script})
    return Agent.start(host, timeout_s=TIMEOUT_S), host


def test_a_real_agent_says_what_it_is() -> None:
    with started_agent() as agent:
        assert {"python", "kernel", "hostname", "pid", "monotonic_ns"} <= agent.hello.keys()
        assert agent.alive(TIMEOUT_S)
        agent.close()
        assert not agent.alive(TIMEOUT_S)


def test_the_bundle_is_the_same_every_time_and_holds_modules_only() -> None:
    first = bundle()
    bundle.cache_clear()

    assert first == bundle()
    names = zipfile.ZipFile(io.BytesIO(first)).namelist()
    assert "agent/main.py" in names
    assert all(name.startswith("agent/") and name.endswith(".py") for name in names)


def test_a_result_is_returned_and_an_error_is_raised() -> None:
    agent, _host = begin(
        Scripted(listen=[{"done": {"opened": {}}}], probe=[{"error": {"type": "OSError", "message": "no"}}])
    )

    assert agent.call("listen", {}, timeout_s=TIMEOUT_S) == {"opened": {}}
    with pytest.raises(AgentError, match=r"n1.*probe.*OSError: no") as raised:
        agent.call("probe", {}, timeout_s=TIMEOUT_S)
    assert raised.value.kind == "OSError"
    agent.close()


def test_an_error_of_a_real_agent_leaves_it_alive() -> None:
    with started_agent() as agent:
        with pytest.raises(AgentError, match="no call 'nonsense'"):
            agent.call("nonsense", {}, timeout_s=TIMEOUT_S)
        with pytest.raises(AgentError, match="KeyError"):
            agent.call("probe", {}, timeout_s=TIMEOUT_S)
        assert agent.alive(TIMEOUT_S)


def test_batches_are_handed_over_before_the_call_is_done() -> None:
    agent, _host = begin(Scripted(probe=[{"batch": {"n": 1}}, {"batch": {"n": 2}}, {"done": {}}]))
    batches: list[Message] = []
    agent.call("probe", {}, timeout_s=TIMEOUT_S, on_batch=batches.append)

    assert batches == [{"n": 1}, {"n": 2}]
    agent.close()


def test_a_reservation_is_granted_only_when_it_is_on_record() -> None:
    wanted = {"writer": 1, "first": 0, "count": 10}
    script = Scripted(append=[{"reserve": wanted}])
    agent, _host = begin(script)
    recording, recorded = threading.Event(), threading.Event()

    def record(got: Message) -> None:
        assert got == wanted
        recording.set()
        assert recorded.wait(TIMEOUT_S)

    job = agent.open("append", {}, lambda _batch: None, record)
    assert recording.wait(TIMEOUT_S)
    assert not any("grant" in message for message in script.heard)
    recorded.set()

    wait_until(lambda: {"id": job._number, "grant": wanted} in script.heard)
    agent.close()


@pytest.mark.parametrize("answer", [{"batch": {"n": 1}}, {"reserve": {"first": 0}}])
def test_what_nobody_takes_ends_the_job(answer: Message) -> None:
    agent, _host = begin(Scripted(append=[answer]))

    with pytest.raises(EnvironmentBroken, match="nobody"):
        agent.call("append", {}, timeout_s=TIMEOUT_S)
    agent.close()


def test_a_callback_that_raises_ends_its_job_and_no_other() -> None:
    script = Scripted(append=[{"batch": {"n": 1}}], ping=[{"done": {}}])
    agent, _host = begin(script)

    def full(_batch: Message) -> None:
        raise EnvironmentBroken("the disk is full")

    job = agent.open("append", {}, full)
    with pytest.raises(EnvironmentBroken, match="disk is full"):
        job.wait(TIMEOUT_S)
    assert {"id": job._number, "stop": True} in script.heard
    assert agent.alive(TIMEOUT_S)
    agent.close()


def test_a_late_call_is_stopped_and_its_answer_is_not_taken_for_another() -> None:
    script = Scripted(ping=[{"done": {}}])
    agent, host = begin(script)

    with pytest.raises(DeadlineExceeded, match=r"n1.*probe"):
        agent.call("probe", {}, timeout_s=0.01)
    host.channels[0]._lines.put(b'{"id": 2, "done": {}}\n')

    assert script.heard[-1] == {"id": 2, "stop": True}
    assert agent.alive(TIMEOUT_S)
    agent.close()


def test_a_silent_agent_is_not_alive() -> None:
    agent, _host = begin(Scripted())

    assert not agent.alive(0.01)
    agent.close()


def test_a_lost_channel_ends_every_job_and_every_later_one() -> None:
    agent, host = begin(Scripted())
    jobs = [agent.open("append", {}, None) for _ in range(3)]
    host.channels[0].end()

    for job in jobs:
        with pytest.raises(ChannelLost):
            job.wait(TIMEOUT_S)
    with pytest.raises(ChannelLost):
        agent.open("probe", {}, None)
    agent.close()


def test_words_that_are_not_an_agents_lose_the_channel() -> None:
    agent, host = begin(Scripted())
    job = agent.open("probe", {}, None)
    host.channels[0]._lines.put(b"Segmentation fault\n")

    with pytest.raises(ChannelLost, match="Segmentation fault"):
        job.wait(TIMEOUT_S)
    agent.close()


def test_somebody_else_in_the_agents_place_is_noticed() -> None:
    def impostor(line: bytes) -> Iterable[bytes]:
        return [] if b"hello" not in line else [b'{"id": 1, "done": {"nonce": "old"}}\n']

    with pytest.raises(EnvironmentBroken, match="somebody else"):
        begin(impostor)


def test_a_host_that_does_not_greet_is_late() -> None:
    with pytest.raises(DeadlineExceeded) as raised:
        Agent.start(FakeHost(programs={("python3",): lambda _line: []}), timeout_s=0.01)
    assert "Python" in str(raised.value.hint)


def test_a_host_without_python_says_so(tmp_path: Path) -> None:
    host = LocalHost(prefix=("env", f"PATH={tmp_path}"))

    with pytest.raises(ChannelLost, match="python3") as raised:
        Agent.start(host, timeout_s=TIMEOUT_S)
    assert "Python" in str(raised.value.hint)


def test_the_bootstrap_takes_its_zip_and_not_a_byte_more() -> None:
    channel = LocalHost().channel(transport._COMMAND)
    hello = b'{"id": 1, "call": "hello", "params": {"nonce": "n"}}\n'
    try:
        channel.send(b"%d\n" % len(bundle()) + bundle() + hello)
        line = channel.receive(TIMEOUT_S)
    finally:
        channel.close()

    assert line is not None
    assert json.loads(line)["done"]["nonce"] == "n"


def test_what_is_printed_on_a_host_does_not_get_into_the_stream() -> None:
    with started_agent() as agent:
        link = Path(f"/proc/{agent.hello['pid']}/fd/1").readlink()
        assert link == Path(f"/proc/{agent.hello['pid']}/fd/2").readlink()
