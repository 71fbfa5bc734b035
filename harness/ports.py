"""The seams. Everything that may have a second implementation is a Protocol on this page.

Rules that hold for all of them:
- every call that leaves this process takes `timeout_s`, and none has a default;
- nothing is retried below the caller: an unanswered write is indeterminate;
- what is missing is named (a Demand, a Right), never guessed.

tests/contract runs one suite against every implementation of a seam, the fakes of tests/fakes.py included.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from pydantic import BaseModel

from harness.model.errors import HarnessError
from harness.model.history import History
from harness.model.plan import Demand, Document, NetworkPlan, Plan, Step, StorePlan, VolumePlan
from harness.model.policies import Pod
from harness.model.topology import Check, Network, Topology, Volume
from harness.model.verdict import Verdict

#: What a cluster lets us do. `shell`: commands on its hosts; `wire`: the link between them;
#: `lifecycle`: freeze, kill and start hosts; `networks`: make networks; `pods` and `nodes`: by the orchestrator,
#: end containers of ours, and shut nodes for new ones.
Right = Literal["shell", "wire", "lifecycle", "networks", "pods", "nodes"]

#: Says one line about long work. Called from several threads.
Progress = Callable[[str], None]


# --- hosts -----------------------------------------------------------------------------------------------


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


# --- orchestrators ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Address:
    """A container's place on a network. `ip` is IPv4; `ip6` is empty where there is none."""

    ip: str
    prefix: int
    mac: str = ""
    ip6: str = ""

    def of(self, family: int) -> str:
        """The address of IPv4 (4) or IPv6 (6); empty where there is none."""
        return self.ip6 if family == 6 else self.ip


@dataclass(frozen=True)
class Container:
    """A live container of a service. `name` is ours and stable over a run: `web.1` (replica), `edge.n2`
    (global), `probe` (plain). `pid` is that of its first process, as its node's agent sees it; 0: the node.
    `pod` is what policies see of it, on Kubernetes, where it has an address of its own.
    """

    name: str
    service: str
    node: str
    id: str
    pid: int
    networks: Mapping[str, Address] = field(default_factory=dict)
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    host: bool = False
    hostname: str = ""
    pod: Pod | None = None


@dataclass(frozen=True)
class PublishedAddress:
    """Where a published port of a service is reached: `mode` is host or ingress."""

    node: str
    ip: str
    port: int
    target: int
    protocol: str
    mode: str


@dataclass(frozen=True)
class Sight:
    """What runs at one moment; `published` is (service, where its port is reached)."""

    containers: tuple[Container, ...]
    published: tuple[tuple[str, PublishedAddress], ...] = ()


@dataclass(frozen=True)
class State:
    """Whether all is well: `complaints` for people, and how many containers of each service run."""

    complaints: tuple[str, ...]
    running: Mapping[str, int]

    def differs(self, before: State) -> list[str]:
        """What is worse or other than `before`, for people."""
        complaints = [text for text in self.complaints if text not in before.complaints]
        services = sorted({*self.running, *before.running})
        counts = {service: (before.running.get(service, 0), self.running.get(service, 0)) for service in services}
        return complaints + [
            f"{s} runs {now} containers, not {was}" for s, (was, now) in counts.items() if was != now
        ]


@dataclass(frozen=True)
class Act:
    """Change the cluster through its orchestrator.

    `scale`: exactly `replicas` containers of a replicated service. `update`: every container of a scheduled
    service is replaced, `parallelism` at once (0: all), the old one first or the new one first (`order`).
    `stop` and `start`: a plain `container`. `rename`: a plain container gets `name`; an empty one is its own.
    """

    kind: Literal["scale", "update", "stop", "start", "rename"]
    service: str
    replicas: int = 0
    container: str = ""
    name: str = ""
    parallelism: int = 1
    order: Literal["stop-first", "start-first"] = "stop-first"

    @property
    def key(self) -> str:
        """How the history calls it: `scale|web`, `stop|probe`."""
        return f"{self.kind}|{self.container or self.service}"

    @property
    def value(self) -> str:
        """What the history says of it; empty for stop and start."""
        values = {"scale": str(self.replicas), "rename": self.name, "update": f"{self.parallelism} {self.order}"}
        return values.get(self.kind, "")

    def __str__(self) -> str:
        to = f" to {self.value}" if self.kind == "scale" or self.name else ""
        return f"{self.kind} {self.container or self.service}{to}"


class Orchestrator(Protocol):
    """Swarm or Kubernetes on a cluster's hosts."""

    @property
    def name(self) -> str: ...

    def demands(self, topology: Topology) -> list[Demand]: ...

    def join(self, cluster: Cluster, plan: Plan, progress: Progress) -> None:
        """Make one orchestrated cluster of the hosts, or adopt the one that they already are."""

    def apply(self, cluster: Cluster, plan: Plan, progress: Progress) -> None:
        """Execute the plan's steps; returns when every container of the plan runs. Raises EnvironmentBroken
        with the orchestrator's own words about what does not.
        """

    def containers(self, cluster: Cluster, plan: Plan, service: str | None = None) -> list[Container]:
        """Running containers of one service or of all. Hosts that do not answer contribute none."""

    def look(self, cluster: Cluster, plan: Plan) -> Sight:
        """All running containers and all published ports, from one round trip a host."""

    def perform(
        self, cluster: Cluster, plan: Plan, act: Act, container: Container | None, *, timeout_s: float
    ) -> None:
        """Change the cluster; returns when it is so. `container` is the live one that `act` names, for those
        kinds that name one. Raises UsageError for what cannot be done to it, DeadlineExceeded, CommandFailed.
        """

    def state(self, cluster: Cluster, plan: Plan) -> State:
        """Without complaints when every node and container is Ready. An orchestrator that does not answer is a
        complaint.
        """

    def delete(self, cluster: Cluster, plan: Plan) -> None:
        """Remove what `apply` made. Idempotent; the cluster stays."""


# --- drivers: what a network or a volume means on an orchestrator (pure) ------------------------------------


@dataclass(frozen=True)
class Declared:
    """What a driver adds to a plan. `stack` is merged into the stack's section of its kind."""

    steps: tuple[Step, ...] = ()
    undo: tuple[Step, ...] = ()
    documents: tuple[Document, ...] = ()
    stack: Mapping[str, Any] = field(default_factory=dict)


class NetworkDriver(Protocol):
    """Registry key: (orchestrator, driver). Pure: no process, no socket."""

    def demands(self, name: str, network: Network) -> list[Demand]: ...
    def problems(self, name: str, network: Network) -> list[tuple[str, str]]:
        """What this driver cannot express: (key below the network, message)."""

    def plan(self, name: str, network: Network, wire_mtu: int) -> NetworkPlan: ...
    def declare(self, name: str, network: Network, plan: Plan) -> Declared: ...


class VolumeDriver(Protocol):
    """Registry key: (orchestrator, driver). Pure. `store` is the store that the volume names, None without one."""

    def demands(self, name: str, volume: Volume) -> list[Demand]: ...
    def problems(self, name: str, volume: Volume) -> list[tuple[str, str]]: ...
    def plan(self, name: str, volume: Volume, store: StorePlan | None) -> VolumePlan: ...
    def declare(self, name: str, volume: Volume, plan: Plan) -> Declared: ...


@dataclass(frozen=True)
class Daemon:
    """A server of a store, or a node's client of it, as a fault names it. `node` has it; `script` is a file there
    that is called with one word: `pid` prints the daemon's process numbers, nothing where it does not run; `start`
    starts it where it does not run, and returns when it has been started.
    """

    name: str
    node: str
    store: str
    script: str


class Store(Protocol):
    """The server side of a volume: Gluster peers, a Ceph cluster, an NFS export. Registry key: kind.

    The first four are pure. A node keeps hooks that start, mount and remove all it has of a store
    (`places.STORES_DIR`), so that a node that was killed remakes it, and `down` needs nothing but the cluster.
    """

    def demands(self, topology: Topology, store: str) -> list[Demand]:
        """`wanted_by` is `store NAME`. They are asked before `up`."""

    def problems(self, topology: Topology, store: str) -> list[tuple[str, str]]:
        """What this store cannot do: (key below the store, message). Options are refused by name."""

    def plan(self, topology: Topology, store: str) -> StorePlan: ...
    def declare(self, plan: Plan, store: str) -> Declared:
        """The steps of `up` and of every `mount`, in order; they stand in Plan.prepare with their documents."""

    def up(self, cluster: Cluster, plan: Plan, store: str, progress: Progress) -> None:
        """Start the servers, wait until they are usable, and mount the store on every node, with a directory for
        each volume. Before Orchestrator.join. Raises CommandFailed, DeadlineExceeded, EnvironmentBroken.
        """

    def mount(self, host: Host, plan: Plan, store: str, *, timeout_s: float) -> None:
        """Mount the store on one node where it is not mounted. Idempotent; servers are up."""

    def daemons(self, cluster: Cluster, store: str) -> Mapping[str, Sequence[Daemon]]:
        """Node to the daemons on it that a fault may name."""

    def down(self, cluster: Cluster, store: str) -> None:
        """Unmount, end and remove all of it, data included. Idempotent; works from the nodes alone."""


# --- experiments -------------------------------------------------------------------------------------------


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
