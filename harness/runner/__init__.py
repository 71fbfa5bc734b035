"""Runs experiments on a live cluster and records all that happens; judges nothing."""

from __future__ import annotations

from harness.runner._seams import AgentLike, Clock, JobLike, RecorderLike
from harness.runner.clocks import measured_clocks
from harness.runner.run import CheckRun, run_checks
from harness.runner.targets import choose_targets

__all__ = [
    "AgentLike",
    "CheckRun",
    "Clock",
    "JobLike",
    "RecorderLike",
    "choose_targets",
    "measured_clocks",
    "run_checks",
]
