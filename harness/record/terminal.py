"""A record on a terminal: a row a check with its last nights, then what needs somebody, the verdict last."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table
from rich.text import Text

from harness.record import words
from harness.record.summary import STATES, Record, Tested, worst

_STYLE = {"pass": "green", "fail": "bold red", "unknown": "yellow", "broke": "magenta", "skip": "dim"}
#: Nights in a row of the table.
_NIGHTS = 14
#: Lists are cut on a terminal; all of it stands in JSON and on the page.
_MOST = 20


def print_record(record: Record, console: Console) -> None:
    _checks(record, console)
    _section(console, "Newly failing", [(words.title(t), words.since(t)) for t in record.failing])
    _section(console, "Never passed", [(words.title(t), words.since(t)) for t in record.never_passed])
    _section(console, "Unknown", [(words.title(t), t.now.reason if t.now else "") for t in record.unknown])
    _section(console, "Flaky", [(words.title(t), words.flaky(t.flaky)) for t in record.flaky if t.flaky])
    _section(
        console,
        "Moved",
        [(words.title(m.tested), _moved_words(words.moved(m), m.since.run)) for m in record.moved],
    )
    _section(console, "Left out", [(each.folder, each.why) for each in record.left_out])
    _closing(record, console)


def _moved_words(said: tuple[str, str, str], run: str) -> str:
    name, change, how_much = said
    return f"{name} {change} ({how_much}) since {run}"


def _checks(record: Record, console: Console) -> None:
    if not record.checks:
        return
    nights = list(record.nights)[-_NIGHTS:]
    table = Table(
        Column("check", overflow="fold"),
        *(Column(state, justify="right") for state in STATES),
        Column(f"last {len(nights)} nights" if len(nights) > 1 else "night", no_wrap=True),
        box=None,
        header_style="bold",
        pad_edge=False,
    )
    for each in record.checks:
        counts = (Text(str(each.counts[s] or ""), style=_STYLE[s]) for s in STATES)
        table.add_row(Text(words.title(each)), *counts, _strip(each, nights))
    console.print(table)
    key = ", ".join(f"{words.LETTER[state]} {words.WORD[state]}" for state in STATES)
    console.print(f"[dim]a letter a night, the worst of it: {key}[/]", soft_wrap=True)


def _strip(tested: Tested, nights: Sequence[str]) -> Text:
    found = tested.by_night()
    text = Text()
    for night in nights:
        state = worst(found[night]) if night in found else ""
        text.append(words.LETTER.get(state, " "), style=_STYLE.get(state))
    return text


def _section(console: Console, heading: str, rows: Sequence[tuple[str, str]]) -> None:
    if not rows:
        return
    console.print(f"\n[bold]{heading}[/]")
    for name, said in rows[:_MOST]:
        console.print(f"  {escape(name)}: {escape(said)}", soft_wrap=True, emoji=False)
    if len(rows) > _MOST:
        console.print(f"  and {len(rows) - _MOST} more")


def _closing(record: Record, console: Console) -> None:
    style = _STYLE[record.verdict]
    said = f"{record.verdict}: {words.headline(record)}"
    runs = ", ".join(f"{count} {word}" for word, count, _ in words.tally(record) if count)
    console.print(f"\n{words.counted(record)}{f': {runs}' if runs else ''}", soft_wrap=True)
    console.print(Text(said, style=style), soft_wrap=True)
