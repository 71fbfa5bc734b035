"""Agents of a node that gives no shell: one in the node's own pod, and one in each pod that a call is about.

To a caller they are one agent. A call is taken apart by the places that its lists name, and what the parts answer
is put together again. Within a pod an agent stands in the pod's own namespaces, so a place there has no process.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from harness.model.errors import ChannelLost, DeadlineExceeded, EnvironmentBroken
from harness.ports import Host
from harness.transport.agent import Agent, Job, OnBatch, OnReserve
from harness.transport.kubectl import PodHost
from harness.transport.parallel import at_once

#: Of the node's own pod.
HOME = 0
#: Calls that are about an agent and not about places: all of them answer, or the node's own does.
EVERYBODYS = ("unlisten",)
_PATIENCE_S = 90.0
_HINT = "an image of your own needs Python 3.9 or later as python3, and no other user than may run it"


class SeatedJob:
    """The parts of one call."""

    def __init__(self, method: str, jobs: Sequence[Job]) -> None:
        self.method = method
        self._jobs = jobs

    def stop(self) -> None:
        """All are told; then the first that could not be is raised. Raises ChannelLost."""
        lost: ChannelLost | None = None
        for job in self._jobs:
            try:
                job.stop()
            except ChannelLost as error:
                lost = lost or error
        if lost is not None:
            raise lost

    def wait(self, timeout_s: float) -> dict[str, Any]:
        """Raises, when all have been waited for, DeadlineExceeded where one goes on, else the first error."""
        until = time.monotonic() + timeout_s
        errors: list[EnvironmentBroken] = []
        answers: list[Mapping[str, Any]] = []
        for job in self._jobs:
            try:
                answers.append(job.wait(max(0.0, until - time.monotonic())))
            except EnvironmentBroken as error:
                errors.append(error)
        if errors:
            raise min(errors, key=lambda error: not isinstance(error, DeadlineExceeded))
        return together(answers)

    @property
    def ended(self) -> bool:
        return all(job.ended for job in self._jobs)


class SeatedAgents:
    """Has what `Agent` has. Nothing is ever sent twice."""

    def __init__(self, host: PodHost, home: Agent) -> None:
        self.where = host.name
        self.hello = home.hello
        self._host = host
        self._agents: dict[int, Agent] = {HOME: home}
        self._starting = threading.Lock()

    @classmethod
    def start(cls, host: PodHost, *, timeout_s: float) -> SeatedAgents:
        return cls(host, Agent.start(host, timeout_s=timeout_s))

    def open(
        self,
        method: str,
        params: Mapping[str, Any],
        on_batch: OnBatch | None,
        on_reserve: OnReserve | None = None,
    ) -> SeatedJob:
        """Agents that are wanted and not there yet are started, all at once. Raises EnvironmentBroken."""
        if method in EVERYBODYS:
            return SeatedJob(method, list(self._of_all(method, params, on_batch)))
        parts = apart(params)
        self._seat(sorted(parts))
        jobs: list[Job] = []
        try:
            for seat, part in parts.items():
                jobs.append(self._agents[seat].open(method, part, on_batch, on_reserve))
        except BaseException:
            _stop(jobs)
            raise
        return SeatedJob(method, jobs)

    def call(
        self, method: str, params: Mapping[str, Any], *, timeout_s: float, on_batch: OnBatch | None = None
    ) -> dict[str, Any]:
        job = self.open(method, params, on_batch)
        try:
            return job.wait(timeout_s)
        except DeadlineExceeded:
            _stop([job])
            raise

    def alive(self, timeout_s: float) -> bool:
        """Of the node: pods come and go."""
        return self._agents[HOME].alive(timeout_s)

    def close(self) -> None:
        at_once([agent.close for agent in self._agents.values()])

    def _seat(self, seats: Sequence[int]) -> None:
        with self._starting:
            absent = [seat for seat in seats if seat not in self._agents]
            started = at_once([partial(self._start, seat) for seat in absent])
            self._agents.update(zip(absent, started, strict=True))

    def _start(self, seat: int) -> Agent:
        if seat not in self._host.seats:
            raise EnvironmentBroken(f"on {self.where}: no pod has the number {seat}")
        try:
            return Agent.start(self._host.at(seat), timeout_s=_PATIENCE_S)
        except EnvironmentBroken as error:
            error.hint = _HINT
            raise

    def _of_all(self, method: str, params: Mapping[str, Any], on_batch: OnBatch | None) -> Iterator[Job]:
        """Those whose pods are gone have ended with them, and are forgotten; the node's own must be there."""
        for seat, agent in list(self._agents.items()):
            try:
                yield agent.open(method, params, on_batch)
            except ChannelLost:
                if seat == HOME:
                    raise
                agent.close()
                del self._agents[seat]


AnyAgent = Agent | SeatedAgents


def start_agent(host: Host, *, timeout_s: float) -> AnyAgent:
    """The agent of a host, or those of its pods. Raises EnvironmentBroken (ChannelLost, DeadlineExceeded)."""
    if isinstance(host, PodHost):
        return SeatedAgents.start(host, timeout_s=timeout_s)
    return Agent.start(host, timeout_s=timeout_s)


def apart(params: Mapping[str, Any]) -> dict[int, dict[str, Any]]:
    """The parameters of a call by seat: lists whose entries name a process are split, all else is everybody's.

    A call that names no process is the node's own.
    """
    lists = {name: value for name, value in params.items() if _names_places(value)}
    rest = {name: value for name, value in params.items() if name not in lists}
    seats = sorted({entry["pid"] for entries in lists.values() for entry in entries}) or [HOME]
    return {seat: {**rest, **{name: _sitting(entries, seat) for name, entries in lists.items()}} for seat in seats}


def _names_places(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(entry, Mapping) and "pid" in entry for entry in value)


def _sitting(entries: Sequence[Mapping[str, Any]], seat: int) -> list[dict[str, Any]]:
    return [{**entry, "pid": HOME} for entry in entries if entry["pid"] == seat]


def together(answers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What parts of a call answered, as one answer: mappings are merged, of all else the last one stands."""
    whole: dict[str, Any] = {}
    for answer in answers:
        for name, value in answer.items():
            known = whole.get(name)
            whole[name] = {**known, **value} if isinstance(known, dict) and isinstance(value, dict) else value
    return whole


def _stop(jobs: Sequence[Job | SeatedJob]) -> None:
    for job in jobs:
        try:
            job.stop()
        except ChannelLost:
            continue
