"""Which pictures a check's rows make: rates, latencies and staleness over time, and distributions."""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup

from harness.checkers import stale_reads
from harness.model.history import History
from harness.model.topology import Check
from harness.report import charts, series
from harness.report.text import plural, seconds

_Chart = tuple[str, Markup]
_Works = tuple[tuple[str, str], ...]
#: Kinds of operations on files that are charted together, with what one is called.
_WORKS: tuple[_Works, ...] = (
    (("append", "append"),),
    (("put", "write"), ("get", "read")),
    (("save", "writing session"), ("load", "reading session")),
    (("increment", "increment"),),
    (("blit", "block write"), ("scan", "block read")),
    (("claim", "claim"),),
    (("replace", "rename"), ("peek", "look")),
    (("sync", "sync"),),
    (("appear", "new name"),),
)


def charts_of(rows: History, check: Check | None) -> Iterator[_Chart]:
    """Captions and pictures of one check's rows; `check` as it was planned, for what its rules must tell."""
    clock = series.Clock.of(rows)
    faults = series.bands(rows, clock)
    beats = series.beat_latencies(rows, clock)
    flows, pairs = series.stream_rates(rows), series.round_trips(rows)
    for works in _WORKS:
        yield from _work(rows, clock, faults, works)
    yield from _staleness(rows, check, clock, faults) if check else ()
    if beats:
        yield "Round trips on kept connections", charts.latency_chart("Kept connections", beats, clock, faults)
    if flows:
        yield "Throughput: median, 1st to 99th percentile", charts.speed_chart("Throughput", flows)
    if pairs:
        yield "Round trip: median, 1st to 99th percentile", charts.round_trip_chart("Round trip", pairs)


def _work(rows: History, clock: series.Clock, faults: list[series.Band], works: _Works) -> Iterator[_Chart]:
    """Rates of each kind of operation by container, and how long all kinds took, in one picture."""
    slow = []
    for kind, name in works:
        rates, width = series.rates(rows, clock, kind)
        slow += series.latencies(rows, clock, kind, name if len(works) > 1 else "")
        if rates:
            caption = f"Acknowledged {name}s a second, in steps of {seconds(width)}"
            yield caption, charts.rates_chart(f"Rate of {name}s", rates, clock, faults)
    if slow:
        names = " or ".join(f"{_article(name)} {name}" for _, name in works)
        yield f"How long {names} took", charts.latency_chart("Latency", slow, clock, faults)


def _article(name: str) -> str:
    return "an" if name[0] in "aeiou" else "a"


def _staleness(rows: History, check: Check, clock: series.Clock, faults: list[series.Band]) -> Iterator[_Chart]:
    found = stale_reads(rows, check)
    if found is not None and len(found.stale_ns):
        caption = f"How long stale reads were out of date: {plural(len(found.stale_ns), 'stale read')}"
        lines = series.staleness(found, clock)
        yield caption, charts.latency_chart("Staleness", lines, clock, faults)
