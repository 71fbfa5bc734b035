"""What a comparison leaves beside its runs."""

from __future__ import annotations

import json
from pathlib import Path

from harness.compare.data import to_json
from harness.compare.markdown import markdown
from harness.compare.matrix import Matrix
from harness.compare.page import render
from harness.report.text import write_text


def write_files(matrix: Matrix, folder: Path) -> None:
    """compare.json, compare.html and compare.md. Raises EnvironmentBroken."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "compare.json", json.dumps(to_json(matrix), indent=1, allow_nan=False) + "\n")
    write_text(folder / "compare.html", render(matrix))
    write_text(folder / "compare.md", markdown(matrix))
