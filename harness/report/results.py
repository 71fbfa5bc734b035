"""results.json and verdicts.json: what programs read. Schema: harness/schema/results.schema.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.model.run import SCHEMA, Run, verdict_to_json
from harness.report.text import finite, write_text


def results(run: Run) -> dict[str, Any]:
    """results.json as plain data that any JSON reader takes."""
    data: dict[str, Any] = finite(run.to_json())
    return data


def verdicts(run: Run) -> dict[str, Any]:
    """verdicts.json: what the checkers said, apart from how the run went."""
    checks = [finite(verdict_to_json(check)) for check in run.checks]
    return {"schema": SCHEMA, "run": run.id, "verdict": run.verdict, "checks": checks}


def write_results(run: Run, folder: Path) -> None:
    """Write both files into `folder`. Raises EnvironmentBroken."""
    write_text(folder / "results.json", _dump(results(run)))
    write_text(folder / "verdicts.json", _dump(verdicts(run)))


def _dump(data: dict[str, Any]) -> str:
    return json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
