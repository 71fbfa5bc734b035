"""Agents in pods, which to a caller are one agent: over a kubectl that runs what it is told to on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.model.errors import ChannelLost, EnvironmentBroken
from harness.transport.kubectl import KubectlHost, Place, PodHost
from harness.transport.seats import HOME, SeatedAgents, apart, start_agent, together
from tests.agent_scene import TIMEOUT_S, TOKEN, Recorder, free_port

#: `exec -i POD -c main -- COMMAND`: a pod called gone is not there.
KUBECTL = """#!/bin/sh
echo "$*" | cut -c1-120 >>"$0.log"
while [ "$1" != -- ]; do [ "$1" != gone ] || { echo 'pods "gone" not found' >&2; exit 1; }; shift; done
shift
exec "$@"
"""


@pytest.fixture
def host(tmp_path: Path) -> PodHost:
    program = tmp_path / "kubectl"
    program.write_text(KUBECTL)
    program.chmod(0o755)
    return PodHost("n1", "192.0.2.1", KubectlHost(str(program)), ("kubectl",), Place("ns", "home"))


@pytest.fixture
def agents(host: PodHost) -> Iterator[SeatedAgents]:
    started = start_agent(host, timeout_s=TIMEOUT_S)
    assert isinstance(started, SeatedAgents)
    yield started
    started.close()


def log(host: PodHost) -> list[str]:
    return Path(f"{host.api.program}.log").read_text().splitlines()


def listening(agents: SeatedAgents, *places: tuple[str, int, int]) -> dict[str, Any]:
    endpoints = [{"at": at, "pid": seat, "ports": [port]} for at, seat, port in places]
    return agents.call("listen", {"token": TOKEN, "endpoints": endpoints}, timeout_s=TIMEOUT_S)


def test_a_call_is_made_by_the_agents_of_its_places_and_answered_as_one(
    agents: SeatedAgents, host: PodHost
) -> None:
    seats = [host.seat(f"c{n}", "ns", f"web-{n}") for n in (1, 2)]
    ports = [free_port(), free_port(), free_port()]
    answer = listening(
        agents, ("n1", HOME, ports[0]), ("web.1", seats[0], ports[1]), ("web.2", seats[1], ports[2])
    )
    assert answer["opened"] == {"n1": [ports[0]], "web.1": [ports[1]], "web.2": [ports[2]]}
    probes = [
        {
            "at": "web.1",
            "pid": seats[0],
            "key": f"to-{port}",
            "protocol": "tcp",
            "address": "127.0.0.1",
            "port": port,
            "token": TOKEN,
            "timeout_s": 2.0,
        }
        for port in ports
    ]
    rows = Recorder()
    agents.call("probe", {"probes": probes, "parallel": 4}, timeout_s=TIMEOUT_S, on_batch=rows.on_batch)
    assert {op.key: op.value for op in rows.ops()} == {
        f"to-{ports[0]}": "ok n1",
        f"to-{ports[1]}": "ok web.1",
        f"to-{ports[2]}": "ok web.2",
    }
    started = [line for line in log(host) if " exec " in f" {line} "]
    assert len(started) == 3  # one in each pod, kept


def test_a_pod_that_is_not_there_is_named(agents: SeatedAgents, host: PodHost) -> None:
    seat = host.seat("c1", "ns", "gone")
    with pytest.raises(EnvironmentBroken, match="in pod gone"):
        listening(agents, ("web.1", seat, free_port()))
    assert agents.alive(TIMEOUT_S)


def test_pods_that_have_gone_are_no_trouble_at_the_end(agents: SeatedAgents, host: PodHost) -> None:
    seat = host.seat("c1", "ns", "web-1")
    listening(agents, ("web.1", seat, free_port()))
    agents._agents[seat].close()
    agents.call("unlisten", {}, timeout_s=TIMEOUT_S)
    agents._agents[HOME].close()
    with pytest.raises(ChannelLost):
        agents.call("unlisten", {}, timeout_s=TIMEOUT_S)


def test_lists_are_split_by_place_and_all_else_is_everybodys() -> None:
    params = {
        "token": "t",
        "puts": [{"at": "a", "pid": 1, "path": "/x"}, {"at": "b", "pid": 2, "path": "/y"}],
        "gets": [],
    }
    assert apart(params) == {
        1: {"token": "t", "puts": [{"at": "a", "pid": 0, "path": "/x"}], "gets": []},
        2: {"token": "t", "puts": [{"at": "b", "pid": 0, "path": "/y"}], "gets": []},
    }
    assert apart({"nonce": "x"}) == {HOME: {"nonce": "x"}}


def test_answers_are_merged() -> None:
    first, second = {"workers": {"w1": {"end": ""}}}, {"workers": {"w2": {"end": "full"}}}
    whole = {"w1": {"end": ""}, "w2": {"end": "full"}}
    assert together([first, second, {"n": 3}]) == {"workers": whole, "n": 3}


def test_nothing_but_kubectl_runs_on_this_machine(host: PodHost) -> None:
    result = host.api.run(("rm", "-rf", "/nowhere"), timeout_s=5)
    assert result.code == 127
    assert host.run(("echo", "here"), timeout_s=5).stdout == "here\n"
    assert host.rights == frozenset()
