"""The seams. Everything that may have a second implementation is a Protocol of this package.

Rules that hold for all of them:
- every call that leaves this process takes `timeout_s`, and none has a default;
- nothing is retried below the caller: an unanswered write is indeterminate;
- what is missing is named (a Demand, a Right), never guessed.

tests/contract runs one suite against every implementation of a seam, the fakes of tests/fakes.py included.
"""

from __future__ import annotations

from harness.ports.drivers import (
    Daemon,
    Declared,
    NetworkDriver,
    Store,
    VolumeDriver,
)
from harness.ports.experiments import (
    Acts,
    Assignment,
    Checker,
    Command,
    Commands,
    Fault,
    Felt,
    Load,
    Look,
    Program,
    Repeat,
    Scene,
    Stage,
    Tied,
    Tunable,
    Under,
    Workload,
)
from harness.ports.hosts import (
    Channel,
    Cluster,
    ClusterInfo,
    HasSeats,
    HasTerminal,
    Host,
    Lifecycle,
    NodeState,
    Progress,
    Provider,
    Result,
    Right,
    Survey,
    TakesSnapshots,
    Wire,
)
from harness.ports.orchestrators import (
    Act,
    Address,
    Container,
    Orchestrator,
    PublishedAddress,
    Sight,
    State,
)

__all__ = [
    "Act",
    "Acts",
    "Address",
    "Assignment",
    "Channel",
    "Checker",
    "Cluster",
    "ClusterInfo",
    "Command",
    "Commands",
    "Container",
    "Daemon",
    "Declared",
    "Fault",
    "Felt",
    "HasSeats",
    "HasTerminal",
    "Host",
    "Lifecycle",
    "Load",
    "Look",
    "NetworkDriver",
    "NodeState",
    "Orchestrator",
    "Program",
    "Progress",
    "Provider",
    "PublishedAddress",
    "Repeat",
    "Result",
    "Right",
    "Scene",
    "Sight",
    "Stage",
    "State",
    "Store",
    "Survey",
    "TakesSnapshots",
    "Tied",
    "Tunable",
    "Under",
    "VolumeDriver",
    "Wire",
    "Workload",
]
