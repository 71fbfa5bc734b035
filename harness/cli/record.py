"""The verb `record`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from harness import record
from harness.cli.choices import Json
from harness.cli.output import errors
from harness.model.verdict import EXIT

NoPage = Annotated[bool, typer.Option("--no-page", help="Do not write index.html beside the runs.")]


def record_(
    runs: Annotated[Path, typer.Argument(metavar="[RUNS]", help="A folder of runs.")] = Path("runs"),
    no_page: NoPage = False,
    as_json: Json = False,
) -> int:
    """Show what a folder of runs says over nights: failures that are new, flaky checks, figures that moved.

    Writes index.html beside the runs. The exit code is of the last run of each topology.
    """
    found = record.record(record.read(runs))
    if as_json:
        print(json.dumps(record.to_json(found), indent=1))
    else:
        record.print_record(found, Console(highlight=False))
    if not no_page:
        page = record.write_page(found)
        if not as_json:
            errors.print(f"page      {page}", markup=False)
    return EXIT[found.verdict]
