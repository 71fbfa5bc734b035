"""Checks on cells: small files, or blocks of one file, that processes on every node write and read."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from harness.model.plan import Plan
from harness.model.topology import Check
from harness.ports import Container, Load
from harness.workloads._experiment import Stages
from harness.workloads._volumes import Volume, VolumeParams, final_program, on_volume, program, workers

SUFFIX = ".cells"


class CellParams(VolumeParams):
    keys: int = Field(4, ge=1, le=4096, description="Cells that are written and read")
    layout: Literal["files", "blocks"] = Field("files", description="A cell is a file, or a block of one file")
    block_bytes: int = Field(64, ge=24, le=65536, description="Length of a value, frame included")
    writes: float = Field(0.5, gt=0, lt=1, description="Share of the operations that write")


def on_cells(name: str, params: CellParams, check: Check, plan: Plan, rng: random.Random) -> Stages:
    """Workers on every node run the agent's program `name` on the same cells; then every host reads all of
    them.
    """

    def work(volume: Volume, ends: list[Container]) -> Iterator[Load]:
        items = workers(volume, ends, params.workers_per_node, SUFFIX)
        yield program(name, items, params, rng)

    def reads(volume: Volume, ends: list[Container]) -> Iterator[Load]:
        yield final_program(name, volume, ends, params, SUFFIX)

    return on_volume(params.volume, check, plan, rng, work=work, reads=reads)
