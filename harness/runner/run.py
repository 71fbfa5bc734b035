"""The way in: the checks of a plan, one after another, on a live cluster."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from harness.model.errors import EnvironmentBroken, UsageError
from harness.model.plan import Plan
from harness.model.topology import Check
from harness.ports import Cluster, Fault, Orchestrator, Progress, Workload
from harness.runner._check import CheckRunner
from harness.runner._looks import Looks
from harness.runner._seams import SYSTEM_CLOCK, AgentLike, Batch, Clock, RecorderLike, Revive
from harness.workloads import REGISTRY

#: For a check, what says of its rows so far whether they fail it; None where that cannot be told before the end.
Watcher = Callable[[Check], Callable[[list[Batch]], bool] | None]


@dataclass(frozen=True)
class CheckRun:
    """How one check went; what it showed is the checker's to say.

    `started_ns` is CLOCK_MONOTONIC. `error` stopped the check. `left` says, for people, what was not restored.
    """

    id: str
    started_ns: int
    duration_s: float
    error: UsageError | EnvironmentBroken | None = None
    left: tuple[str, ...] = ()

    @property
    def dirty(self) -> bool:
        """Whether the cluster must be remade before another check means anything."""
        return bool(self.left)


def run_checks(
    cluster: Cluster,
    plan: Plan,
    orchestrator: Orchestrator,
    *,
    faults: Mapping[str, Fault],
    agents: Mapping[str, AgentLike],
    recorder: RecorderLike,
    progress: Progress,
    checks: Sequence[Check] | None = None,
    workloads: Mapping[str, Workload] = REGISTRY,
    clock: Clock = SYSTEM_CLOCK,
    watcher: Watcher | None = None,
    revive: Revive | None = None,
) -> list[CheckRun]:
    """Run `checks` (default: the plan's) in order and record what happens.

    A check that fails to run is a CheckRun with an error, and the next one goes on. After one that leaves the
    cluster dirty nothing more is run: the list is then shorter than `checks`, and the caller goes on with the rest
    on a cluster made anew. Faults are healed and changes taken back on every way out, an interrupt included.
    `revive` replaces, in `agents`, one that went down with its host when a fault took its power.
    With a `watcher` a check's load ends as soon as what stands in the history fails the check.
    Raises EnvironmentBroken where the history cannot be written, UsageError for a kind of check that is not known.
    """
    runs: list[CheckRun] = []
    looks = Looks(cluster, plan, orchestrator, clock)
    for check in plan.checks if checks is None else checks:
        runner = CheckRunner(
            cluster,
            plan,
            orchestrator,
            check,
            faults=faults,
            agents=agents,
            recorder=recorder,
            progress=progress,
            clock=clock,
            looks=looks,
            fails=watcher(check) if watcher else None,
            revive=revive,
        )
        runs.append(_run(runner, check, _workload(workloads, check), clock))
        _report(runs[-1], progress)
        if runs[-1].dirty:
            break
    return runs


def _run(runner: CheckRunner, check: Check, workload: Workload, clock: Clock) -> CheckRun:
    started_ns = clock.now_ns()
    error = runner.run(workload)
    return CheckRun(check.id, started_ns, (clock.now_ns() - started_ns) / 1e9, error, runner.left)


def _workload(workloads: Mapping[str, Workload], check: Check) -> Workload:
    if check.kind not in workloads:
        raise UsageError(f"no check is called {check.kind!r}; there are {', '.join(sorted(workloads))}")
    return workloads[check.kind]


def _report(run: CheckRun, progress: Progress) -> None:
    if run.error:
        progress(f"{run.id}: stopped: {run.error.message}")
    if run.dirty:
        progress(f"{run.id}: the cluster is not as it was: {'; '.join(run.left)}")
