"""blocks: processes on every node write whole blocks over each other, and read them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Literal

from pydantic import Field, field_validator

from harness.model.plan import Plan
from harness.model.topology import Check
from harness.ports import Container, Load
from harness.workloads._experiment import Experiment, Stages
from harness.workloads._volumes import Volume, VolumeParams, final_program, on_volume, program, workers

SUFFIX = ".blocks"
PAGE = 4096


class BlocksParams(VolumeParams):
    block_bytes: int = Field(65536, ge=PAGE, le=6 << 20, description="Length of a block: 4 KiB to 6 MiB")
    blocks: int = Field(1, ge=1, le=64, description="Blocks that are written over, side by side in one file")
    writes: float = Field(0.5, gt=0, lt=1, description="Share of writes among the operations")
    direct: bool = Field(False, description="O_DIRECT: past the page cache")
    rate_per_s: int = Field(200, ge=0, le=1_000_000, description="Operations a second and process; 0: unpaced")
    shim: Literal["none", "torn-read", "mixed-write"] = Field(
        "none", description="A bug on purpose, to see the check fail"
    )

    @field_validator("block_bytes")
    @classmethod
    def _whole_pages(cls, value: int) -> int:
        """O_DIRECT wants them, open(2), and so do the frames that a block is full of."""
        if value % PAGE:
            raise ValueError(f"must be a multiple of {PAGE}")
        return value


def run(params: BlocksParams, check: Check, plan: Plan, rng: random.Random) -> Stages:
    def work(volume: Volume, ends: list[Container]) -> Iterator[Load]:
        yield program("blocks", workers(volume, ends, params.workers_per_node, SUFFIX), params, rng)

    def reads(volume: Volume, ends: list[Container]) -> Iterator[Load]:
        yield final_program("blocks", volume, ends, params, SUFFIX)

    yield from on_volume(params.volume, check, plan, rng, work=work, reads=reads)


WORKLOAD = Experiment("blocks", BlocksParams, run)
