"""Kubernetes by its API alone: kubectl on this machine, and pods of ours in the place of hosts."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.ports import Channel, Result, Right
from harness.transport.deadlines import run_bounded
from harness.transport.process import ProcessChannel, run_process

#: The container of all our pods that has Python.
CONTAINER = "main"
NAME = "kubectl"


def last_seen(event: Mapping[str, Any]) -> str:
    """When an event came for the last time, in a form that sorts (RFC 3339)."""
    return str(event.get("lastTimestamp") or event["metadata"]["creationTimestamp"])


@dataclass(frozen=True)
class KubectlHost:
    """Our own machine, for commands of kubectl and nothing else. `program` is where kubectl is; `redact` takes the
    secrets of the kubeconfig out of whatever kubectl says.
    """

    program: str
    redact: Callable[[str], str] = str
    name: str = NAME
    address: str = ""
    rights: frozenset[Right] = frozenset()

    def run(self, argv: Sequence[str], *, timeout_s: float, stdin: bytes = b"") -> Result:
        """Code 127 for anything else than kubectl, as where a program is not there."""
        if argv[0] != NAME:
            return Result(127, "", f"{argv[0]}: not run: a cluster that exists gives no shell")
        result = run_process((self.program, *argv[1:]), timeout_s=timeout_s, stdin=stdin, where=self.name)
        return Result(result.code, self.redact(result.stdout), self.redact(result.stderr))

    def channel(self, argv: Sequence[str]) -> Channel:
        return ProcessChannel((self.program, *argv[1:]), where=self.name)


@dataclass(frozen=True)
class Place:
    """A pod, by its namespace and name; `container` is the ID of what runs in it."""

    namespace: str
    pod: str
    container: str = ""


@dataclass
class PodHost:
    """A node that gives no shell: what we run there runs in a pod of ours, in the node's own network where the
    cluster allows it. It has no rights, so nothing is done to the node itself.

    Other pods of the node have a seat each, a number that stands for the process that a host with a shell would
    show; the agents in them are reached by it (`transport.seats`).
    """

    name: str
    address: str
    api: KubectlHost
    client: tuple[str, ...]
    home: Place
    rights: frozenset[Right] = frozenset()
    version: str = ""
    _seats: dict[int, Place] = field(default_factory=dict)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _changing: threading.Lock = field(default_factory=threading.Lock)

    def run(self, argv: Sequence[str], *, timeout_s: float, stdin: bytes = b"") -> Result:
        """In the node's pod; the deadline stands there too."""
        return self.run_in(self.home, argv, timeout_s=timeout_s, stdin=stdin, where=self.name)

    def run_in(self, place: Place, argv: Sequence[str], *, timeout_s: float, stdin: bytes, where: str) -> Result:
        def inside(words: Sequence[str], within_s: float) -> Result:
            return self.api.run(self._within(place, words), timeout_s=within_s, stdin=stdin)

        return run_bounded(inside, argv, timeout_s=timeout_s, where=where)

    def channel(self, argv: Sequence[str]) -> Channel:
        return ProcessChannel((self.api.program, *self._within(self.home, argv)[1:]), where=self.name)

    def terminal(self, argv: Sequence[str]) -> list[str]:
        """What to execute on this machine to run `argv` in the node's pod with the caller's terminal."""
        words = self._within(self.home, argv)
        return [self.api.program, *("-it" if word == "-i" else word for word in words[1:])]

    def seat(self, container: str, namespace: str, pod: str) -> int:
        """The same container has the same number, always; another one in the same pod has another."""
        wanted = Place(namespace, pod, container)
        with self._changing:
            known = next((number for number, place in self._seats.items() if place == wanted), None)
            number = known or next(self._numbers)
            self._seats[number] = wanted
        return number

    @property
    def seats(self) -> Mapping[int, Place]:
        return self._seats

    def at(self, seat: int) -> Seat:
        return Seat(self, self._seats[seat])

    def _within(self, place: Place, argv: Sequence[str]) -> tuple[str, ...]:
        where = ("--namespace", place.namespace, "exec", "-i", place.pod, "-c", CONTAINER, "--")
        return (*self.client, *where, *argv)


@dataclass(frozen=True)
class Seat:
    """One pod of a node as a host for an agent."""

    node: PodHost
    place: Place

    @property
    def name(self) -> str:
        return f"{self.node.name}, in pod {self.place.pod}"

    @property
    def address(self) -> str:
        return ""

    @property
    def rights(self) -> frozenset[Right]:
        return frozenset()

    def run(self, argv: Sequence[str], *, timeout_s: float, stdin: bytes = b"") -> Result:
        return self.node.run_in(self.place, argv, timeout_s=timeout_s, stdin=stdin, where=self.name)

    def channel(self, argv: Sequence[str]) -> Channel:
        return ProcessChannel((self.node.api.program, *self.node._within(self.place, argv)[1:]), where=self.name)
