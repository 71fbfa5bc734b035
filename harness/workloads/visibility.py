"""visibility: how long a new name takes until the other hosts see it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from harness.model.plan import Plan
from harness.model.topology import Check
from harness.ports import Container, Load
from harness.workloads._experiment import Experiment, Stages
from harness.workloads._places import Item
from harness.workloads._volumes import Volume, VolumeParams, final_program, on_volume, program, workers

SUFFIX = ".visibility"


class VisibilityParams(VolumeParams):
    workers_per_node: int = Field(1, ge=1, le=64, description="Processes that make names and look on each node")
    rate_per_s: int = Field(
        500, ge=1, le=1_000_000, description="Looks a second and process, at all other hosts' names"
    )
    names_per_s: float = Field(20.0, gt=0, le=1000, description="New names a second and process")
    within_s: float | None = Field(
        None, gt=0, le=3600, description="A name that another host sees later than this breaks the promise"
    )
    block: int = Field(64, ge=16, le=1_000_000, description="Names a worker reserves at a time")
    shim: Literal["none", "hidden"] = Field("none", description="A bug on purpose, to see the check fail")


def run(params: VisibilityParams, check: Check, plan: Plan, rng: random.Random) -> Stages:
    def work(volume: Volume, ends: list[Container]) -> Iterator[Load]:
        items = list(workers(volume, ends, params.workers_per_node, SUFFIX))
        yield program("visibility", _with_others(items), params, rng)

    def reads(volume: Volume, ends: list[Container]) -> Iterator[Load]:
        yield final_program("visibility", volume, ends, params, SUFFIX)

    yield from on_volume(params.volume, check, plan, rng, work=work, reads=reads)


def _with_others(items: list[Item]) -> Iterator[Item]:
    """Each worker with the numbers of those on other nodes."""
    for node, item in items:
        yield node, {**item, "others": [other["writer"] for place, other in items if place != node]}


WORKLOAD = Experiment("visibility", VisibilityParams, run)
