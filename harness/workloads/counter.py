"""counter: processes on every node increment one number in a file, under a lock."""

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

SUFFIX = ".counter"


class CounterParams(VolumeParams):
    lock: Literal["fcntl", "flock"] = Field("fcntl", description="Which lock: fcntl(2) on the file, or flock(2)")
    rate_per_s: int = Field(1000, ge=0, le=1_000_000, description="Increments a second and process; 0: unpaced")
    block: int = Field(64, ge=16, le=1_000_000, description="Increments a worker reserves at a time")
    shim: Literal["none", "no-lock", "stale-read"] = Field(
        "none", description="A bug on purpose, to see the check fail"
    )


def run(params: CounterParams, check: Check, plan: Plan, rng: random.Random) -> Stages:
    def work(volume: Volume, ends: list[Container]) -> Iterator[Load]:
        yield program("counter", workers(volume, ends, params.workers_per_node, SUFFIX), params, rng)

    def reads(volume: Volume, ends: list[Container]) -> Iterator[Load]:
        yield final_program("counter", volume, ends, params, SUFFIX)

    yield from on_volume(params.volume, check, plan, rng, work=work, reads=reads, anew=True)


WORKLOAD = Experiment("counter", CounterParams, run)
