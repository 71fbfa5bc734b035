"""isolation: containers without a common network do not reach each other, while others do."""

from __future__ import annotations

import random
from typing import Literal

from pydantic import Field

from harness.model.plan import Plan
from harness.model.topology import Check
from harness.ports import Look
from harness.workloads._experiment import Experiment, Params, Stages
from harness.workloads._places import listen
from harness.workloads._probes import Prober


class IsolationParams(Params):
    protocols: list[Literal["icmp", "tcp", "udp"]] = Field(
        ["icmp", "tcp", "udp"], min_length=1, description="Protocols to probe with"
    )
    timeout_s: float = Field(1.0, ge=0.05, le=60, description="How long silence is listened to")


def run(params: IsolationParams, check: Check, plan: Plan, rng: random.Random) -> Stages:  # noqa: ARG001
    scene = yield Look("start")
    yield listen(scene, plan)
    prober = Prober(scene, plan, tuple(params.protocols), params.timeout_s)
    items = [*prober.closed_pairs(), *prober.controls()]
    rng.shuffle(items)
    yield prober.load(items)


WORKLOAD = Experiment("isolation", IsolationParams, run)
