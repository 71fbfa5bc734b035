"""Figures as one Markdown table, and its place in a file."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.model.errors import UsageError

BEGIN, END = "<!-- bench -->", "<!-- /bench -->"
HEAD = "| measured | median | spread | goal |\n| --- | ---: | ---: | --- |"


@dataclass(frozen=True)
class Goal:
    """A bound on the median: at least `bound`, or, with `most`, at most."""

    bound: float
    most: bool = False

    def is_met(self, value: float) -> bool:
        return value <= self.bound if self.most else value >= self.bound


@dataclass(frozen=True)
class Row:
    """One figure; `values` has one entry a round."""

    what: str
    values: Sequence[float]
    unit: str
    goal: Goal | None = None

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def markdown(self) -> str:
        cells = (self.what, quantity(self.median, self.unit), self._spread(), self._verdict())
        return f"| {' | '.join(cells)} |"

    def _spread(self) -> str:
        if len(self.values) == 1:
            return "once"
        ends = f"{number(min(self.values))} to {number(max(self.values))}"
        return f"{ends} ({len(self.values)})"

    def _verdict(self) -> str:
        if self.goal is None:
            return ""
        sign = "at most" if self.goal.most else "at least"
        met = "" if self.goal.is_met(self.median) else ": **missed**"
        return f"{sign} {quantity(self.goal.bound, self.unit)}{met}"


def number(value: float) -> str:
    """Three digits that count: 0.0123, 1.23, 12.3, 1,234,567."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def quantity(value: float, unit: str) -> str:
    return f"{number(value)}{unit if unit in ('', 'x') else f' {unit}'}"


def table(rows: Iterable[Row]) -> str:
    return "\n".join([HEAD, *(row.markdown() for row in rows)])


def replace_between_markers(path: Path, text: str) -> None:
    """Put `text` between the markers of `path`. Raises UsageError where they do not stand there once, in order."""
    before, after = around_markers(path)
    path.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


def around_markers(path: Path) -> tuple[str, str]:
    """What stands before and after the markers of `path`. Raises UsageError as `replace_between_markers`."""
    try:
        whole = path.read_text()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    before, begin, rest = whole.partition(BEGIN)
    _old, end, after = rest.partition(END)
    if not begin or not end or BEGIN in rest or END in before + after:
        raise UsageError(f"{path} must hold {BEGIN} and then {END}, each once")
    return before, after
