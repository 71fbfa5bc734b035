"""What every kind of check is made of: a model of its parameters and a generator of stages."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from harness.model.plan import Demand, Plan
from harness.model.topology import Check, Topology
from harness.ports import Scene, Stage

#: Probes that start or end at a node itself (ports.Workload.node_part).
FROM_AND_TO_NODES = "from and to nodes"

Stages = Generator[Stage, Scene, None]


class Params(BaseModel):
    """Base of all parameters: what a check does not know is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


P = TypeVar("P", bound=Params)


@dataclass(frozen=True)
class Experiment(Generic[P]):
    """A ports.Workload, whose properties stand there. `run` yields a Look first, since only a yield hands it the
    scene. `needs` are features of every node; without them the check is skipped.
    """

    name: str
    params: type[P]
    run: Callable[[P, Check, Plan, random.Random], Stages]
    needs: tuple[str, ...] = ()
    on_nodes: bool = False
    node_part: str | None = None
    asks_services: bool = False
    subject: tuple[str, str] | None = None

    def demands(self, check: Check, topology: Topology) -> list[Demand]:  # noqa: ARG002 - the seam's signature
        """Beyond what networks and volumes demand: agents bring all they use, other programs must be there."""
        return [Demand(feature, f"check {check.id}") for feature in self.needs]

    def stages(self, check: Check, plan: Plan, rng: random.Random) -> Stages:
        return self.run(self.params.model_validate(check.params), check, plan, rng)
