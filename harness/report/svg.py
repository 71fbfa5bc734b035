"""Just enough SVG: escaped elements, scales and a chart's frame (docs/decisions/004-charts.md says why our own).

Colours are CSS classes, so that one picture serves light and dark. Lengths are user units.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from harness.report.text import clean

Scale = Callable[[float], float]


def tag(name: str, *children: str | Markup, **attributes: object) -> Markup:
    """An element. Texts are escaped; attributes are named `class_` for class and `text_anchor` for text-anchor."""
    attrs = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_number(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    inner = "".join(escape(child) for child in children)
    return Markup(f"<{name}{attrs}>{inner}</{name}>" if inner else f"<{name}{attrs}/>")  # noqa: S704 - all parts are escaped


def picture(
    width: float, height: float, title: str, desc: str, parts: Iterable[Markup], *, class_: str = "chart"
) -> Markup:
    """A whole <svg> with a title and a description for those who do not see it."""
    return tag(
        "svg", tag("title", clean(title)), tag("desc", clean(desc)), *parts,
        viewBox=f"0 0 {_number(width)} {_number(height)}", width=width, height=height, role="img", class_=class_,
    )  # fmt: skip


def text(x: float, y: float, content: object, class_: str = "", anchor: str | None = None) -> Markup:
    return tag("text", clean(content, 200), x=x, y=y, class_=class_ or None, text_anchor=anchor)


def shorten(content: object, characters: int) -> str:
    whole = clean(content, 200)
    return whole if len(whole) <= characters else f"{whole[: max(1, characters - 1)]}…"


def _number(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.1f}".rstrip("0").rstrip(".")
    return str(value)


# --- scales ------------------------------------------------------------------------------------------------


def linear(domain: tuple[float, float], span: tuple[float, float]) -> Scale:
    width = (domain[1] - domain[0]) or 1.0
    return lambda value: span[0] + (value - domain[0]) / width * (span[1] - span[0])


def logarithmic(domain: tuple[float, float], span: tuple[float, float]) -> Scale:
    """For a domain above 0; what lies below it is drawn on its edge."""
    low, high = (math.log10(bound) for bound in domain)
    inner = linear((low, high), span)
    return lambda value: inner(max(low, math.log10(value)) if value > 0 else low)


def nice_ticks(high: float, count: int = 5) -> list[float]:
    """Round numbers from 0 to `high` or just beyond it: steps of 1, 2 or 5 times a power of ten."""
    if high <= 0:
        return [0.0, 1.0]
    rough = high / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    return [index * step for index in range(math.ceil(high / step * 0.999) + 1)]


def decades(low: float, high: float) -> list[float]:
    """Powers of ten that enclose both bounds; at least one decade."""
    first = math.floor(math.log10(low) + 1e-9)
    last = max(first + 1, math.ceil(math.log10(high) - 1e-9))
    return [10.0**exponent for exponent in range(first, last + 1)]


# --- a chart's frame -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Frame:
    """The plot inside a chart: `x` and `y` map values to user units."""

    width: float
    height: float
    x: Scale
    y: Scale
    left: float = 56.0
    right: float = 12.0
    top: float = 24.0
    bottom: float = 32.0

    def grid(self, x_ticks: Sequence[tuple[float, str]], y_ticks: Sequence[tuple[float, str]]) -> list[Markup]:
        """Horizontal hairlines, labels on both axes."""
        floor = self.height - self.bottom
        lines = [
            tag("line", x1=self.left, x2=self.width - self.right, y1=self.y(v), y2=self.y(v), class_="grid")
            for v, _ in y_ticks
        ]
        y_labels = [text(self.left - 8, self.y(v) + 4, label, "axis", "end") for v, label in y_ticks]
        x_labels = [text(self.x(v), floor + 16, label, "axis", "middle") for v, label in x_ticks]
        return [*lines, *y_labels, *x_labels]

    def band(self, start: float, end: float, label: str, class_: str = "fault") -> Markup:
        """An interval on the x axis, shaded, with its label at the top."""
        low, high = sorted((self.clamp(start), self.clamp(end)))
        top, floor = self.top, self.height - self.bottom
        box = tag("rect", x=low, y=top, width=max(1.0, high - low), height=floor - top, class_=class_)
        at_end = low > self.width * 0.7
        name = text(high if at_end else low, top - 6, label, "band", "end" if at_end else None)
        return tag("g", tag("title", clean(label)), box, name)

    def clamp(self, value: float) -> float:
        return min(self.width - self.right, max(self.left, self.x(value)))
