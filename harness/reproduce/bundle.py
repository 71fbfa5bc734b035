"""The evidence of a reproduction as one Markdown text that can be pasted upstream, without secrets."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from harness.evidence import redact
from harness.model.plan import Plan
from harness.reproduce.catalog import Scenario
from harness.reproduce.running import Reproduction, Trial
from harness.session import new_run, view_of

MOST_ROWS = 60
MOST_OUTPUT = 4000
MOST_PACKETS = 25


def write_bundle(scenario: Scenario, told: Reproduction, runs_dir: Path) -> Path:
    """Write it beside the runs. Raises OSError."""
    path = runs_dir / f"{new_run()}-{scenario.id}.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(redact("\n".join(_lines(scenario, told)) + "\n"))
    return path


def _lines(scenario: Scenario, told: Reproduction) -> Iterator[str]:
    header, (low, high) = scenario.header, told.interval
    yield f"# {header.title}"
    yield f"\n{header.thread}\n"
    yield f"**{told.outcome}**: {told.why}\n"
    rate = f"{told.hits} of {len(told.answers)} runs ({low:.0%} to {high:.0%}, Wilson, 95 %)"
    yield f"- hit rate: {rate}, {len(told.trials) - len(told.answers)} more without an answer"
    control = f"{told.control.outcome}: {told.control.words}" if told.control else "not run"
    yield f"- healthy control ({header.control.why}): {control}"
    yield f"- again: `{_command(scenario, told)}`"
    shown = _shown(told)
    if shown is None:
        return
    yield from _versions(shown)
    yield f"\n## Scenario\n\n```yaml\n{scenario.path.read_text().strip()}\n```"
    yield "\n## Runs\n"
    for number, each in enumerate(told.trials, 1):
        yield f"{number}. {each.outcome}: {each.words}"
    if shown.folder is not None:
        yield from _observed(shown.folder)


def _command(scenario: Scenario, told: Reproduction) -> str:
    """What was laid over the scenario by whoever asked stands in every run of it."""
    laid = told.trials[0].settings if told.trials else ()
    more = [word for key, value in laid for word in ("--set", f"{key}={value}")]
    return shlex.join(["harness", "reproduce", scenario.id, "--repeat", str(max(1, len(told.trials))), *more])


def _shown(told: Reproduction) -> Trial | None:
    """The first hit; else the last run, or the control."""
    hits = [each for each in told.trials if each.outcome == "reproduced"]
    return next(iter([*hits, *reversed(told.trials), *([told.control] if told.control else [])]), None)


def _versions(shown: Trial) -> Iterator[str]:
    yield "\n## Versions\n"
    yield f"- harness {shown.env.get('harness', '?')}, Python {shown.env.get('python', '?')}"
    for node, facts in shown.env.get("nodes", {}).items():
        yield f"- {node}: engine {facts.get('engine', '?')}, kernel {facts.get('kernel', '?')}"


def _observed(folder: Path) -> Iterator[str]:
    """What was done and seen in one run, in order."""
    view = view_of(folder)
    yield f"\n## Steps and observations of run {view.run.id}\n"
    yield from _steps(view.plan)
    rows = list(view.history.only(f=("step", "fault", "felt", "act")).ops())
    start_ns = min((row.start_ns for row in rows), default=0)
    for row in sorted(rows, key=lambda row: row.start_ns)[:MOST_ROWS]:
        at = f"{(row.start_ns - start_ns) / 1e9:8.2f} s"
        if row.f == "step":
            yield f"\n{at}, {row.key} on {row.host}, exit code {row.errno}:\n"
            yield f"```\n{str(row.value)[:MOST_OUTPUT].strip()}\n```"
        else:
            yield f"\n{at}, {row.f} {row.key} {row.at}: {row.value} ({row.outcome})"
    yield "\n## Verdicts\n"
    for check in view.run.checks:
        yield f"- {check.id}: {check.verdict}: {check.reason}"
    yield from _packets(folder / "evidence")
    if (folder / "evidence").is_dir():
        yield "\nTables of every node (FDB, neighbours, routes, nft) are in the run's folder."


def _packets(evidence: Path) -> Iterator[str]:
    """The last packets of every network on every node, headers only."""
    for file in sorted(evidence.glob("*/*.packets.txt")):
        lines = file.read_text().strip().splitlines()[-MOST_PACKETS:]
        network = file.name.removesuffix(".packets.txt")
        yield f"\n## Last {len(lines)} packets of {network} on {file.parent.name}\n"
        yield "```\n" + "\n".join(line[:160] for line in lines) + "\n```"


def _steps(plan: Plan) -> Iterator[str]:
    yield "Deployed by:\n\n```"
    for step in plan.steps[:MOST_ROWS]:
        yield f"{step.node}: {' '.join(step.argv)[:300]}"
    yield "```"
