"""no-space: workers fill a volume; what was not refused is looked for from every host.

The volume gets full by what they write, or by the fault `disk-full`, which takes the room away and gives it back.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from harness.model.plan import Plan
from harness.model.topology import Check
from harness.ports import Container, Load
from harness.workloads._experiment import Experiment, Stages
from harness.workloads._volumes import Volume, VolumeParams, final_program, on_volume, program, workers

SUFFIX = ".space"


class NoSpaceParams(VolumeParams):
    rate_per_s: int = Field(50, ge=0, le=1_000_000, description="Records a second and process; 0: unpaced")
    record_bytes: int = Field(65536, ge=24, le=1 << 24, description="Length of a record, frame included")
    sync_share: float = Field(
        0.5, ge=0, le=1, description="Share of the records that are synced before they are closed"
    )
    block: int = Field(64, ge=16, le=1_000_000, description="Sequence numbers a worker reserves at a time")
    shim: Literal["none", "swallow"] = Field("none", description="A bug on purpose, to see the check fail")


def run(params: NoSpaceParams, check: Check, plan: Plan, rng: random.Random) -> Stages:
    numbers: list[int] = []

    def work(volume: Volume, ends: list[Container]) -> Iterator[Load]:
        items = list(workers(volume, ends, params.workers_per_node, SUFFIX))
        numbers.extend(int(item["writer"]) for _, item in items)
        yield program("space", iter(items), params, rng)

    def reads(volume: Volume, ends: list[Container]) -> Iterator[Load]:
        yield final_program("space", volume, ends, params, SUFFIX, writers=numbers)

    yield from on_volume(params.volume, check, plan, rng, work=work, reads=reads, anew=True)


WORKLOAD = Experiment("no-space", NoSpaceParams, run)
