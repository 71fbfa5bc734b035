"""From rows to verdicts and a report: the same for a run that has just ended and for one of last year."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import checkers, report
from harness.model.errors import HarnessError, UsageError
from harness.model.history import History
from harness.model.plan import Plan
from harness.model.run import BROKE_OFF, NOT_ASKED, FaultRecord, Run, overall, run_from_json
from harness.model.topology import Check
from harness.model.verdict import Outcome, Skip, Verdict
from harness.session.folder import RunFolder, telling
from harness.transport.recorder import read_history

#: How workloads begin what they refuse.
_BY_ITS_NAME = re.compile(r"^check \S+: ")


def stopped_by(error: HarnessError) -> str:
    """Why a check came to no end, kept apart by whose doing it was. It stands beside the check's name."""
    why = _BY_ITS_NAME.sub("", error.message)
    return f"{NOT_ASKED if isinstance(error, UsageError) else BROKE_OFF}{why}"


def judge(history: History, plan: Plan, stopped: Mapping[str, str], skipped: Iterable[Skip]) -> list[Verdict]:
    """One verdict a check that ran. `stopped` maps a check to what `stopped_by` says: at best unknown."""
    left_out = {skip.check for skip in skipped if not skip.part}
    verdicts = []
    for check in plan.checks:
        if check.id not in left_out:
            verdict = checkers.judge(history, plan, check)
            why = stopped.get(check.id)
            verdicts.append(verdict if why is None else _stopped(verdict, why, check))
    return verdicts


def _stopped(verdict: Verdict, why: str, check: Check) -> Verdict:
    """What was proven before the end stays; where proof takes an end, nothing is."""
    if check.kind in checkers.REST_ON_LAST_READS:
        nothing: dict[str, Any] = {"observed": "unmeasured", "count": 0, "of": 0, "witness": ""}
        promises = tuple(dataclasses.replace(promise, **nothing) for promise in verdict.promises)
        return dataclasses.replace(verdict, verdict="unknown", reason=why, promises=promises)
    outcome: Outcome = "fail" if verdict.verdict == "fail" else "unknown"
    return dataclasses.replace(verdict, verdict=outcome, reason=why)


def fault_records(history: History) -> tuple[FaultRecord, ...]:
    """From the `fault` rows: one record an injection, in seconds since the first row of its check."""
    records = []
    rows = sorted(history.only(f=["fault", "felt"]).ops(), key=lambda op: op.start_ns)
    for op in rows:
        if op.f != "fault" or op.value != "inject":
            continue
        same = [
            o for o in rows if o.start_ns >= op.start_ns and (o.check, o.key, o.at) == (op.check, op.key, op.at)
        ]
        healed = next((o for o in same if o.f == "fault" and o.value == "heal"), None)
        end_ns = healed.end_ns if healed else max(o.end_ns for o in same)
        felt = any(o.f == "felt" and o.outcome == "ok" and o.start_ns <= end_ns for o in same)
        origin = int(history.only(check=op.check)["start_ns"].min())
        records.append(
            FaultRecord(
                name=op.key,
                check=op.check,
                targets=tuple(op.at.split(",")),
                start_s=(op.start_ns - origin) / 1e9,
                end_s=(end_ns - origin) / 1e9,
                felt=felt,
                healed=healed is not None and healed.outcome == "ok",
            )
        )
    return tuple(records)


def judge_run(path: Path, *, only: Sequence[str] = ()) -> tuple[Run, Path]:
    """Judge a run folder again with the checkers of this version and write its report anew.

    Raises UsageError where `path` is no run, its history is damaged, or `only` names no check.
    """
    folder = _folder(path)
    plan = folder.read_plan()
    history = read_history(path)
    earlier = _earlier(folder, plan)
    env = folder.read_json("env.json")
    if only:
        plan = dataclasses.replace(plan, checks=_only(plan, only))
    stopped = {c.id: c.reason for c in earlier.checks if c.reason.startswith((BROKE_OFF, NOT_ASKED))}
    verdicts = judge(history, plan, stopped, earlier.skipped)
    no_skip = bool(env.get("no_skip"))
    verdict = overall(verdicts, error=earlier.error, skipped=earlier.skipped, no_skip=no_skip)
    run = dataclasses.replace(earlier, checks=tuple(verdicts), verdict=verdict, faults=fault_records(history))
    write_report(run, plan, history, env, folder)
    return run, path


def _only(plan: Plan, only: Sequence[str]) -> tuple[Check, ...]:
    unknown = [name for name in only if not any(name in (check.id, check.kind) for check in plan.checks)]
    if unknown:
        there = ", ".join(check.id for check in plan.checks) or "none"
        raise UsageError(f"--only {unknown[0]}: the run has no such check", hint=f"its checks are: {there}")
    return tuple(check for check in plan.checks if check.id in only or check.kind in only)


def view_of(path: Path) -> report.RunView:
    """An earlier run as its report shows it. Raises UsageError where `path` is no run."""
    folder = _folder(path)
    plan = folder.read_plan()
    return report.RunView(_earlier(folder, plan), plan, read_history(path), folder.read_json("env.json"))


def _folder(path: Path) -> RunFolder:
    if not path.is_dir():
        raise UsageError(f"{path}: there is no such run folder", hint="`ls runs/` shows the runs that are there")
    return RunFolder(path)


def write_report(run: Run, plan: Plan, history: History, env: Mapping[str, Any], folder: RunFolder) -> None:
    """Raises EnvironmentBroken, naming the folder, where the disk refuses."""
    with telling(folder.path):
        report.write_all(report.RunView(run, plan, history, env), folder.path)


def _earlier(folder: RunFolder, plan: Plan) -> Run:
    """What results.json says of the run; of one that was killed before it could be written: what the plan says."""
    try:
        return run_from_json(folder.read_json("results.json"))
    except ValueError:
        return Run(
            id=folder.path.resolve().name,
            topology=plan.topology.name,
            provider=plan.provider,
            orchestrator=plan.orchestrator,
            seed=plan.seed,
            verdict="unknown",
            error="the run ended before it wrote its results",
            started="",
            duration_s=0.0,
        )
