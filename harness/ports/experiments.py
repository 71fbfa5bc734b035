"""Experiments: their stages, what goes wrong meanwhile, and who judges."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from pydantic import BaseModel

from harness.model.history import History
from harness.model.plan import Demand, Plan
from harness.model.topology import Check, Topology
from harness.model.verdict import Verdict
from harness.ports.hosts import Cluster, Right
from harness.ports.orchestrators import Act, Container, PublishedAddress


@dataclass(frozen=True)
class Program:
    """A call of the agent (docs/agent.md lists them). A program with `until_stopped` runs until the runner
    stops it: faults are timed against it, and it goes on until they are healed.
    """

    method: str
    params: Mapping[str, Any]
    timeout_s: float
    until_stopped: bool = False


@dataclass(frozen=True)
class Assignment:
    host: str
    program: Program


@dataclass(frozen=True)
class Load:
    """Run all programs at once. With `hold_s` > 0 those with until_stopped run at least that long.

    `faults`: the check's faults are injected while this load runs; at most one Load of a check has it. `acts` are
    performed one after another while it runs, after the faults.
    """

    assignments: tuple[Assignment, ...]
    faults: bool = False
    hold_s: float = 0.0
    acts: tuple[Act, ...] = ()


@dataclass(frozen=True)
class Acts:
    """Several changes at once; all have ended, well or not, before the next stage."""

    acts: tuple[Act, ...]


@dataclass(frozen=True)
class Look:
    """Take the scene anew and record it as `endpoint` rows under `phase`."""

    phase: str


@dataclass(frozen=True)
class Command:
    """What the agent has no call for: `argv` is run once on `host` (empty: the host of the wire) and recorded as
    a row (`f`, `key`, `at`; `value` its output, `errno` its exit code).

    `undo` is run at the end of the check, whatever happens, on the same host; it must be idempotent.
    """

    host: str
    key: str
    argv: tuple[str, ...]
    timeout_s: float
    undo: tuple[str, ...] = ()
    at: str = ""
    f: str = "command"


@dataclass(frozen=True)
class Commands:
    """Several commands at once; all have ended, well or not, before the next stage."""

    commands: tuple[Command, ...]


@dataclass(frozen=True)
class Repeat:
    """Run `load` again every `every_s` until `settled(new rows)` or `within_s` is over; all rows are kept."""

    load: Load | Commands
    settled: Callable[[History], bool]
    within_s: float
    every_s: float = 0.5


@dataclass(frozen=True)
class Under:
    """Inject all of the check's faults, run the commands while they hold, then heal them and wait for recovery.
    Without faults the commands are run as they are. A check has this or a Load with faults, not both.
    """

    commands: tuple[Commands, ...]


Stage = Load | Acts | Commands | Look | Repeat | Under


@dataclass(frozen=True)
class Scene:
    """The cluster as it is now. `nodes` maps a node to its address on the wire, and is empty where agents cannot
    stand in the nodes' own networks; `port` is the agents' own listening port and `token` what they answer with,
    so that a foreign listener is noticed.
    """

    containers: tuple[Container, ...]
    nodes: Mapping[str, str]
    published: tuple[tuple[str, PublishedAddress], ...] = ()
    port: int = 7799
    token: str = ""

    def on(self, node: str) -> list[Container]:
        return [container for container in self.containers if container.node == node]

    def of(self, service: str) -> list[Container]:
        return [container for container in self.containers if container.service == service]


class Workload(Protocol):
    """The experiment behind one kind of check."""

    @property
    def name(self) -> str: ...
    @property
    def params(self) -> type[BaseModel]:
        """The check's parameters, defaults included; from it come validation and the JSON schema."""

    @property
    def on_nodes(self) -> bool:
        """Whether it runs commands on nodes: skipped where hosts give no shell."""

    @property
    def node_part(self) -> str | None:
        """What of it the nodes themselves would do: skipped where not even a pod may stand in their network. Empty
        is all of it, None nothing.
        """

    @property
    def asks_services(self) -> bool:
        """Whether it asks for the parts of services, virtual addresses and published ports: those that the hosts
        cannot carry are told as skipped. Its parameter `services` narrows which.
        """

    @property
    def subject(self) -> tuple[str, str] | None:
        """The one orchestrator that has what it is about, and what that is; None: every one has."""

    def demands(self, check: Check, topology: Topology) -> list[Demand]: ...

    def stages(self, check: Check, plan: Plan, rng: random.Random) -> Generator[Stage, Scene, None]:
        """The experiment, stage by stage: each yield returns the latest scene."""


@dataclass(frozen=True)
class Felt:
    """Whether a fault reached its target, and by what it was seen."""

    felt: bool
    evidence: str


class Fault(Protocol):
    """Something that goes wrong on purpose. Healing is part of the fault and works from labels alone."""

    @property
    def name(self) -> str: ...
    @property
    def rights(self) -> frozenset[Right]: ...
    def demands(self) -> list[Demand]: ...

    def inject(self, cluster: Cluster, targets: Sequence[str], direction: str, *, timeout_s: float) -> None:
        """Returns when the fault holds. `direction` is both, in or out, seen from the targets."""

    def felt(self, cluster: Cluster, targets: Sequence[str], direction: str, *, timeout_s: float) -> Felt:
        """Ask the fault's own probe now."""

    def heal(self, cluster: Cluster, *, timeout_s: float) -> list[str]:
        """Undo this fault on the whole cluster, whoever injected it. Idempotent. Returns what it undid."""


@runtime_checkable
class Tunable(Protocol):
    """A fault with keys of its own in YAML, beside its target and times (`{fault: rate, target: n2, mbit: 10}`).

    Healing does not depend on them: who heals knows the cluster and nothing else.
    """

    @property
    def params(self) -> type[BaseModel]:
        """Its keys, defaults included; from it come validation and the JSON schema."""

    def given(self, params: Mapping[str, Any]) -> Fault:
        """The same fault with these parameters, which are valid ones."""


@runtime_checkable
class Tied(Protocol):
    """A fault that acts on what one orchestrator alone has on its nodes: a kubelet, Docker's containers."""

    @property
    def orchestrator(self) -> str: ...


class Checker(Protocol):
    """Judges one check. Pure: from the same rows and plan, the same verdict."""

    def __call__(self, history: History, plan: Plan, check: Check) -> Verdict: ...
