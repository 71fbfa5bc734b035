"""commands: commands of one's own on nodes, one after another, recorded with their output and exit code.

It judges nothing but whether they ran: what they showed is for those who read the history (`harness reproduce`).
Faults of the check hold while the commands with `under_faults` run.
"""

from __future__ import annotations

import random
from itertools import groupby

from pydantic import Field

from harness.model.errors import UsageError
from harness.model.plan import Plan
from harness.model.topology import Check
from harness.ports import Command, Commands, Look, Under
from harness.workloads._experiment import Experiment, Params, Stages


class Step(Params):
    name: str = Field(..., pattern=r"^[a-z][a-z0-9-]{0,40}$", description="What the history calls it")
    node: str = Field(..., description="The node that runs it")
    run: str = Field(..., description="A line for sh(1); HARNESS_CLUSTER and `env` are set")
    timeout_s: float = Field(30.0, gt=0, le=3600, description="After this long nobody knows how it ended")
    undo: str | None = Field(None, description="Run at the end of the check, whatever happens; idempotent")
    under_faults: bool = Field(False, description="Run while the check's faults hold")


class CommandsParams(Params):
    steps: list[Step] = Field(..., min_length=1, max_length=50, description="One after another")
    env: dict[str, str] = Field(default_factory=dict, description="Set for every step, so that `--set` reaches it")


def run(params: CommandsParams, check: Check, plan: Plan, rng: random.Random) -> Stages:  # noqa: ARG001
    _refuse_nonsense(params, check, plan)
    yield Look("start")
    for under, steps in groupby(params.steps, key=lambda step: step.under_faults):
        commands = tuple(Commands((_command(step, params, plan),)) for step in steps)
        if under:
            yield Under(commands)
        else:
            yield from _each(commands)
    yield Look("end")


def _each(commands: tuple[Commands, ...]) -> Stages:
    """A generator, since what stages are sent is the scene."""
    yield from (command for command in commands)


def _refuse_nonsense(params: CommandsParams, check: Check, plan: Plan) -> None:
    """Raises UsageError."""
    nodes = [node.name for node in plan.nodes]
    names = [step.name for step in params.steps]
    for step in params.steps:
        if step.node not in nodes:
            raise UsageError(f"check {check.id}: step {step.name}: there is no node {step.node!r}")
        if names.count(step.name) > 1:
            raise UsageError(f"check {check.id}: the step {step.name} stands twice: give one another name")


def _command(step: Step, params: CommandsParams, plan: Plan) -> Command:
    env = ("env", f"HARNESS_CLUSTER={plan.cluster}", *(f"{name}={text}" for name, text in params.env.items()))
    undo = (*env, "sh", "-c", step.undo) if step.undo else ()
    return Command(
        step.node, step.name, (*env, "sh", "-c", step.run), step.timeout_s, undo, at=step.node, f="step"
    )


WORKLOAD = Experiment("commands", CommandsParams, run)
