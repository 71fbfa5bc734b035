"""Everything below `session` made up: fakes of provider, orchestrator and agents in the real registries."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.model.plan import Plan
from harness.ports import Cluster, Container, Host, Progress, Result, Sight
from harness.session import Options, registries
from harness.transport.agent import Agent
from tests.fakes import Answer, FakeHost, FakeProvider
from tests.runner_fakes import FakeAgent, FakeOrchestrator, container

LAB: dict[str, Any] = {
    "name": "lab",
    "networks": {"app": {"driver": "overlay"}},
    "services": {"web": {"deploy": {"mode": "global"}, "networks": ["app"]}},
    "checks": [{"mtu": None}, {"latency": {"count": 10}}],
}


def write_topology(folder: Path, **changes: Any) -> Path:
    file = folder / "lab.yaml"
    file.write_text(yaml.safe_dump({**LAB, **changes}))
    return file


class LabOrchestrator(FakeOrchestrator):
    """One global service. `raises` maps a verb to what it raises, once; `events` records the verbs."""

    def __init__(self, events: list[str]) -> None:
        super().__init__(live=tasks())
        self.raises: dict[str, BaseException] = {}
        self.events = events

    def join(self, cluster: Cluster, plan: Plan, progress: Progress) -> None:
        self._say("join")

    def apply(self, cluster: Cluster, plan: Plan, progress: Progress) -> None:
        self._say("apply")
        self.live = tasks()

    def delete(self, cluster: Cluster, plan: Plan) -> None:
        self._say("delete")

    def look(self, cluster: Cluster, plan: Plan) -> Sight:
        self._fail("look")
        return Sight(tuple(self.live))

    def _say(self, verb: str) -> None:
        self.events.append(verb)
        self._fail(verb)

    def _fail(self, verb: str) -> None:
        error = self.raises.pop(verb, None)
        if error is not None:
            raise error


def tasks() -> list[Container]:
    return [container(f"web.n{i}", "web", f"n{i}", {"app": f"10.0.0.{i}"}, 100 + i) for i in (1, 2, 3)]


class LabAgent(FakeAgent):
    """An agent that a session starts and closes."""

    closed: bool = False

    def close(self) -> None:
        self.closed = True


@dataclass
class Network:
    """What agents see. `largest` is the biggest packet that passes; `raises` what a call raises, once."""

    largest: int = 1450
    raises: dict[str, BaseException] = field(default_factory=dict)
    ns: int = 1_000_000

    def __call__(self, agent: FakeAgent, method: str, params: Mapping[str, Any]) -> list[dict[str, Any]]:
        error = self.raises.pop(method, None)
        if error is not None:
            raise error
        answer: Callable[[Mapping[str, Any]], dict[str, Any]] | None
        answer = {"probe": self._probe, "bulk": self._bulk, "rtt": self._rtt}.get(method)
        items = params.get("probes") or params.get("transfers") or params.get("pairs") or ()
        return [self._timed(item, answer(item)) for item in items] if answer else []

    def _probe(self, probe: Mapping[str, Any]) -> dict[str, Any]:
        if not probe.get("df"):
            return {"f": probe["protocol"], "value": f"ok {_peer(probe)}"}
        passes = probe["packet_bytes"] <= self.largest
        return {"f": "df", "value": "ok" if passes else "mtu", "length": probe["packet_bytes"]}

    def _bulk(self, item: Mapping[str, Any]) -> dict[str, Any]:
        return {"f": "bulk", "value": f"ok {_peer(item)}", "length": item["bytes"], "offset": item["bytes"]}

    def _rtt(self, item: Mapping[str, Any]) -> dict[str, Any]:
        return {"f": "rtt", "value": f"ok {_peer(item)}"}

    def _timed(self, item: Mapping[str, Any], row: dict[str, Any]) -> dict[str, Any]:
        self.ns += 1000
        return {"n": 1, "at": item["at"], "key": item["key"], "start_ns": self.ns - 500, "end_ns": self.ns, **row}


def _peer(item: Mapping[str, Any]) -> str:
    return str(item["key"].split("|")[3])


@dataclass
class Lab:
    """The made-up world. `lacks` maps a node to the features that it has not."""

    folder: Path
    provider: FakeProvider
    orchestrator: LabOrchestrator
    network: Network = field(default_factory=Network)
    lacks: dict[str, str] = field(default_factory=dict)
    agents: list[LabAgent] = field(default_factory=list)
    agent_error: BaseException | None = None
    lines: list[str] = field(default_factory=list)
    hosts: list[FakeHost] = field(default_factory=list)

    @property
    def events(self) -> list[str]:
        return self.provider.events

    def options(self, **chosen: Any) -> Options:
        return Options(**{"seed": 3, "runs_dir": self.folder / "runs", **chosen})

    def make_host(self, name: str, address: str) -> Host:
        scripts: dict[tuple[str, ...], Result | Answer] = {("sh",): Result(0, "", ""), ("sh", "-c"): self._shell}
        self.hosts.append(FakeHost(name, address=address, answers=scripts))
        return self.hosts[-1]

    def _shell(self, argv: Any, _stdin: bytes) -> Result:
        if "uname" in argv[2]:
            return Result(0, "6.1.0\n26.1.5\n", "")
        asked = re.findall(r"\becho (\S+) ok\b", argv[2])
        answers = [f"{name} no {self.lacks[name]}" if name in self.lacks else f"{name} ok" for name in asked]
        return Result(0, "\n".join(answers), "")

    def start_agent(self, host: Host, *, timeout_s: float) -> LabAgent:
        if self.agent_error is not None:
            error, self.agent_error = self.agent_error, None
            raise error
        self.agents.append(LabAgent(host.name, self.network))
        return self.agents[-1]


def make_lab(folder: Path, patch: pytest.MonkeyPatch) -> Lab:
    """A world behind session's own registries; nothing of this machine is asked."""
    provider = FakeProvider()
    lab = Lab(folder, provider, LabOrchestrator(provider.events))
    provider.make_host = lab.make_host
    for made in (provider, FakeProvider(name="kind"), FakeProvider(name="vagrant")):
        patch.setitem(registries.PROVIDERS, made.name, partial(_same, made))
    patch.setitem(registries.ORCHESTRATORS, "swarm", lambda: lab.orchestrator)
    patch.setattr(Agent, "start", lab.start_agent)
    return lab


def _same(provider: FakeProvider) -> FakeProvider:
    return provider
