"""close-to-open: processes on every node open, write or read, and close the same cells of a volume."""

from __future__ import annotations

import random
from typing import Literal

from pydantic import Field

from harness.model.plan import Plan
from harness.model.topology import Check
from harness.workloads._cells import CellParams, on_cells
from harness.workloads._experiment import Experiment, Stages


class CloseToOpenParams(CellParams):
    rate_per_s: int = Field(300, ge=0, le=1_000_000, description="Sessions a second and process; 0: unpaced")
    shim: Literal["none", "stale-open", "stale-close"] = Field(
        "none", description="A bug on purpose, to see the check fail"
    )


def run(params: CloseToOpenParams, check: Check, plan: Plan, rng: random.Random) -> Stages:
    return on_cells("sessions", params, check, plan, rng)


WORKLOAD = Experiment("close-to-open", CloseToOpenParams, run)
