"""What a network or a volume means on an orchestrator (pure), and the servers behind volumes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from harness.model.plan import Demand, Document, NetworkPlan, Plan, Step, StorePlan, VolumePlan
from harness.model.topology import Network, Topology, Volume
from harness.ports.hosts import Cluster, Host, Progress


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
