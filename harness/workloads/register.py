"""register: processes on every node write and read the same cells of a volume, through descriptors they keep
open.
"""

from __future__ import annotations

import random
from typing import Literal

from pydantic import Field

from harness.model.plan import Plan
from harness.model.topology import Check
from harness.workloads._cells import CellParams, on_cells
from harness.workloads._experiment import Experiment, Stages


class RegisterParams(CellParams):
    shim: Literal["none", "stale-read", "lost-write"] = Field(
        "none", description="A bug on purpose, to see the check fail"
    )


def run(params: RegisterParams, check: Check, plan: Plan, rng: random.Random) -> Stages:
    return on_cells("register", params, check, plan, rng)


WORKLOAD = Experiment("register", RegisterParams, run)
