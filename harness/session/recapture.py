"""A check that failed, once more while packets are captured: for runs in which nobody asked for captures.

A capture that begins after the failure shows a cluster that recovers; one in every run costs every run. So what
failed is asked again, where that is cheap and changes nothing that stands: a short check without faults and
volumes. What it says then stands beside the captures and changes no verdict.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from harness import checkers, evidence, faults
from harness.model.plan import Plan
from harness.model.topology import Check
from harness.model.verdict import Verdict
from harness.ports import Progress
from harness.runner import CheckRun, measured_clocks, run_checks
from harness.session import clusters
from harness.session.clusters import Live, agents_of
from harness.session.judging import stopped_by
from harness.transport.recorder import LINES, Recorder, read_history

#: A check that took longer is not asked again, nor are more networks than these captured.
LONGEST_S = 10.0
MOST_NETWORKS = 4
#: A check of a tenth of a second is over before a busy machine captures.
LISTENING_WITHIN_S = 6.0
#: Below a run's evidence.
FOLDER = "again"


def candidate(plan: Plan, verdicts: Sequence[Verdict], runs: Sequence[CheckRun]) -> tuple[Check | None, str]:
    """The first check that failed and may be asked again; else why not, for people. Pure."""
    took = {run.id: run.duration_s for run in runs if not run.dirty and run.error is None}
    checks = {check.id: check for check in plan.checks}
    failed = [checks[verdict.id] for verdict in verdicts if verdict.verdict == "fail" and verdict.id in checks]
    refused = [(check, _refusal(plan, check, took.get(check.id))) for check in failed]
    fitting = next((check for check, why in refused if not why), None)
    if fitting is not None or not refused:
        return fitting, ""
    check, why = refused[0]
    return None, f"{check.id} is not captured: {why}; --pcap NETWORK captures while it runs"


def _refusal(plan: Plan, check: Check, took_s: float | None) -> str:
    if took_s is None:
        return "it left the cluster changed, or came to no end"
    if check.faults:
        return "it has faults"
    if "volume" in check.params:
        return "it is about a volume"
    if took_s > LONGEST_S:
        return f"it took {took_s:.0f} s"
    return "" if networks_of(plan, check) else "it is about no network"


def networks_of(plan: Plan, check: Check) -> list[str]:
    """The one that it names, or all up to a number that is still cheap; only Swarm's can be captured."""
    if plan.orchestrator != "swarm":
        return []
    named = check.params.get("network")
    known = list(plan.topology.networks)
    return [named] if named in known else known[:MOST_NETWORKS]


def recapture(live: Live, plan: Plan, check: Check, folder: Path, progress: Progress) -> list[str]:
    """Write `folder/<node>/<network>.*` and `folder/again.txt`; returns what could not be had.

    The rows of the second time are below `folder/again`, away from the run's. Raises HarnessError.
    """
    captures = {network: f"{plan.cluster}-{network}" for network in networks_of(plan, check)}
    progress(f"{check.id} failed: once more while packets of {', '.join(captures)} are captured")
    missing = evidence.capturing.start(live.cluster, captures, within_s=LISTENING_WITHIN_S)
    try:
        said = _once_more(live, plan, check, folder / FOLDER, progress)
    finally:
        missing += evidence.capturing.save(live.cluster, captures, folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{FOLDER}.txt").write_text(f"{check.id}, once more while packets were captured: {said}\n")
    progress(f"{check.id}, once more: {said}")
    return missing


def _once_more(live: Live, plan: Plan, check: Check, folder: Path, progress: Progress) -> str:
    recorder = Recorder(folder / LINES)
    try:
        with ExitStack() as stack:
            agents = stack.enter_context(agents_of(live.cluster.hosts))
            if not live.cluster.shared_clock:
                stack.enter_context(measured_clocks(agents, recorder))
            [run] = run_checks(
                live.cluster,
                plan,
                live.orchestrator,
                faults=faults.REGISTRY,
                agents=agents,
                recorder=recorder,
                progress=progress,
                checks=[check],
                revive=partial(clusters.revive, agents, live.cluster.hosts),
            )
    finally:
        recorder.close()
    if run.error is not None:
        return f"unknown: {stopped_by(run.error)}"
    verdict = checkers.judge(read_history(folder), plan, check)
    return f"{verdict.verdict}: {verdict.reason}"
