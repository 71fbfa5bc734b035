"""The timeline: one lane a process, one mark an operation, faults shaded."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from harness.report.series import Band, Clock, Floats, Lane
from harness.report.svg import Frame, linear, nice_ticks, picture, shorten, tag, text
from harness.report.text import clean, figure

_OUTCOMES = ("succeeded", "failed", "indeterminate")
_LANE, _LABEL, _WIDTH, _RIGHT = 20.0, 152.0, 1040.0, 24.0


def timeline_chart(
    title: str, lanes: Sequence[Lane], clock: Clock, faults: Sequence[Band], *, most: int
) -> tuple[Markup, int]:
    """The picture, and how many marks were drawn: about `most` at the utmost.

    A tick is an operation that succeeded, a tall one failed, a dashed line is indeterminate until the end.
    Operations that would fall on one half unit are one mark, so nothing that can be seen is left out, unless
    there are more marks than `most`: then those that succeeded are thinned first.
    """
    height = 24 + len(lanes) * _LANE + 24
    x = linear((0.0, clock.end_s or 1.0), (_LABEL, _WIDTH - _RIGHT))
    frame = Frame(_WIDTH, height, x, lambda row: 24 + _LANE * row, left=_LABEL, right=_RIGHT, bottom=24.0)
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
    return picture(_WIDTH, height, title, told, parts, class_="chart wide"), drawn


def _lane_words(lane: Lane) -> str:
    counts = [f"{int((lane.outcome == i).sum()):,} {word}" for i, word in enumerate(_OUTCOMES)]
    return f"{lane.process} at {lane.at} on {lane.host or '?'} ({', '.join(lane.kinds)}): {', '.join(counts)}"


def _lane(frame: Frame, lane: Lane, y: float, most: int) -> tuple[list[Markup], int]:
    middle = y + _LANE / 2
    label = shorten(f"{lane.process} {lane.at}" if lane.process != "agent" else lane.at, 20)
    parts = [
        tag("title", clean(_lane_words(lane), 400)),
        text(_LABEL - 12, middle + 4, label, "small", "end"),
        tag("line", x1=_LABEL, x2=_WIDTH - _RIGHT, y1=middle, y2=middle, class_="grid"),
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


def _halves(frame: Frame, times: Floats) -> npt.NDArray[np.int64]:
    zero, one = frame.x(0.0), frame.x(1.0)
    halves: npt.NDArray[np.int64] = np.rint((zero + times * (one - zero)) * 2).astype(np.int64)
    return halves
