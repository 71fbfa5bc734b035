"""A comparison on a terminal: the matrix, a column a cell, then the differences that may be called."""

from __future__ import annotations

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from harness.compare import words
from harness.compare.matrix import Matrix
from harness.report.text import clean

_STYLE = {
    "pass": "green", "kept": "green", "fail": "bold red", "broken": "bold red", "unknown": "yellow",
    "missing": "yellow", "allowed": "yellow", "broke": "magenta", "skip": "dim", "unmeasured": "dim",
    "none": "dim",
}  # fmt: skip
_MOST = 40


def print_comparison(matrix: Matrix, console: Console) -> None:
    """What a person needs first stands last."""
    for section in words.sections(matrix):
        console.print(f"\n[bold]{section.title}[/]")
        console.print(_table(matrix, section))
    _differences(matrix, console)


def _table(matrix: Matrix, section: words.Section) -> Table:
    heads = (Column(Text(clean(cell.name, 40)), overflow="fold") for cell in matrix.cells)
    labels = [_label(line) for line in section.lines]
    # a name is there to be searched for: it is not cut in two, however narrow the terminal
    longest = max((len(word) for label in labels for word in label.plain.split()), default=0)
    first = Column("", overflow="fold", min_width=min(longest, 30))
    table = Table(first, *heads, box=None, pad_edge=False, header_style="bold")
    for line, label in zip(section.lines, labels, strict=True):
        table.add_row(label, *(_shown(cell) for cell in line.cells))
    return table


def _label(line: words.Line) -> Text:
    text = Text(clean(line.label, 60))
    return text.append(f"  {clean(line.of, 40)}", style="dim") if line.of and line.of != line.label else text


def _shown(cell: words.Shown) -> Text:
    text = Text(clean(cell.text, 80), style=_STYLE.get(cell.state, ""))
    return text.append(f"\n{clean(cell.detail, 120)}", style="dim") if cell.detail else text


def _differences(matrix: Matrix, console: Console) -> None:
    called = words.called(matrix)
    if called:
        console.print("\n[bold]Differences[/]")
    for check, said in called[:_MOST]:
        console.print(Text(f"  {clean(check, 60)}: {clean(said, 300)}"), soft_wrap=True)
    if len(called) > _MOST:
        console.print(f"  and {len(called) - _MOST} more, all in compare.json")
    console.print()
    for line in words.closing(matrix):
        console.print(Text(line, style="bold yellow" if line.startswith("partial") else ""), soft_wrap=True)
