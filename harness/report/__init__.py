"""What a finished run shows: files for programs and people, and a summary on a terminal."""

from __future__ import annotations

from pathlib import Path

from harness.report.html import write_html
from harness.report.junit import write_junit
from harness.report.markdown import markdown
from harness.report.results import write_results
from harness.report.terminal import print_run
from harness.report.view import RunView

__all__ = ["RunView", "markdown", "print_run", "write_all", "write_html", "write_junit", "write_results"]


def write_all(view: RunView, folder: Path) -> None:
    """Write verdicts.json, results.json, junit.xml and report.html into `folder`. Raises EnvironmentBroken."""
    write_results(view.run, folder)
    write_junit(view.run, folder / "junit.xml")
    write_html(view, folder / "report.html")
