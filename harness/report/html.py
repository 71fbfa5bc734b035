"""report.html: one file that works from a disk without a network, in light and dark, on a desk and on a phone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from harness.model.verdict import Failure, Verdict
from harness.report import promises, series, timeline
from harness.report.charted import charts_of
from harness.report.mesh import LETTERS, PROTOCOLS, Matrix, crop, matrices, overview
from harness.report.names import TRUTHS, Asked, asked
from harness.report.page import templates
from harness.report.scene import scene
from harness.report.text import again, clean, headline, labelled, write_text
from harness.report.view import RunView

MAX_BYTES = 2_000_000
Mesh = tuple[Verdict, list[Matrix]]
_SYMBOL = {"pass": "✓", "unknown": "?", "fail": "✕"}
_WORD = {"pass": "Passed", "unknown": "Unknown", "fail": "Failed"}


@dataclass(frozen=True)
class Limits:
    """How much detail a report holds. What is left out is said in the report and stands in results.json."""

    cells: int = 6000
    marks: int = 10_000
    lanes: int = 40
    charts: int = 24
    rows: int = 200
    side: int = 40

    def halved(self) -> Limits:
        return Limits(*(value // 2 for value in vars(self).values()))


def write_html(view: RunView, path: Path) -> None:
    """Write the report, below MAX_BYTES for a run of any size. Raises EnvironmentBroken."""
    limits = Limits()
    meshes = [(check, parts) for check in view.run.checks if (parts := matrices(view.history, check))]
    page = render(view, meshes, path.parent, limits)
    while len(page.encode()) >= MAX_BYTES and limits.rows > 1:
        limits = limits.halved()
        page = render(view, meshes, path.parent, limits)
    write_text(path, page)


def render(view: RunView, meshes: Sequence[Mesh], folder: Path, limits: Limits) -> str:
    """The page as text. `meshes` are the checks that probed pairs, with their matrices."""
    run = view.run
    facts = {
        "run": run, "plan": view.plan, "headline": headline(run), "symbol": _SYMBOL, "word": _WORD,
        "tally": _tally(run.checks, len(run.all_skipped)), "scene": scene(view.history, view.plan),
        "checks": [_check(check, limits) for check in run.checks], "meshes": list(_meshes(meshes, limits)),
        "legend": LETTERS, "promises": _promises(view, limits), "charts": list(_charts(view, limits)),
        "timelines": list(_timelines(view, limits)), "names": list(_names(view, limits)),
        "environment": _environment(view.env, limits), "commands": again(run, folder), "limits": limits,
        "notes": view.plan.notes[: limits.rows],
    }  # fmt: skip
    return templates("harness.report").get_template("report.html.j2").render(**facts)


def _tally(checks: Sequence[Verdict], skipped: int) -> list[tuple[str, int, str]]:
    by = {kind: sum(check.verdict == kind for check in checks) for kind in ("pass", "fail", "unknown")}
    words = (("pass", "passed"), ("fail", "failed"), ("unknown", "unknown"))
    return [(word, by[kind], kind) for kind, word in words] + [("skipped", skipped, "skipped")]


def _check(check: Verdict, limits: Limits) -> dict[str, Any]:
    """What the page shows of one verdict."""
    grouped = _grouped(check.failures)
    counts = (
        ("correct", check.correct),
        ("wrong", check.wrong),
        ("no value", check.no_value),
        ("ignored", check.ignored),
    )
    figures = [labelled(name, value) for name, value in list(check.figures.items())[: limits.rows]]
    return {
        "verdict": check,
        "counts": [(name, count) for name, count in counts if count],
        "figures": figures,
        "operations": [(node, _kinds(kinds)) for node, kinds in list(check.operations.items())[: limits.rows]],
        "failures": grouped[: limits.rows],
        "hidden": max(0, len(grouped) - limits.rows),
        "witnesses": [promise for promise in check.promises if promise.witness][: limits.rows],
    }


def _grouped(failures: Sequence[Failure]) -> list[dict[str, Any]]:
    """Failures of one pair that went the same way, in one row: `ways` maps an addressing to its protocols."""
    groups: dict[tuple[str, str, str, str], dict[str, list[str]]] = {}
    for failure in failures:
        ways = groups.setdefault((failure.source, failure.target, failure.expected, failure.got), {})
        via = f"{failure.via}, IPv6" if failure.family == 6 else failure.via
        ways.setdefault(via, []).append(failure.protocol)
    return [
        {"source": source, "target": target, "expected": expected, "got": got, "ways": ways}
        for (source, target, expected, got), ways in groups.items()
    ]


def _kinds(kinds: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {kind}" for kind, count in kinds.items())


# --- who reached whom ----------------------------------------------------------------------------------------


def _meshes(meshes: Sequence[Mesh], limits: Limits) -> Iterator[dict[str, Any]]:
    left = limits.cells
    for check, parts in meshes:
        whole = _heat(overview(check.id, parts), limits.side)
        left -= whole["size"]
        small = []
        for part in parts if len(parts) > 1 else []:
            if left < len(part.cells):
                break
            small.append(_heat(part, limits.side // 2))
            left -= small[-1]["size"]
        rest = parts[len(small) :] if len(parts) > 1 else []
        undrawn = [(part.view, part.bad, len(part.cells)) for part in rest]
        yield {"check": check, "whole": whole, "parts": small, "rest": undrawn}


def _heat(matrix: Matrix, side: int) -> dict[str, Any]:
    """A matrix as a table: per cell a class, a letter and what it means."""
    rows, columns = crop(matrix, max(2, side))
    shown = sum((row, column) in matrix.cells for row in rows for column in columns)
    body = [
        (row, matrix.nodes.get(row, ""), [_heat_cell(matrix, row, column) for column in columns]) for row in rows
    ]
    return {
        "view": matrix.view, "columns": [(name, matrix.nodes.get(name, "")) for name in columns], "rows": body,
        "bad": matrix.bad, "pairs": len(matrix.cells),
        "hidden": len(matrix.cells) - shown, "size": len(rows) * len(columns),
    }  # fmt: skip


def _heat_cell(matrix: Matrix, row: str, column: str) -> tuple[str, str, str]:
    cell = matrix.cells.get((row, column))
    if cell is None:
        return "none", "", ""
    if not cell.bad:
        return cell.state, "·" if cell.state == "ok" else "–", f"{row} to {column}: {cell.words}"
    protocols = {answer.protocol for answer in cell.bad}
    probed = {answer.protocol for answer in cell.answers}
    letters = "".join(dict.fromkeys(LETTERS.get(answer.label, "?") for answer in cell.bad))
    some = "".join(protocol[0] for protocol in PROTOCOLS if protocol in protocols) if protocols != probed else ""
    return "bad", f"{letters[:2]}{some and f' {some}'}", f"{row} to {column}: {cell.words}"


# --- promises ------------------------------------------------------------------------------------------------


def _promises(view: RunView, limits: Limits) -> dict[str, Any]:
    """Promises in rows, volumes in columns; sources are numbered and stand once, below."""
    columns = promises.columns(view.run, view.plan)
    names = promises.rows(columns)[: limits.rows]
    rows = [(name, [column.cells.get(name) for column in columns]) for name in names]
    asked = [row for row in rows if any(cell and cell.asked for cell in row[1])]
    shown = [cell for _, cells in rows for cell in cells if cell]
    sources = list(dict.fromkeys(cell.source for cell in shown if cell.source))[: limits.rows]
    return {
        "columns": columns,
        "rows": asked,
        "unasked": [row for row in rows if row not in asked],
        "sources": sources,
        "number": {source: place for place, source in enumerate(sources, 1)},
        "told": list(promises.told(columns))[: limits.rows],
        "mounted": [each for each in promises.mounted(view) if each.options or each.seen] if columns else [],
    }


# --- charts --------------------------------------------------------------------------------------------------


def _charts(view: RunView, limits: Limits) -> Iterator[tuple[str, str, Markup]]:
    """(check, caption, picture), those of failed checks first, until the limit."""
    order = sorted(view.run.checks, key=lambda check: check.verdict == "pass")
    count = 0
    for check in order:
        rows = view.history.only(check=check.id)
        planned = next((each for each in view.plan.checks if each.id == check.id), None)
        for caption, picture in charts_of(rows, planned):
            if count >= limits.charts:
                return
            count += 1
            yield check.id, caption, picture


def _timelines(view: RunView, limits: Limits) -> Iterator[dict[str, Any]]:
    """One a check, as long as there are marks left. Checks with a fault or without a pass come first."""
    faulted = {fault.check for fault in view.run.faults}
    order = sorted(view.run.checks, key=lambda check: (check.id not in faulted, check.verdict == "pass"))
    left = limits.marks
    for check in order:
        rows = view.history.only(check=check.id)
        clock = series.Clock.of(rows)
        lanes = series.lanes(rows, clock)
        if not lanes or left <= 0:
            continue
        shown = sorted(lanes, key=lambda lane: not lane.outcome.any())[: limits.lanes]
        shown = [lane for lane in lanes if any(lane is one for one in shown)]
        picture, drawn = timeline.timeline_chart(
            f"Timeline of {check.id}", shown, clock, series.bands(rows, clock), most=left
        )
        left -= drawn
        operations = sum(len(lane.start_s) for lane in lanes)
        yield {
            "check": check,
            "open": check.id in faulted or check.verdict != "pass",
            "picture": picture,
            "operations": operations,
            "marks": drawn,
            "hidden": len(lanes) - len(shown),
        }


# --- names, environment ---------------------------------------------------------------------------------------


def _names(view: RunView, limits: Limits) -> Iterator[dict[str, Any]]:
    for check in view.run.checks:
        entries = asked(view.history.only(check=check.id, f=[*TRUTHS, *TRUTHS.values()]), view.plan)[: limits.rows]
        if entries:
            phases = list(dict.fromkeys(entry.phase for entry in entries))
            keys = list(dict.fromkeys((entry.network, entry.name) for entry in entries))
            by: dict[tuple[str, str, str], Asked] = {(e.network, e.name, e.phase): e for e in entries}
            rows = [
                (network, name, [by.get((network, name, phase)) for phase in phases]) for network, name in keys
            ]
            yield {"check": check, "phases": phases, "rows": rows}


def _environment(env: Mapping[str, Any], limits: Limits) -> dict[str, Any]:
    """Single values, and tables of those that map names to facts (`nodes`)."""
    tables = {key: value for key, value in env.items() if _is_table(value)}
    flat = [pair for key, value in env.items() if key not in tables for pair in _flat(key, value)]
    return {"facts": flat[: limits.rows], "tables": [_table(key, value, limits) for key, value in tables.items()]}


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping) and bool(value) and all(isinstance(row, Mapping) for row in value.values())


def _table(name: str, value: Mapping[str, Mapping[str, Any]], limits: Limits) -> dict[str, Any]:
    rows = {
        key: dict(pair for k, v in row.items() for pair in _flat(k, v))
        for key, row in list(value.items())[: limits.rows]
    }
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))[:12]
    return {
        "name": name,
        "columns": columns,
        "rows": [(key, [row.get(c, "") for c in columns]) for key, row in rows.items()],
    }


def _flat(key: str, value: Any) -> Iterable[tuple[str, str]]:
    if isinstance(value, Mapping):
        return [pair for inner, v in value.items() for pair in _flat(f"{key} {inner}", v)]
    if isinstance(value, list | tuple):
        return [(clean(key, 80), clean(", ".join(str(part) for part in value), 400))]
    return [(clean(str(key).replace("_", " "), 80), clean("" if value is None else value, 400))]
