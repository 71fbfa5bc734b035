"""names: processes on every node race for names, and replace one file by rename while others read it."""

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

SUFFIX = ".names"


class NamesParams(VolumeParams):
    rate_per_s: int = Field(20, ge=1, le=1000, description="Rounds a second; all hosts begin one at the same time")
    peeks: int = Field(10, ge=1, le=1000, description="How often a worker reads the replaced file in a round")
    block: int = Field(64, ge=16, le=1_000_000, description="Tokens a worker reserves at a time")
    shim: Literal["none", "two-winners", "gap-rename", "slow-rename"] = Field(
        "none", description="A bug on purpose, to see the check fail"
    )


def run(params: NamesParams, check: Check, plan: Plan, rng: random.Random) -> Stages:
    def work(volume: Volume, ends: list[Container]) -> Iterator[Load]:
        yield program("names", workers(volume, ends, params.workers_per_node, SUFFIX), params, rng)

    def reads(volume: Volume, ends: list[Container]) -> Iterator[Load]:
        yield final_program("names", volume, ends, params, SUFFIX)

    yield from on_volume(params.volume, check, plan, rng, work=work, reads=reads)


WORKLOAD = Experiment("names", NamesParams, run)
