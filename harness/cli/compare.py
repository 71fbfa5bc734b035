"""The verb `compare`."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from harness import compare
from harness.cli.choices import (
    Json,
    NoSkip,
    Only,
    Orchestrator,
    ProviderName,
    RunsDir,
    Set,
    WorkloadImage,
    options,
)
from harness.cli.output import Progress, errors, show_error
from harness.model.errors import EXIT_BROKEN, EXIT_FAIL, EXIT_INTERRUPTED, EXIT_PASS, EXIT_UNKNOWN, Interrupted

Varied = Annotated[
    list[str],
    typer.Option(
        "--vary", metavar="KEY=A,B,...", help="A key of the topology and its values; repeatable: a grid."
    ),
]
Repeat = Annotated[int, typer.Option("--repeat", min=1, max=1000, help="Runs of each cell.")]
Seed = Annotated[
    int | None, typer.Option("--seed", min=0, help="Repeat the order and the plans of an earlier one.")
]
Markdown = Annotated[bool, typer.Option("--markdown", help="For a CI job's summary, or an issue.")]


def compare_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A topology in YAML.")],
    vary: Varied,
    repeat: Repeat = 3,
    seed: Seed = None,
    provider: ProviderName = None,
    orchestrator: Orchestrator = None,
    set_: Set = None,
    only: Only = None,
    no_skip: NoSkip = False,
    workload_image: WorkloadImage = None,
    runs_dir: RunsDir = Path("runs"),
    as_markdown: Markdown = False,
    as_json: Json = False,
) -> int:
    """Run a topology under each of several values, in turn, and hold them against each other in one matrix.

    Every cell of the grid is read before anything starts. A difference is called only where the spread of the runs
    allows it. The exit code is the worst of all runs.
    """
    chosen = options(
        provider=provider,
        orchestrator=orchestrator,
        set_=set_,
        only=only,
        no_skip=no_skip,
        workload_image=workload_image,
        runs_dir=runs_dir,
    )
    cells = compare.cells_of(file, [compare.parse_vary(text) for text in vary], chosen)
    drawn = seed if seed is not None else random.SystemRandom().randrange(2**31)
    comparing = compare.Comparing(cells[0].topology.name, cells, repeat=repeat, seed=drawn, runs_dir=runs_dir)
    try:
        with Progress() as progress:
            comparing.run(progress)
    finally:
        matrix = comparing.matrix
        compare.write_files(matrix, comparing.folder)
    _show(matrix, comparing.folder, as_json=as_json, as_markdown=as_markdown)
    for error in comparing.errors:
        show_error(error)
    return _code(comparing)


def _show(matrix: compare.Matrix, folder: Path, *, as_json: bool, as_markdown: bool) -> None:
    if as_json:
        print(json.dumps(compare.to_json(matrix)))
    elif as_markdown:
        print(compare.markdown(matrix), end="")
    else:
        compare.print_comparison(matrix, Console(highlight=False))
    errors.print(f"page      {folder / 'compare.html'}", markup=False)
    errors.print(f"runs      harness record {folder}", markup=False)


def _code(comparing: compare.Comparing) -> int:
    states = {sample.state for sample in comparing.matrix.samples}
    if any(isinstance(error, Interrupted) for error in comparing.errors):
        return EXIT_INTERRUPTED
    if "broke" in states or comparing.errors:
        return EXIT_BROKEN
    return EXIT_FAIL if "fail" in states else EXIT_UNKNOWN if "unknown" in states or not states else EXIT_PASS
