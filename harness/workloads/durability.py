"""durability: records are written and synced by processes that are killed, and looked for from every host."""

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

SUFFIX = ".durable"


class DurabilityParams(VolumeParams):
    rate_per_s: int = Field(200, ge=0, le=1_000_000, description="Records a second and process; 0: unpaced")
    record_bytes: int = Field(512, ge=24, le=65536, description="Length of a record, frame included")
    kill_share: float = Field(
        0.02, ge=0, le=1, description="Share of the records during which the writer is killed"
    )
    block: int = Field(64, ge=16, le=1_000_000, description="Sequence numbers a worker reserves at a time")
    killed: Literal["client", "server"] = Field(
        "client",
        description="Who dies: the processes that write, or what the check's faults kill, and nobody else",
    )
    shim: Literal["none", "early-ack", "no-sync"] = Field(
        "none", description="A bug on purpose, to see the check fail"
    )


def run(params: DurabilityParams, check: Check, plan: Plan, rng: random.Random) -> Stages:
    numbers: list[int] = []

    def work(volume: Volume, ends: list[Container]) -> Iterator[Load]:
        items = list(workers(volume, ends, params.workers_per_node, SUFFIX))
        numbers.extend(int(item["writer"]) for _, item in items)
        share = params.kill_share if params.killed == "client" else 0.0
        yield program("durable", iter(items), params.model_copy(update={"kill_share": share}), rng)

    def reads(volume: Volume, ends: list[Container]) -> Iterator[Load]:
        yield final_program("durable", volume, ends, params, SUFFIX, writers=numbers)

    yield from on_volume(params.volume, check, plan, rng, work=work, reads=reads, anew=True)


WORKLOAD = Experiment("durability", DurabilityParams, run)
