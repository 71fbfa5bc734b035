"""Hosts, the wire between them, and the providers that make them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from harness.model.errors import HarnessError
from harness.model.plan import Demand, Plan
from harness.model.topology import Topology

#: What a cluster lets us do. `shell`: commands on its hosts; `wire`: the link between them;
#: `lifecycle`: freeze, kill and start hosts; `networks`: make networks; `pods` and `nodes`: by the orchestrator,
#: end containers of ours, and shut nodes for new ones.
Right = Literal["shell", "wire", "lifecycle", "networks", "pods", "nodes"]

#: Says one line about long work. Called from several threads.
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Result:
    """How a command ended. `stdout` and `stderr` are decoded with replacement characters, never truncated."""

    code: int
    stdout: str
    stderr: str

    @property
    def ok(self) -> bool:
        return self.code == 0

    @property
    def output(self) -> str:
        return "\n".join(text for text in (self.stdout.strip(), self.stderr.strip()) if text)


class Channel(Protocol):
    """A kept two-way stream of lines to a process on a host. One reader, any number of writers."""

    def send(self, line: bytes) -> None:
        """Write one line, newline included. Raises ChannelLost."""

    def receive(self, timeout_s: float) -> bytes | None:
        """The next line with its newline; None when none came in time. Raises ChannelLost at the end."""

    def close(self) -> None:
        """End the process on the host as well. Idempotent."""


class Host(Protocol):
    """A node of a cluster, or the machine that holds the wire."""

    @property
    def name(self) -> str: ...
    @property
    def address(self) -> str:
        """Where other hosts reach it on the wire; empty where it has none."""

    @property
    def rights(self) -> frozenset[Right]: ...

    def run(self, argv: Sequence[str], *, timeout_s: float, stdin: bytes = b"") -> Result:
        """Run `argv` once. A code other than 0 is a Result, not an error.

        The deadline also ends the process on the host. Raises DeadlineExceeded, ChannelLost.
        """

    def channel(self, argv: Sequence[str]) -> Channel:
        """Start `argv` and keep its stdin and stdout."""


@runtime_checkable
class HasTerminal(Protocol):
    """A host that a person can look into."""

    def terminal(self, argv: Sequence[str]) -> list[str]:
        """What to execute on this machine to run `argv` on the host with the caller's terminal."""


@runtime_checkable
class HasSeats(Protocol):
    """A host without a shell, whose agents are in pods."""

    def seat(self, container: str, namespace: str, pod: str) -> int:
        """A number of the container that runs in a pod of this host, in the place of a process's; not 0."""


class Wire(Protocol):
    """The link between hosts, seen from outside them."""

    @property
    def host(self) -> Host:
        """Where nft, ip and tc act on the wire."""

    def port(self, node: str) -> str:
        """The interface on the wire that leads to `node`."""


NodeState = Literal["running", "frozen", "off"]


class Lifecycle(Protocol):
    """What can be done to a node from outside. All are idempotent."""

    def freeze(self, node: str, *, timeout_s: float) -> None:
        """Stop every process of the node; none is left running when it returns."""

    def thaw(self, node: str, *, timeout_s: float) -> None: ...
    def kill(self, node: str, *, timeout_s: float) -> None:
        """Power off, without a warning to anything on the node."""

    def start(self, node: str, *, timeout_s: float) -> None: ...
    def state(self, node: str, *, timeout_s: float) -> NodeState: ...


@dataclass(frozen=True)
class Cluster:
    """A live cluster. `wire` and `lifecycle` are None where we have no right to them.

    `shared_clock`: its hosts have one kernel with this machine, and so one CLOCK_MONOTONIC. `api` is where the
    orchestrator's client runs, None: on the managers. `called` maps a host's name to what the orchestrator calls
    that node, where it is another name. `in_nodes`: agents can stand in the nodes' own networks. `woken` is when
    the snapshot was taken that its hosts were woken from (ISO 8601, UTC), empty where they were started.
    """

    name: str
    run: str
    provider: str
    hosts: Mapping[str, Host]
    wire: Wire | None = None
    lifecycle: Lifecycle | None = None
    shared_clock: bool = True
    api: Host | None = None
    called: Mapping[str, str] = field(default_factory=dict)
    in_nodes: bool = True
    woken: str = ""

    @property
    def rights(self) -> frozenset[Right]:
        """What every host allows, and the wire and the lifecycle where we have them. Whoever has a shell on the
        managers has the orchestrator.
        """
        shared = frozenset.intersection(*(frozenset(host.rights) for host in self.hosts.values()))
        held: set[Right] = set(shared)
        held |= {"wire"} if self.wire else set()
        held |= {"lifecycle"} if self.lifecycle else set()
        held |= {"pods", "nodes"} if "shell" in shared else set()
        return frozenset(held)

    @property
    def slowness(self) -> float:
        """How many times longer its slowest host takes, where one says so: emulated guests start for minutes."""
        return max((getattr(host, "slowness", 1.0) for host in self.hosts.values()), default=1.0)


@dataclass(frozen=True)
class ClusterInfo:
    """What labels alone tell about a cluster. `since` is ISO 8601, UTC."""

    name: str
    run: str
    provider: str
    nodes: int
    since: str
    topology: str = ""
    key: str = ""


@dataclass(frozen=True)
class Survey:
    """The clusters that are there, as far as could be seen; `unseen` says what kept us from seeing the rest."""

    clusters: tuple[ClusterInfo, ...]
    unseen: tuple[HarnessError, ...] = ()


class Provider(Protocol):
    """Makes hosts. What it makes carries the run as a label or in its name; all verbs work from that alone."""

    @property
    def name(self) -> str: ...

    def demands(self, topology: Topology) -> list[Demand]: ...

    def up(self, plan: Plan, progress: Progress) -> Cluster:
        """Make the plan's nodes. When it fails, what it made is gone again."""

    def supply(self, cluster: Cluster, plan: Plan, progress: Progress) -> None:
        """Give the nodes the plan's images, as far as we have them. May run beside Orchestrator.join."""

    def find(self, name: str) -> Cluster:
        """A cluster that is there, by its name or its run. Raises UsageError, naming those that are."""

    def clusters(self) -> list[ClusterInfo]:
        """All clusters of this provider that are there. Raises EnvironmentBroken where that cannot be known."""

    def logs(self, name: str, into: Path) -> None:
        """Write every node's logs to `into/<node>/`. Best effort: what cannot be had is said in a file."""

    def down(self, name: str) -> list[str]:
        """Remove everything that carries the name, also what a killed run left half-made. Idempotent.

        Returns what was removed, for people.
        """

    def tidy(self) -> list[str]:
        """Stop what no cluster needs any more (an engine of our own), also after kill -9. Idempotent."""


@runtime_checkable
class TakesSnapshots(Protocol):
    """A provider whose next cluster of the same shape can go on where this one stood, instead of being made."""

    def wake(self, plan: Plan, progress: Progress) -> Cluster | None:
        """The plan's nodes from a snapshot of their like, under the names of the plan's run, with clocks that are
        right. None where there is none that fits, or where it did not wake: then nothing of it is left.
        """

    def take_snapshot(self, cluster: Cluster, plan: Plan, progress: Progress) -> Cluster:
        """Take one of `cluster`, which is formed and empty. Returns the cluster to go on with: its hosts may have
        been woken, or, where no snapshot could be taken, been made anew, without an orchestrator.
        """
