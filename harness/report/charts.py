"""Charts of one check as inline SVG: rates and latencies over time with faults shaded, and distributions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from markupsafe import Markup

from harness.report.scene import PALETTE
from harness.report.series import Band, Clock, Floats, Line, Spread
from harness.report.svg import Frame, Scale, decades, linear, logarithmic, nice_ticks, picture, shorten, tag, text
from harness.report.text import clean, figure, plural, rate, seconds

_WIDTH, _HEIGHT = 520.0, 248.0
_LEGEND = 20.0
_MAX_LINES = 6
_MAX_SPREADS = 16


# --- over time ------------------------------------------------------------------------------------------


def rates_chart(title: str, lines: Sequence[Line], clock: Clock, faults: Sequence[Band]) -> Markup:
    """Lines of something a second."""
    shown = _few(lines)
    ticks = nice_ticks(max((float(line.y.max()) for line in shown if len(line.y)), default=1.0), 4)
    frame = _time_frame(clock, shown)
    frame = replace(frame, y=linear((0.0, ticks[-1]), (frame.height - frame.bottom, frame.top)))
    return _chart(
        title, frame, shown, clock=clock, faults=faults, y_ticks=[(tick, figure(tick)) for tick in ticks]
    )


def latency_chart(title: str, lines: Sequence[Line], clock: Clock, faults: Sequence[Band]) -> Markup:
    """Lines of seconds on a logarithmic scale; a cross at the top stands where no answer came."""
    shown = _few(lines)
    values = np.concatenate([line.y[line.y > 0] for line in shown] or [np.empty(0)])
    ticks = decades(float(values.min()), float(values.max())) if len(values) else [1e-4, 1e-3]
    frame = _time_frame(clock, shown)
    frame = replace(frame, y=logarithmic((ticks[0], ticks[-1]), (frame.height - frame.bottom, frame.top + 12)))
    return _chart(title, frame, shown, clock=clock, faults=faults, y_ticks=[(t, seconds(t)) for t in ticks])


def _time_frame(clock: Clock, lines: Sequence[Line]) -> Frame:
    rows = -(-len(lines) // 2)
    width = _WIDTH
    x = linear((0.0, clock.end_s or 1.0), (56.0, width - 12.0))
    return Frame(width, _HEIGHT + rows * _LEGEND, x, x, bottom=36.0 + rows * _LEGEND)


def _chart(
    title: str,
    frame: Frame,
    lines: Sequence[Line],
    *,
    clock: Clock,
    faults: Sequence[Band],
    y_ticks: list[tuple[float, str]],
) -> Markup:
    parts = [frame.band(band.start_s, band.end_s, band.label) for band in faults[:20]]
    parts += frame.grid(_time_ticks(clock), y_ticks)
    for index, line in enumerate(lines):
        parts += _drawn(frame, line, index)
    parts += _legend(frame, [(line.name, _missed(line)) for line in lines])
    return picture(frame.width, frame.height, title, _told(lines, faults), parts)


def _time_ticks(clock: Clock) -> list[tuple[float, str]]:
    ticks = [tick for tick in nice_ticks(clock.end_s, 6) if tick <= clock.end_s * 1.001]
    return [(tick, f"{figure(tick)} s") for tick in ticks]


def _few(lines: Sequence[Line]) -> list[Line]:
    """The lines with the most that is missed, then the first ones."""
    ordered = sorted(range(len(lines)), key=lambda i: (-len(lines[i].missed), i))[:_MAX_LINES]
    return [lines[i] for i in sorted(ordered)]


def _drawn(frame: Frame, line: Line, index: int) -> list[Markup]:
    thin = _thin(line)
    style = f"c{index % PALETTE} d{index % 3}"
    path = "".join(_stretch(frame, x, y) for x, y in _stretches(thin))
    crosses = "".join(_cross(frame.x(float(x)), frame.top + 4 + index * 2) for x in thin.missed)
    drawn = [tag("path", d=path, class_=f"line {style}")] if path else []
    return drawn + ([tag("path", d=crosses, class_=f"cross c{index % PALETTE}")] if crosses else [])


def _stretches(line: Line) -> Iterator[tuple[Floats, Floats]]:
    """The line in pieces: where something went unanswered, the points on both sides are not joined."""
    cuts = np.unique(np.searchsorted(line.x, line.missed if line.apart else []))
    for x, y in zip(np.split(line.x, cuts), np.split(line.y, cuts), strict=True):
        if len(x):
            yield x, y


def _stretch(frame: Frame, x: Floats, y: Floats) -> str:
    """A path; a single point is a dot, by a line of no length with round ends."""
    points = [f"{frame.x(float(a)):.1f} {frame.y(float(b)):.1f}" for a, b in zip(x, y, strict=True)]
    return f"M{'L'.join(points)}" + ("h.01" if len(points) == 1 else "")


def _thin(line: Line, most: int = 400) -> Line:
    """At most `most` points, the greatest of each stretch: a peak is never lost."""
    missed = line.missed[:: max(1, len(line.missed) // 60)]
    if len(line.x) <= most:
        return replace(line, missed=missed)
    parts = np.array_split(np.arange(len(line.x)), most)
    keep = [int(part[np.argmax(line.y[part])]) for part in parts]
    return replace(line, x=line.x[keep], y=line.y[keep], missed=missed)


def _cross(x: float, y: float) -> str:
    return f"M{x - 3:.1f} {y - 3:.1f}l6 6m0-6l-6 6"


def _missed(line: Line) -> str:
    return f"{len(line.missed):,} unanswered" if len(line.missed) else ""


def _legend(frame: Frame, entries: Sequence[tuple[str, str]]) -> list[Markup]:
    parts = []
    top = frame.height - frame.bottom + 40
    for index, (name, note) in enumerate(entries):
        x, y = frame.left + (index % 2) * 232.0, top + (index // 2) * _LEGEND
        parts.append(tag("path", d=f"M{x:.1f} {y:.1f}h16", class_=f"line c{index % PALETTE} d{index % 3}"))
        parts.append(text(x + 24, y + 4, shorten(f"{name}{', ' if note else ''}{note}", 32), "small"))
    return parts


def _told(lines: Sequence[Line], faults: Sequence[Band]) -> str:
    said = [
        f"{line.name}: {figure(float(line.y.min()))} to {figure(float(line.y.max()))}"
        for line in lines
        if len(line.y)
    ]
    shaded = [f"{band.label} from {band.start_s:.2f} s to {band.end_s:.2f} s" for band in faults]
    return "; ".join([*said, *shaded])


# --- distributions ------------------------------------------------------------------------------------------


def speed_chart(title: str, spreads: Sequence[Spread]) -> Markup:
    """A bar for each flow's median rate, a whisker from the 1st to the 99th percentile."""
    shown = spreads[:_MAX_SPREADS]
    ticks = nice_ticks(max((spread.high for spread in shown), default=1.0), 4)
    frame = _row_frame(shown, linear((0.0, ticks[-1]), (160.0, _WIDTH - 72.0)))
    return _rows(title, frame, shown, ticks=[(tick, rate(tick)) for tick in ticks[::2]], say=rate, bars=True)


def round_trip_chart(title: str, spreads: Sequence[Spread]) -> Markup:
    """A dot for each pair's median, a whisker from the 1st to the 99th percentile, logarithmic."""
    shown = spreads[:_MAX_SPREADS]
    low = min((spread.low for spread in shown), default=1e-5)
    high = max((spread.high for spread in shown), default=1e-4)
    ticks = decades(max(low, 1e-7), max(high, 1e-7))
    frame = _row_frame(shown, logarithmic((ticks[0], ticks[-1]), (160.0, _WIDTH - 72.0)))
    return _rows(title, frame, shown, ticks=[(tick, seconds(tick)) for tick in ticks], say=seconds, bars=False)


def spread_chart(title: str, spreads: Sequence[Spread], *, say: Callable[[float], str], bars: bool) -> Markup:
    """A row for each spread: a bar from 0, or a dot on a logarithmic scale; a whisker from low to high."""
    shown = spreads[:_MAX_SPREADS]
    high = max((spread.high for spread in shown), default=1.0)
    low = min((spread.low for spread in shown if spread.low > 0), default=high or 1.0)
    bars = bars or high <= 0
    ticks = nice_ticks(high, 4) if bars else decades(low, high)
    ends, span = (ticks[0], ticks[-1]), (160.0, _WIDTH - 72.0)
    frame = _row_frame(shown, linear(ends, span) if bars else logarithmic(ends, span))
    every = 2 if bars else -(-len(ticks) // 5)
    return _rows(title, frame, shown, ticks=[(tick, say(tick)) for tick in ticks[::every]], say=say, bars=bars)


def _row_frame(shown: Sequence[Spread], x: Scale) -> Frame:
    return Frame(_WIDTH, 24.0 * len(shown) + 56.0, x, lambda row: 28.0 + 24.0 * row)


def _rows(
    title: str,
    frame: Frame,
    shown: Sequence[Spread],
    *,
    ticks: list[tuple[float, str]],
    say: Callable[[float], str],
    bars: bool,
) -> Markup:
    parts = [
        tag("line", x1=frame.x(t), x2=frame.x(t), y1=12.0, y2=frame.height - 32, class_="grid") for t, _ in ticks
    ]
    parts += [text(frame.x(t), frame.height - 12, label, "axis", "middle") for t, label in ticks]
    for index, spread in enumerate(shown):
        parts += _row(frame, spread, index, say(spread.middle), bars=bars)
    told = "; ".join(f"{s.name}: median {say(s.middle)}, {say(s.low)} to {say(s.high)}" for s in shown)
    return picture(frame.width, frame.height, title, told, parts)


def _row(frame: Frame, spread: Spread, index: int, label: str, *, bars: bool) -> list[Markup]:
    y = frame.y(index)
    class_ = "c0" if not spread.baseline else "base"
    low, middle, high = (frame.x(value) for value in (spread.low, spread.middle, spread.high))
    mark = (
        tag("rect", x=160.0, y=y - 6, width=max(1.0, middle - 160), height=12, class_=f"bar {class_}")
        if bars
        else tag("circle", cx=middle, cy=y, r=4, class_=f"dot {class_}")
    )
    note = f"{spread.name}{' (node to node)' if spread.baseline else ''}, {plural(spread.count, 'sample')}"
    return [
        tag("g", tag("title", clean(note)), text(152, y + 4, shorten(spread.name, 22), "small", "end"), mark),
        tag("line", x1=low, x2=high, y1=y, y2=y, class_="whisker"),
        text(_WIDTH, y + 4, label, "small", "end"),
    ]
