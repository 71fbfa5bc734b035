"""The end of a run on a terminal or in a log: what failed, where, under which fault, and how to see it again.

The order is deliberate: what a person needs first stands last, next to the prompt. Every state is a word, so
nothing is lost without colour; tables are cut to the console's width, whatever it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from harness.model.run import FaultRecord, Run
from harness.model.verdict import Outcome, Verdict
from harness.report import promises
from harness.report.mesh import PROTOCOLS, Cell, Matrix, crop, matrices, overview
from harness.report.text import again, clean, figure, headline, labelled, plural, seconds
from harness.report.view import RunView

_STYLE = {"pass": "green", "unknown": "yellow", "fail": "bold red"}
_WORD: dict[Outcome, str] = {"pass": "pass", "unknown": "UNKNOWN", "fail": "FAIL"}
_PROMISE_STYLE = {"kept": "green", "broken": "bold red", "unmeasured": "dim"}
_NOT_PROMISED = {"allowed": "(never promised)", "missing": "(promised)"}
_MAX_PAIRS = 20
_MAX_ROWS = 16
#: Below this the terminal breaks the lines, or tables would lose whole columns.
_MIN_WIDTH = 24
#: From here on lists with columns of prose fit.
_WIDE = 60


def print_run(view: RunView, console: Console, folder: Path | str) -> None:
    """Print the whole summary. `folder` is where the report stands."""
    width, console.width = console.width, max(_MIN_WIDTH, console.width)
    _print_all(view, console, folder)
    console.width = width


def _print_all(view: RunView, console: Console, folder: Path | str) -> None:
    run = view.run
    _matrices(view, console)
    _failures(run, console)
    _promises(view, console)
    _faults(run.faults, console)
    _skipped(run, console)
    _verdicts(run, console)
    _closing(run, console, folder)


# --- who reached whom ----------------------------------------------------------------------------------------


def _matrices(view: RunView, console: Console) -> None:
    for verdict in view.run.checks:
        whole = overview(verdict.id, matrices(view.history, verdict))
        if whole.cells:
            _heading(console, f"{verdict.id}: who reached whom")
            _matrix(whole, console)


def _matrix(matrix: Matrix, console: Console) -> None:
    rows, columns = crop(matrix, _MAX_ROWS)
    for block in _blocks(matrix, rows, columns, console.width):
        console.print(_table(matrix, rows, block), markup=False)
    hidden = len(matrix.cells) - sum((row, column) in matrix.cells for row in rows for column in columns)
    if hidden:
        _line(console, f"and {plural(hidden, 'pair')} more, all in results.json and report.html")
    shut = any(cell.state == "shut" for cell in matrix.cells.values())
    _line(console, f"rows from, columns to; - was not probed{'; shut: closed, as expected' if shut else ''}")


def _table(matrix: Matrix, rows: Sequence[str], columns: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("", no_wrap=True)
    for column in columns:
        table.add_column(Text(clean(column, 40)), no_wrap=True)
    for row in rows:
        cells = [matrix.cells.get((row, column)) for column in columns]
        table.add_row(Text(clean(row, 40)), *(_shown(cell) for cell in cells))
    return table


def _blocks(matrix: Matrix, rows: Sequence[str], columns: Sequence[str], width: int) -> list[list[str]]:
    """Columns in groups that fit into `width`."""
    label = max((len(row) for row in rows), default=0) + 2
    blocks: list[list[str]] = [[]]
    used = label
    for column in columns:
        need = 2 + max(len(column), *(_cell_width(matrix.cells.get((row, column))) for row in rows))
        if blocks[-1] and used + need > width:
            blocks.append([])
            used = label
        blocks[-1].append(column)
        used += need
    return [block for block in blocks if block]


def _shown(cell: Cell | None) -> Text:
    if cell is None:
        return Text("-", style="dim")
    if not cell.bad:
        return Text(cell.state, style="green" if cell.state == "ok" else "dim")
    return Text("\n".join(_bad_lines(cell)), style="bold red")


def _bad_lines(cell: Cell) -> list[str]:
    """The class alone where every protocol has it; else the protocols with each."""
    by_class: dict[str, set[str]] = {}
    for answer in cell.bad:
        by_class.setdefault(answer.label, set()).add(answer.protocol)
    probed = {answer.protocol for answer in cell.answers}
    if len(by_class) == 1 and by_class == dict.fromkeys(by_class, probed):
        return list(by_class)
    return [
        f"{protocol} {label}" for label, found in by_class.items() for protocol in PROTOCOLS if protocol in found
    ]


def _cell_width(cell: Cell | None) -> int:
    return max(len(line) for line in _shown(cell).plain.split("\n"))


# --- lists ---------------------------------------------------------------------------------------------------


def _failures(run: Run, console: Console) -> None:
    failures = [(check.id, failure) for check in run.checks for failure in check.failures]
    if not failures:
        return
    _heading(console, f"{plural(len(failures), 'failing pair')}")
    for check, failure in failures[:_MAX_PAIRS]:
        _line(console, f"{check}: {failure}")
    if len(failures) > _MAX_PAIRS:
        _line(console, f"and {len(failures) - _MAX_PAIRS:,} more, all in results.json")


def _promises(view: RunView, console: Console) -> None:
    """The matrix, a row a promise of a volume; what is kept is one line a volume where all would fill a screen."""
    columns = promises.columns(view.run, view.plan)
    rows = [(column, cell) for column in columns for cell in column.measured]
    if not rows:
        return
    _heading(console, "Promises")
    folded = len(rows) > _MAX_ROWS
    shown = [row for row in rows if row[1].observed != "kept"] if folded else rows
    if console.width < _WIDE:
        for column, cell in shown:
            _line(console, f"{column.subject}: {cell.name}: {cell.words}", style=_promise_style(cell))
    elif shown:
        console.print(_indented(_promise_table(shown)))
    for column in columns if folded else ():
        kept = [cell.name for cell in column.measured if cell.observed == "kept"]
        if kept:
            _line(console, f"{column.subject}: {len(kept)} kept: {', '.join(kept)}", style="green")
    _promise_words(columns, console)


def _promise_words(columns: Sequence[promises.Column], console: Console) -> None:
    for column, cell in promises.told(columns):
        if cell.witness:
            _line(console, f"{column.subject}, {cell.name}: {cell.witness}")
        if cell.overridden or cell.state == "broken":
            _line(console, f"{column.subject}, {cell.name}: says {cell.source}", style="dim")
    for column in columns:
        if column.unasked:
            _line(
                console,
                f"{column.subject}: no check asks for {plural(len(column.unasked), 'promise')}",
                style="dim",
            )


def _promise_table(rows: Sequence[tuple[promises.Column, promises.Cell]]) -> Table:
    table = _grid("volume", "promise", "driver says", "observed")
    for column, cell in rows:
        says = f"{cell.expected}, overridden" if cell.overridden else cell.expected
        texts = (column.subject, cell.name, says)
        seen = " ".join(filter(None, (cell.observed, cell.counted, _NOT_PROMISED.get(cell.state, ""))))
        table.add_row(*(Text(clean(text, 80)) for text in texts), Text(seen, style=_promise_style(cell)))
    return table


def _promise_style(cell: promises.Cell) -> str:
    return _PROMISE_STYLE.get(cell.state, "yellow")


def _faults(faults: Iterable[FaultRecord], console: Console) -> None:
    for number, fault in enumerate(faults):
        if number == 0:
            _heading(console, "Faults")
        targets = ", ".join(fault.targets)
        felt = "felt" if fault.felt else "NOT FELT"
        healed = "healed" if fault.healed else "NOT HEALED"
        lasted = seconds(fault.end_s - fault.start_s)
        _line(console, f"{fault.check}: {fault.name} on {targets} for {lasted}: {felt}, {healed}")


def _skipped(run: Run, console: Console) -> None:
    if not run.all_skipped:
        return
    _heading(console, "Skipped")
    for skip in run.all_skipped:
        part = f", part {skip.part}" if skip.part else ""
        _line(console, f"{skip.check}{part}: needs {skip.needs}")


# --- verdicts and the last lines -------------------------------------------------------------------------------


def _verdicts(run: Run, console: Console) -> None:
    _heading(console, "Verdicts")
    if console.width < _WIDE:
        for check in run.checks:
            _line(console, f"{_WORD[check.verdict]} {check.id}: {check.reason}", style=_STYLE[check.verdict])
        return
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(max_width=max(12, console.width // 3), overflow="fold")
    table.add_column(overflow="fold")
    for check in run.checks:
        word = Text(_WORD[check.verdict], style=_STYLE[check.verdict])
        table.add_row(word, Text(clean(check.id, 80)), _reason(check))
    console.print(_indented(table))


def _reason(check: Verdict) -> Text:
    text = Text(clean(check.reason, 600))
    figures = ", ".join(" ".join(labelled(name, value)) for name, value in list(check.figures.items())[:8])
    if figures:
        text.append(f"\n{figures}", style="dim")
    operations = [f"{node} {figure(sum(kinds.values()))}" for node, kinds in check.operations.items()]
    if operations:
        text.append(f"\noperations {', '.join(operations[:8])}", style="dim")
    return text


def _closing(run: Run, console: Console, folder: Path | str) -> None:
    commands = again(run, folder)
    console.print()
    console.print(Text(f"{_WORD[run.verdict]}: {headline(run)}", style=_STYLE[run.verdict]))
    facts = f"{run.topology} on {run.provider}, {run.orchestrator}, in {seconds(run.duration_s)}"
    console.print(Text(clean(facts, 300)))
    for name, value in (
        ("report", f"{folder}/report.html"),
        ("again", commands["run"]),
        ("re-judge", commands["check"]),
    ):
        console.print(Text(f"{name:<9} {clean(value, 1000)}"), soft_wrap=True)


def _grid(*names: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in names:
        table.add_column(name, overflow="fold")
    return table


def _heading(console: Console, title: str) -> None:
    console.print()
    console.print(Text(clean(title, 200), style="bold"))


def _line(console: Console, text: str, style: str = "") -> None:
    console.print(_indented(Text(clean(text, 1000), style=style)))


def _indented(content: Table | Text) -> Padding:
    return Padding(content, (0, 0, 0, 2), expand=False)
