"""What runs on a cluster, and who runs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from harness.model.plan import Demand, Plan
from harness.model.policies import Pod
from harness.model.topology import Topology
from harness.ports.hosts import Cluster, Progress


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
