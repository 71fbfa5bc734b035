"""Charts of one check as inline SVG: rates, latencies and the timeline, each with its faults shaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from markupsafe import Markup

from harness.report.scene import PALETTE
from harness.report.series import Band, Clock, Floats, Lane, Line, Spread
from harness.report.svg import (
    Frame,
    decades,
    linear,
    logarithmic,
    nice_ticks,
    picture,
    polyline,
    shorten,
    tag,
    text,
)
from harness.report.text import clean, figure, plural, rate, seconds

_WIDTH, _HEIGHT = 520.0, 248.0
_LEGEND = 20.0
_MAX_LINES = 6
_MAX_SPREADS = 16
_OUTCOMES = ("ok", "failed", "indeterminate")


# --- over time ------------------------------------------------------------------------------------------


def rates_chart(title: str, lines: Sequence[Line], clock: Clock, faults: Sequence[Band]) -> Markup:
    """Lines of something a second."""
    shown = _few(lines)
    ticks = nice_ticks(max((float(line.y.max()) for line in shown if len(line.y)), default=1.0), 4)
    frame = _time_frame(clock, shown)
    frame = replace(frame, y=linear((0.0, ticks[-1]), (frame.height - frame.bottom, frame.top)))
    return _chart(title, frame, shown, clock, faults, [(tick, figure(tick)) for tick in ticks])


def latency_chart(title: str, lines: Sequence[Line], clock: Clock, faults: Sequence[Band]) -> Markup:
    """Lines of seconds on a logarithmic scale; a cross at the top stands where no answer came."""
    shown = _few(lines)
    values = np.concatenate([line.y[line.y > 0] for line in shown] or [np.empty(0)])
    ticks = decades(float(values.min()), float(values.max())) if len(values) else [1e-4, 1e-3]
    frame = _time_frame(clock, shown)
    frame = replace(frame, y=logarithmic((ticks[0], ticks[-1]), (frame.height - frame.bottom, frame.top + 12)))
    return _chart(title, frame, shown, clock, faults, [(tick, seconds(tick)) for tick in ticks])


def _time_frame(clock: Clock, lines: Sequence[Line]) -> Frame:
    rows = -(-len(lines) // 2)
    width = _WIDTH
    x = linear((0.0, clock.end_s or 1.0), (56.0, width - 12.0))
    return Frame(width, _HEIGHT + rows * _LEGEND, x, x, bottom=48.0 + rows * _LEGEND)


def _chart(
    title: str, frame: Frame, lines: Sequence[Line], clock: Clock, faults: Sequence[Band],
    y_ticks: list[tuple[float, str]],
) -> Markup:  # fmt: skip
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
    points = [(frame.x(float(x)), frame.y(float(y))) for x, y in zip(thin.x, thin.y, strict=True)]
    crosses = [_cross(frame.x(float(x)), frame.top + 4 + index * 2) for x in thin.missed]
    style = f"line c{index % PALETTE} d{index % 3}"
    return ([polyline(points, style)] if points else []) + [
        tag("path", d="".join(crosses), class_=f"cross c{index % PALETTE}") for _ in [0] if crosses
    ]


def _thin(line: Line, most: int = 400) -> Line:
    """At most `most` points, the greatest of each stretch: a peak is never lost."""
    missed = line.missed[:: max(1, len(line.missed) // 60)]
    if len(line.x) <= most:
        return replace(line, missed=missed)
    parts = np.array_split(np.arange(len(line.x)), most)
    keep = [int(part[np.argmax(line.y[part])]) for part in parts]
    return Line(line.name, line.x[keep], line.y[keep], missed)


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
        f"{line.name}: from {figure(float(line.y.min()))} to {figure(float(line.y.max()))} in {plural(len(line.y), 'point')}"
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
    return _rows(title, frame, shown, [(tick, rate(tick)) for tick in ticks[::2]], rate, bars=True)


def round_trip_chart(title: str, spreads: Sequence[Spread]) -> Markup:
    """A dot for each pair's median, a whisker from the 1st to the 99th percentile, logarithmic."""
    shown = spreads[:_MAX_SPREADS]
    low = min((spread.low for spread in shown), default=1e-5)
    high = max((spread.high for spread in shown), default=1e-4)
    ticks = decades(max(low, 1e-7), max(high, 1e-7))
    frame = _row_frame(shown, logarithmic((ticks[0], ticks[-1]), (160.0, _WIDTH - 72.0)))
    return _rows(title, frame, shown, [(tick, seconds(tick)) for tick in ticks], seconds, bars=False)


def _row_frame(shown: Sequence[Spread], x: object) -> Frame:
    assert callable(x)
    return Frame(_WIDTH, 24.0 * len(shown) + 56.0, x, lambda row: 28.0 + 24.0 * row)


def _rows(
    title: str, frame: Frame, shown: Sequence[Spread], ticks: list[tuple[float, str]], say: object, *, bars: bool
) -> Markup:
    assert callable(say)
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


# --- the timeline -----------------------------------------------------------------------------------------------

_LANE, _LABEL, _TIME_WIDTH = 20.0, 184.0, 1040.0


def timeline_chart(
    title: str, lanes: Sequence[Lane], clock: Clock, faults: Sequence[Band], most: int
) -> tuple[Markup, int]:
    """One lane a process; and how many marks were drawn, `most` at the utmost.

    A tick is an operation that succeeded, a tall one failed, a dashed line is indeterminate until the end.
    Operations that would fall on one half unit are one mark, so nothing that can be seen is left out, unless
    there are more marks than `most`: then those that succeeded are thinned first.
    """
    height = 24 + len(lanes) * _LANE + 40
    x = linear((0.0, clock.end_s or 1.0), (_LABEL, _TIME_WIDTH - 8))
    frame = Frame(_TIME_WIDTH, height, x, lambda row: 24 + _LANE * row, left=_LABEL, right=8.0, bottom=40.0)
    parts = [frame.band(band.start_s, band.end_s, band.label) for band in faults[:40]]
    parts += frame.grid(
        [(t, f"{figure(t)} s") for t in nice_ticks(clock.end_s, 10) if t <= clock.end_s * 1.001], []
    )
    drawn = 0
    share = max(1, most // max(1, len(lanes)))
    for row, lane in enumerate(lanes):
        marks, count = _lane(frame, lane, frame.y(row), share)
        parts += marks
        drawn += count
    told = "; ".join(_lane_words(lane) for lane in lanes[:40])
    return picture(_TIME_WIDTH, height, title, told, parts, class_="chart wide"), drawn


def _lane_words(lane: Lane) -> str:
    counts = [f"{int((lane.outcome == i).sum()):,} {word}" for i, word in enumerate(_OUTCOMES)]
    kinds = ", ".join(sorted(set(lane.what.tolist())))
    return f"{lane.process} at {lane.at} on {lane.host or '?'} ({kinds}): {', '.join(counts)}"


def _lane(frame: Frame, lane: Lane, y: float, most: int) -> tuple[list[Markup], int]:
    middle = y + _LANE / 2
    label = shorten(f"{lane.process} {lane.at}" if lane.process != "agent" else lane.at, 24)
    parts = [
        tag("title", clean(_lane_words(lane), 400)),
        text(_LABEL - 12, middle + 4, label, "small", "end"),
        tag("line", x1=_LABEL, x2=_TIME_WIDTH - 8, y1=middle, y2=middle, class_="grid"),
    ]
    drawn = 0
    for outcome in (2, 1, 0):
        spans = _spans(frame, lane, outcome, most - drawn)
        if spans:
            half, class_ = ((4, "ok"), (8, "failed"), (6, "info"))[outcome]
            path = "".join(_mark(low, high, middle, half) for low, high in spans)
            parts.append(tag("path", d=path, class_=f"op {class_}"))
        drawn += len(spans)
    return [tag("g", *parts)], drawn


def _mark(low: float, high: float, middle: float, half: int) -> str:
    tick = f"M{low:g} {middle - half:g}v{2 * half}"
    return tick if high - low < 1 else f"{tick}M{low:g} {middle:g}H{high:g}"


def _spans(frame: Frame, lane: Lane, outcome: int, most: int) -> list[tuple[float, float]]:
    """Distinct marks at a resolution of half a unit, in order, at most `most`."""
    chosen = lane.outcome == outcome
    if most <= 0 or not chosen.any():
        return []
    low, high = (_halves(frame, times[chosen]) for times in (lane.start_s, lane.end_s))
    spans = np.unique(np.stack([low, high], axis=1), axis=0)
    kept = spans[:: max(1, -(-len(spans) // most))]
    return [(float(a) / 2, float(b) / 2) for a, b in kept]


def _halves(frame: Frame, times: Floats) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    zero, one = frame.x(0.0), frame.x(1.0)
    return np.rint((zero + times * (one - zero)) * 2).astype(np.int64)
