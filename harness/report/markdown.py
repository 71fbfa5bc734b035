"""A run's summary as Markdown: for a job's summary in CI, and to be pasted into an issue."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from harness.model.run import Run
from harness.report import promises
from harness.report.mesh import Cell, Matrix, crop, matrices, overview
from harness.report.text import clean, seconds, tried
from harness.report.view import RunView

#: A job's summary holds 1 MiB; a matrix of more than this many rows is read in report.html.
MOST = 30
_MARKS = {"pass": "✅ pass", "unknown": "❔ unknown", "fail": "❌ fail"}
_PROMISED = {"kept": "✅", "broken": "❌", "allowed": "⚠️", "missing": "❔", "unmeasured": "·"}
_CELLS = {"ok": "✓", "shut": "·", "bad": "✗"}


def markdown(view: RunView, folder: Path) -> str:
    """Verdicts, broken promises, what was skipped, and who reached whom; GitHub's dialect, which GitLab reads."""
    run = view.run
    lines = [
        f"## {clean(run.topology)}: {_MARKS[run.verdict]}",
        "",
        f"{run.orchestrator} on {run.provider}, {seconds(run.duration_s)}, seed {run.seed}; `{folder}`",
        "",
        *([f"**The run broke off:** {_cell(run.error)}", ""] if run.error else []),
        *([f"**{_cell(tried(run))}**", ""] if run.tries else []),
        *_checks(run),
        *_promises(view),
        *_skipped(run),
    ]
    for check in run.checks:
        whole = overview(check.id, matrices(view.history, check))
        lines += _matrix(whole) if whole.cells else []
    return "\n".join(lines) + "\n"


def _checks(run: Run) -> Iterator[str]:
    rows = [(check.id, _MARKS[check.verdict], check.reason) for check in run.checks]
    yield from _table(("check", "verdict", "why"), rows)


def _promises(view: RunView) -> Iterator[str]:
    """The matrix with promises in rows and volumes in columns; then whatever is broken or overridden, in words."""
    columns = promises.columns(view.run, view.plan)
    names = [name for name in promises.rows(columns) if any(name in _asked(column) for column in columns)]
    if not names:
        return
    table = [(name, *(_promise(_asked(column).get(name)) for column in columns)) for name in names]
    yield from _table(("promise", *(_cell(f"{each.subject} ({each.about})") for each in columns)), table)
    for column, cell in promises.told(columns):
        words = f"**{column.subject}, {cell.name}**: {cell.words}. {cell.witness}"
        yield f"- {_cell(words)} *{_cell(cell.source)}*" if cell.source else f"- {_cell(words)}"
    yield ""
    yield from (
        f"- `{each.volume}`: {_cell(', '.join(each.seen))}" for each in promises.mounted(view) if each.seen
    )
    yield ""


def _asked(column: promises.Column) -> dict[str, promises.Cell]:
    """What some check of the run measures."""
    return {cell.name: cell for cell in column.measured}


def _promise(cell: promises.Cell | None) -> str:
    return f"{_PROMISED[cell.state]} {cell.words}" if cell else ""


def _skipped(run: Run) -> Iterator[str]:
    if run.skipped:
        yield from _table(("skipped", "part", "needs"), [(s.check, s.part, s.needs) for s in run.skipped])


def _matrix(matrix: Matrix) -> Iterator[str]:
    rows, columns = crop(matrix, MOST)
    yield from ("<details><summary>" + clean(f"{matrix.check}: who reached whom") + "</summary>", "")
    table = [(row, *(_shown(matrix.cells.get((row, column))) for column in columns)) for row in rows]
    yield from _table(("from \\ to", *columns), table)
    yield from ("✓ reached, · closed as expected, ✗ not as expected", "", "</details>", "")


def _shown(cell: Cell | None) -> str:
    if cell is None:
        return ""
    return f"{_CELLS['bad']} {cell.words}" if cell.state == "bad" else _CELLS[cell.state]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(_cell(text) for text in row)} |"
    yield ""


def _cell(text: str | None) -> str:
    """One cell: no text may end its row or table, or be read as a tag."""
    plain = clean(text or "", 500).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
    return " ".join(plain.split())
