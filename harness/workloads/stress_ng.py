"""stress-ng: on every host at once, stress-ng(1) works on the volume and verifies what it did itself."""

from __future__ import annotations

import random
from collections.abc import Iterator

from pydantic import Field, field_validator

from harness.model.plan import Plan
from harness.model.topology import Check
from harness.ports import Command, Commands, Container
from harness.workloads._experiment import Experiment, Params, Stages
from harness.workloads._volumes import Volume, on_volume, outside

#: How long stress-ng may take beyond its time to end its stressors and to remove its files.
_GRACE_S = 60.0
#: `link` ends by removing 8,192 names, whether it made them or not (stress-link.c). On GlusterFS, replica 3, that
#: took 13 s from one host on a busy machine, 44 s at a load of 100, and three hosts do it at once.
_LINK_GRACE_S = 240.0
_STRESSORS = ("lockf", "flock", "rename", "link", "dentry", "dir", "seek", "sync-file")


class StressNgParams(Params):
    volume: str = Field(..., description="The volume to work on")
    stressors: list[str] = Field(
        ["lockf", "flock", "rename", "link"], min_length=1, description=f"Of {', '.join(_STRESSORS)}"
    )
    workers: int = Field(1, ge=1, le=64, description="Processes of each stressor on each host")
    duration_s: float = Field(5.0, ge=1, le=86_400, description="How long each host works")

    @field_validator("stressors")
    @classmethod
    def _known(cls, value: list[str]) -> list[str]:
        """Only those that work on files: others would burn the machine and say nothing about the volume."""
        unknown = [name for name in value if name not in _STRESSORS]
        if unknown:
            raise ValueError(f"{unknown[0]!r} is not one of {', '.join(_STRESSORS)}")
        return value


def run(params: StressNgParams, check: Check, plan: Plan, rng: random.Random) -> Stages:
    seed = rng.getrandbits(31)

    def work(volume: Volume, ends: list[Container]) -> Iterator[Commands]:
        yield Commands(tuple(_stress(params, volume, end, seed) for end in ends))

    def reads(_volume: Volume, _ends: list[Container]) -> Iterator[Commands]:
        return iter(())

    yield from on_volume(params.volume, check, plan, rng, work=work, reads=reads)


def _stress(params: StressNgParams, volume: Volume, end: Container, seed: int) -> Command:
    """In a directory of its own; stress-ng says by its exit code what it found."""
    folder = outside(end, volume.file(end, f"-{end.node}.stress"))
    wanted = [word for name in params.stressors for word in (f"--{name}", str(params.workers))]
    stress = (
        "stress-ng", "--temp-path", folder, "--seed", str(seed), "--verify", "--metrics-brief",
        "--timeout", f"{params.duration_s:g}", *wanted,
    )  # fmt: skip
    argv = ("sh", "-c", 'mkdir -p "$1" && shift && exec "$@"', "sh", folder, *stress)
    remove = ("rm", "-rf", folder)
    timeout_s = params.duration_s + _GRACE_S + (_LINK_GRACE_S if "link" in params.stressors else 0)
    return Command(end.node, volume.name, argv, timeout_s, undo=remove, at=end.name, f="stress-ng")


WORKLOAD = Experiment("stress-ng", StressNgParams, run, needs=("package:stress-ng",))
