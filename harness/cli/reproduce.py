"""The verb `reproduce`, and its exit codes, which `git bisect run` understands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from harness import reproduce as room
from harness.cli.choices import Json, ProviderName, RunsDir, Seed, Set, WorkloadImage, options
from harness.cli.output import Progress, errors
from harness.model.errors import EXIT_BROKEN, EXIT_PASS, EXIT_UNKNOWN, EXIT_USAGE, UsageError
from harness.reproduce.catalog import find

#: 125 is what `git bisect run` skips; from 128 on it gives up.
EXIT_INCONCLUSIVE = 125
CODES = {"not-reproduced": 0, "reproduced": 1, "inconclusive": EXIT_INCONCLUSIVE}
EXIT_ABORT = 129
MOST_RUNS = 100


def exit_code(code: int, *, defect: bool) -> int:
    """What another verb's code is for this one: what broke is inconclusive, a mistake ends a bisection."""
    if defect:
        return EXIT_ABORT
    return {EXIT_USAGE: EXIT_ABORT, EXIT_BROKEN: EXIT_INCONCLUSIVE, EXIT_UNKNOWN: EXIT_INCONCLUSIVE}.get(
        code, code
    )


def reproduce(
    scenario: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="A scenario, or a file of your own.")
    ] = None,
    repeat: Annotated[int | None, typer.Option("--repeat", min=1, max=1000, help="Runs; default: 1.")] = None,
    until_reproduced: Annotated[
        bool, typer.Option("--until-reproduced", help="Stop at the first hit; at most --repeat, or 100 runs.")
    ] = False,
    list_: Annotated[bool, typer.Option("--list", help="Which can run here, and what the others miss.")] = False,
    no_control: Annotated[bool, typer.Option("--no-control", help="Leave the healthy control out.")] = False,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Also on engines that the thread does not name.")
    ] = False,
    set_: Set = None,
    provider: ProviderName = None,
    seed: Seed = None,
    workload_image: WorkloadImage = None,
    runs_dir: RunsDir = Path("runs"),
    as_json: Json = False,
) -> int:
    """Run a known bug's scenario, and its healthy control: reproduced, not reproduced or inconclusive.

    Exit code 0 not reproduced, 1 reproduced, 125 inconclusive or the environment broke, 129 usage or a defect.
    """
    if list_:
        return _list(as_json)
    if scenario is None:
        raise UsageError("a scenario is missing", hint=f"there are {', '.join(room.catalog())}")
    chosen = options(set_=set_, provider=provider, seed=seed, workload_image=workload_image, runs_dir=runs_dir)
    found = find(scenario)
    with Progress() as progress:
        told = room.reproduce(
            found,
            chosen,
            progress,
            repeat=repeat or (MOST_RUNS if until_reproduced else 1),
            until_reproduced=until_reproduced,
            control=not no_control,
            anyway=anyway,
        )
    bundle = room.write_bundle(found, told, runs_dir)
    _show(told, bundle, as_json)
    return CODES[told.outcome]


def _show(told: room.Reproduction, bundle: Path, as_json: bool) -> None:
    if as_json:
        print(json.dumps(told.to_json()))
    else:
        low, high = told.interval
        print(f"{told.id}: {told.outcome}: {told.why}")
        print(f"{told.hits} of {len(told.answers)} runs ({low:.0%} to {high:.0%}, 95 %)")
        print(f"control: {told.control.outcome if told.control else 'not run'}")
        engines = sorted({engine for each in told.ran for engine in room.engines_in(each.env)})
        print(f"engine: {', '.join(engines) or 'none was asked'}")
    errors.print(f"evidence: {bundle}")


def _what(row: room.Listed) -> Text:
    """What it is about, and, each on a line of its own, what it misses here and what cannot be asked."""
    text = Text(row.scenario.header.title)
    for line in (*(f"misses {each}" for each in row.misses), *(f"wants {each}" for each in row.wants)):
        text.append(f"\n{line}", style="dim")
    return text


def _list(as_json: bool) -> int:
    rows = list(room.listed())
    if as_json:
        print(json.dumps({"scenarios": [_told(row) for row in rows]}, indent=1))
        return EXIT_PASS
    table = Table(
        Column("SCENARIO", no_wrap=True),  # a name is there to be copied
        "RUNS HERE",
        "ENGINE",
        "WHAT",
        box=None,
        header_style="bold",
    )
    for row in rows:
        table.add_row(row.scenario.id, "yes" if row.runs_here else "no", row.engine, _what(row))
    Console(highlight=False).print(table)
    errors.print("A kernel's features that are missed here, machines have: --provider vagrant")
    return EXIT_PASS


def _told(row: room.Listed) -> dict[str, object]:
    header = row.scenario.header
    return {
        "id": header.id,
        "title": header.title,
        "thread": header.thread,
        "affects": {"first": header.affects.first, "last": header.affects.last},
        "fixed_in": header.fixed_in,
        "engine": row.engine,
        "runs_here": row.runs_here,
        "misses": list(row.misses),
        "wants": list(row.wants),
    }
