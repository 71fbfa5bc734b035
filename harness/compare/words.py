"""A matrix in words: sections of lines, a cell each, which terminal, page and Markdown show alike."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from harness.compare.matrix import Difference, Figure, Matrix, Promised
from harness.compare.samples import Reached
from harness.report.text import clean, figure, labelled, plural, seconds

_SAYS = {"holds": "promised", "may": "not promised", "opt": "depends on options", "unproven": "unproven"}
_STATES = ("fail", "unknown", "broke", "skip", "pass")
_WORDS = {"pass": "passed", "fail": "failed", "unknown": "unknown", "broke": "broke", "skip": "skipped"}


@dataclass(frozen=True)
class Shown:
    """`state` is pass, fail, unknown, broke, skip, kept, broken, allowed, missing, unmeasured, plain or none."""

    text: str
    state: str = "plain"
    detail: str = ""


@dataclass(frozen=True)
class Line:
    label: str
    of: str
    cells: tuple[Shown, ...]


@dataclass(frozen=True)
class Section:
    title: str
    note: str
    lines: tuple[Line, ...]


_RUNS_NOTE = "What became of each run; one that broke says nothing of what is compared."
NONE = Shown("–", "none")


def sections(matrix: Matrix) -> list[Section]:
    """Those that have a line."""
    every = [
        Section("Runs", _RUNS_NOTE, (_runs(matrix),)),
        Section("Checks", "How many runs of each cell passed.", tuple(_checks(matrix))),
        Section("Promises", "In how many runs each promise was kept.", tuple(_promises(matrix))),
        Section("Who reached whom", "Pairs that were as expected, over all runs.", tuple(_reached(matrix))),
        Section("Rates and latencies", _figure_note(matrix), tuple(_figures(matrix))),
    ]
    return [section for section in every if section.lines]


def _figure_note(matrix: Matrix) -> str:
    local = f", a local volume ({', '.join(sorted(matrix.baselines))}) for volumes" if matrix.baselines else ""
    return (
        "The median of the runs and their range; in brackets the median ratio to the baseline of the same run: "
        f"node to node for networks{local}."
    )


# --- counts ----------------------------------------------------------------------------------------------


def _runs(matrix: Matrix) -> Line:
    return Line("runs", "", tuple(_counted(matrix.states(n), matrix.planned) for n in range(len(matrix.cells))))


def _checks(matrix: Matrix) -> Iterator[Line]:
    for check, counts in matrix.checks.items():
        cells = (_counted(found, 0, matrix.reason(n, check)) for n, found in enumerate(counts))
        yield Line(check, "", tuple(cells))


def _counted(found: Counter[str], planned: int, reason: str = "") -> Shown:
    """`passed 3 of 3`; `failed 1, passed 2 of 3`."""
    if not found:
        return Shown("not run", "none") if planned else NONE
    states = [state for state in _STATES if found[state]]
    said = ", ".join(f"{_WORDS[state]} {found[state]}" for state in states)
    return Shown(f"{said} of {planned or sum(found.values())}", states[0], clean(reason, 160))


def _reached(matrix: Matrix) -> Iterator[Line]:
    for (check, view), cells in matrix.reached.items():
        yield Line(view or "all", check, tuple(_pairs(found) for found in cells))


def _pairs(found: list[Reached]) -> Shown:
    pairs, bad = sum(each.pairs for each in found), sum(each.bad for each in found)
    if not pairs:
        return NONE
    return Shown(f"{bad:,} of {pairs:,} not", "fail") if bad else Shown(f"{pairs:,} of {pairs:,}", "pass")


# --- promises --------------------------------------------------------------------------------------------


def _promises(matrix: Matrix) -> Iterator[Line]:
    for (of, name), cells in matrix.promises.items():
        yield Line(name, of, tuple(_promise(found) for found in cells))


def _promise(found: Promised | None) -> Shown:
    if found is None:
        return NONE
    says = _SAYS.get(found.expected, found.expected)
    runs = found.kept + found.broken + found.unmeasured
    if not found.kept and not found.broken:
        return Shown("unmeasured", found.state, says)
    if not found.broken:
        return Shown(f"kept {found.kept} of {runs}", found.state, says)
    counted = f" ({found.count:,} of {found.of:,})" if found.count and found.of else ""
    return Shown(f"broken {found.broken} of {runs}{counted}", found.state, says)


# --- figures ---------------------------------------------------------------------------------------------


def _figures(matrix: Matrix) -> Iterator[Line]:
    for each in matrix.figures:
        name = labelled(each.name, 0.0)[0]
        of = f"{each.check}, baseline" if each.is_base else each.check
        yield Line(name, of, tuple(_figure(each, n) for n in range(len(matrix.cells))))


def _figure(each: Figure, cell: int) -> Shown:
    values = [measure.value for measure in each.measures[cell]]
    if not values:
        return NONE
    said = quantity(each.name, float(each.median(cell) or 0.0))
    spread = f"{quantity(each.name, min(values))} to {quantity(each.name, max(values))}" if len(values) > 1 else ""
    ratios = sorted(measure.ratio for measure in each.measures[cell] if measure.ratio is not None)
    middle = f" ({times(ratios[len(ratios) // 2])})" if ratios else ""
    return Shown(f"{said}{middle}", "plain", spread)


_SECONDS = {"_us": 1e-6, "_ms": 1e-3, "bit_s": 0.0, "mib_s": 0.0, "per_s": 0.0, "_s": 1.0}


def quantity(name: str, value: float) -> str:
    """A figure with its unit; times in the unit that suits them."""
    unit = next((factor for suffix, factor in _SECONDS.items() if name.endswith(suffix)), 0.0)
    return seconds(value * unit) if unit else labelled(name, value)[1]


def times(ratio: float) -> str:
    return f"{figure(ratio)}x" if ratio >= 0.1 else f"{ratio:.2g}x"


def difference(matrix: Matrix, each: Difference) -> str:
    """`write p50 of glusterfs is 12.3x that of local, as a ratio to the baseline (11x to 13.8x)`."""
    first, second = matrix.cells[each.first].name, matrix.cells[each.second].name
    name = labelled(each.figure.name, 0.0)[0] + (" rate" if each.figure.name.endswith("_per_s") else "")
    base = ", as a ratio to the baseline" if each.figure.relative else ""
    found = each.comparison
    low, high = times(found.low or 0.0), times(found.high or 0.0)
    return f"{name} of {second} is {times(found.ratio or 0.0)} that of {first}{base} ({low} to {high})"


def called(matrix: Matrix) -> list[tuple[str, str]]:
    """(check, words) of each difference that is called, the greatest first."""
    found = [each for each in matrix.differences if each.called and each.comparison.ratio]
    found.sort(key=lambda each: -abs(math.log(each.comparison.ratio or 1.0)))
    return [(each.figure.check, difference(matrix, each)) for each in found]


def closing(matrix: Matrix) -> list[str]:
    """What can and cannot be said of figures, and whether all was run."""
    pairs, said = len(matrix.differences), len(called(matrix))
    lines = []
    if matrix.partial:
        whole = matrix.planned * len(matrix.cells)
        lines.append(f"partial: {len(matrix.samples)} of {plural(whole, 'run')} were made")
    if matrix.too_few:
        lines.append("not enough runs to call a difference: 3 of each cell are the least (--repeat 3)")
    elif pairs:
        rest = f"; in {pairs - said} of {plural(pairs, 'comparison')} the spread allows none"
        lines.append(f"{plural(said, 'difference')} called{rest}")
    return lines
