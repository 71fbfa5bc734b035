"""compare.html: one file that loads nothing, with the matrix and a chart for each figure."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from harness.compare import words
from harness.compare.matrix import Figure, Matrix
from harness.report.charts import spread_chart
from harness.report.page import templates
from harness.report.series import Spread
from harness.report.text import clean, labelled

_SYMBOL = {
    "pass": "✓ ", "kept": "✓ ", "fail": "✕ ", "broken": "✕ ", "allowed": "△ ", "unknown": "? ", "missing": "? ",
    "broke": "! ", "skip": "– ",
}  # fmt: skip
#: How the style of reports calls each state.
_BADGE = {"missing": "unknown", "broke": "allowed", "skip": "quiet", "unmeasured": "quiet"}
_MOST_CHARTS = 48
#: More differences than these are folded away.
_MOST_CALLED = 12


def render(matrix: Matrix) -> str:
    """The page as text."""
    facts: dict[str, Any] = {
        "matrix": matrix,
        "names": [cell.name for cell in matrix.cells],
        "settings": [cell.settings for cell in matrix.cells],
        "sections": words.sections(matrix),
        "called": words.called(matrix)[:_MOST_CALLED],
        "more_called": words.called(matrix)[_MOST_CALLED:],
        "closing": words.closing(matrix),
        "symbol": _SYMBOL,
        "badge": _BADGE,
        "charts": list(_charts(matrix))[:_MOST_CHARTS],
        "hidden_charts": max(0, len(matrix.figures) - _MOST_CHARTS),
        "witnesses": list(_witnesses(matrix)),
        "order": [", ".join(matrix.cells[number].name for number in row) for row in matrix.order],
        "runs": [(matrix.cells[s.cell].name, s, f"{quote(s.folder)}/report.html") for s in matrix.samples],
    }
    return templates("harness.compare").get_template("compare.html.j2").render(**facts)


def _charts(matrix: Matrix) -> Iterator[tuple[str, str, Markup]]:
    """(check, caption, picture) of each figure that two cells have."""
    for figure in (each for each in matrix.figures if not each.is_base):
        spreads = [
            _spread(matrix.cells[n].name, figure.compared(n))
            for n in range(len(matrix.cells))
            if figure.measures[n]
        ]
        if len(spreads) < 2:
            continue
        name = labelled(figure.name, 0.0)[0]
        caption = f"{name}, times its baseline" if figure.relative else name
        yield figure.check, caption, spread_chart(caption, spreads, say=_say(figure), bars=_is_a_rate(figure))


def _spread(name: str, values: list[float]) -> Spread:
    return Spread(clean(name, 60), min(values), statistics.median(values), max(values), len(values))


def _say(figure: Figure) -> Callable[[float], str]:
    return words.times if figure.relative else lambda value: words.quantity(figure.name, value)


def _is_a_rate(figure: Figure) -> bool:
    return figure.name.endswith(("bit_s", "mib_s", "per_s", "_bytes"))


def _witnesses(matrix: Matrix) -> Iterator[tuple[str, str, str, str, str]]:
    """(cell, of, promise, what was seen, who says so) where one was broken."""
    for (of, name), cells in matrix.promises.items():
        for number, found in enumerate(cells):
            if found and found.broken and found.witness:
                yield matrix.cells[number].name, of, name, found.witness, found.source
