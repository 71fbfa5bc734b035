"""index.html beside the runs: one file without a script or a request, its links relative to each run's report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from harness.model.errors import UsageError
from harness.record import words
from harness.record.reading import REPORT
from harness.record.summary import STATES, WINDOW, Moved, Record, Seen, Tested, run_state, worst
from harness.report.page import templates
from harness.report.svg import linear, picture, tag
from harness.report.text import clean, plural, write_text

PAGE = "index.html"
#: By this a page of ours is known again, so that nobody else's is written over.
MARK = '<meta name="generator" content="harness record">'
#: What the page shows; all of it stands in JSON.
NIGHTS, RUNS, CHECKS, MOVED = 21, 500, 400, 60
_WIDTH, _HEIGHT = 220.0, 44.0


def write_page(record: Record) -> Path:
    """Write the page into the folder of the runs. Raises UsageError where another index.html stands there,
    EnvironmentBroken where the folder cannot be written.
    """
    path = record.folder.path / PAGE
    if path.exists() and not _ours(path):
        raise UsageError(f"{path} was not written by `harness record`", hint="move it away, or say --no-page")
    write_text(path, render(record))
    return path


def _ours(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return MARK.encode() in file.read(4096)
    except OSError:
        return False


def render(record: Record) -> str:
    """The page as text."""
    nights = list(record.nights)[-NIGHTS:]
    shown = _few(record.checks)
    facts: dict[str, Any] = {
        "mark": Markup(MARK),  # noqa: S704 - our own
        "record": record,
        "headline": words.headline(record),
        "counted": words.counted(record),
        "tally": words.tally(record),
        "words": words,
        "states": STATES,
        "nights": nights,
        "by_night": [(night, record.nights[night]) for night in nights],
        "groups": list(_groups(shown, nights, record.folder.reports)),
        "hidden_checks": len(record.checks) - len(shown),
        "hidden_nights": len(record.nights) - len(nights),
        "moved": [
            (m, words.moved(m), _link(m.since, record.folder.reports), _spark(m)) for m in record.moved[:MOVED]
        ],
        "hidden_moved": max(0, len(record.moved) - MOVED),
        "runs": list(_runs(record)),
        "hidden_runs": max(0, len(record.runs) - RUNS),
        "link": lambda seen: _link(seen, record.folder.reports),
        "quote": quote,
        "window": WINDOW,
    }
    return templates("harness.record").get_template("index.html.j2").render(**facts)


def _few(checks: Sequence[Tested]) -> list[Tested]:
    """All of them, or as many as the page holds: those that do not pass now are never left out before others."""
    bad = [each for each in checks if each.bad_since]
    kept = {
        *map(id, bad[:CHECKS]),
        *map(id, [each for each in checks if not each.bad_since][: max(0, CHECKS - len(bad))]),
    }
    return [each for each in checks if id(each) in kept]


def _link(seen: Seen | None, reports: frozenset[str]) -> str:
    """Where the report of a run is, from the page; empty where it has none."""
    return f"{quote(seen.folder)}/{REPORT}" if seen and seen.folder in reports else ""


def _groups(
    checks: Sequence[Tested], nights: Sequence[str], reports: frozenset[str]
) -> Iterator[tuple[str, str, list[dict[str, Any]]]]:
    """(topology, detail, rows) a setup."""
    for setup in dict.fromkeys(each.setup for each in checks):
        rows = [_row(each, nights, reports) for each in checks if each.setup == setup]
        yield setup.topology, setup.detail, rows


def _row(tested: Tested, nights: Sequence[str], reports: frozenset[str]) -> dict[str, Any]:
    by_night: dict[str, list[Seen]] = {}
    for each in tested.seen:
        by_night.setdefault(each.night, []).append(each)
    cells = [_cell(by_night.get(night, []), night, reports) for night in nights]
    return {"check": tested.check, "kind": tested.kind, "counts": tested.counts, "cells": cells}


def _cell(seen: Sequence[Seen], night: str, reports: frozenset[str]) -> dict[str, str] | None:
    """The worst of a night; its link leads to the last run that was so."""
    if not seen:
        return None
    counts: Counter[str] = Counter(each.state for each in seen)
    state = worst(counts)
    shown = next(each for each in reversed(seen) if each.state == state)
    told = ", ".join(f"{counts[s]} {words.WORD[s]}" for s in STATES if counts[s])
    many = str(len(seen)) if len(seen) > 1 else ""
    return {
        "state": state,
        "symbol": words.SYMBOL[state],
        "many": many,
        "title": clean(f"{night}: {told}{f'; {shown.reason}' if state != 'pass' else ''}", 300),
        "href": _link(shown, reports),
    }


def _runs(record: Record) -> Iterator[dict[str, Any]]:
    """The latest first."""
    for name, row in list(reversed(record.runs))[:RUNS]:
        bad = [check.id for check in row.checks if check.verdict != "pass"]
        why = row.error.splitlines()[0] if row.error else ", ".join(bad[:4])
        more = f" and {len(bad) - 4} more" if not row.error and len(bad) > 4 else ""
        attempt = f"try {row.attempt}" if row.attempt > 1 else ""
        yield {
            "name": name,
            "href": f"{quote(name)}/{REPORT}" if name in record.folder.reports else "",
            "state": run_state(row),
            "topology": row.topology,
            "settings": ", ".join(f"{key}={value}" for key, value in sorted(row.settings.items())),
            "started": f"{row.started:%Y-%m-%d %H:%M}",
            "took_s": row.duration_s,
            "why": clean(why, 200) + more,
            "attempt": attempt,
            "checks": plural(len(row.checks), "check"),
        }


def _spark(moved: Moved) -> Markup:
    """The figure over its runs: the range before as a band, a dot a run, those since the change in colour."""
    values, since = moved.values[-60:], moved.drift.since - max(0, len(moved.values) - 60)
    low, high = min(values), max(values)
    x = linear((0.0, max(1.0, len(values) - 1.0)), (4.0, _WIDTH - 4.0))
    y = linear((low, high if high > low else low + 1.0), (_HEIGHT - 6.0, 6.0))
    top, bottom = y(moved.drift.high), y(moved.drift.low)
    parts = [tag("rect", x=0.0, y=top - 3, width=_WIDTH, height=bottom - top + 6, class_="range")]
    for place, value in enumerate(values):
        class_ = "dot base" if place < since else "dot c1"
        parts.append(tag("circle", cx=x(place), cy=y(value), r=2.2 if place < since else 3.0, class_=class_))
    name, change, how_much = words.moved(moved)
    return picture(_WIDTH, _HEIGHT, name, f"{change}, {how_much}", parts, class_="spark")
