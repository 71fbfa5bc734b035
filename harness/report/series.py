"""Numbers over time, for charts: intervals of faults, rates, latencies, a lane for each process. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.checkers import Stale
from harness.model.history import NEVER, History
from harness.report.mesh import natural

Floats = npt.NDArray[np.floating[Any]]

#: Rows that stand for something a process did, as the timeline draws them.
DONE = (
    *("tcp", "udp", "icmp", "df", "bulk", "dns", "append", "beat", "read"),
    *("put", "get", "save", "load", "increment", "blit", "scan"),
    *("claim", "replace", "peek", "sync", "appear"),
)


@dataclass(frozen=True)
class Band:
    """A fault's interval in seconds since the check's origin, from its injection to its healing."""

    name: str
    targets: str
    start_s: float
    end_s: float

    @property
    def label(self) -> str:
        return f"{self.name} {self.targets}"


@dataclass(frozen=True)
class Clock:
    """Seconds since the first row of a check; `end_s` is when its last completed row ended."""

    origin_ns: int
    end_s: float

    def seconds(self, times_ns: npt.NDArray[np.int64]) -> Floats:
        return (times_ns - self.origin_ns) / 1e9

    @classmethod
    def of(cls, rows: History) -> Clock:
        if not len(rows):
            return cls(0, 0.0)
        ended = rows["end_ns"][rows["end_ns"] != NEVER]
        last = max(int(rows["start_ns"].max()), int(ended.max()) if len(ended) else 0)
        origin = int(rows["start_ns"].min())
        return cls(origin, (last - origin) / 1e9)


@dataclass(frozen=True)
class Line:
    """One series. `missed` are times at which there was no answer; `apart`: the line is not drawn across them."""

    name: str
    x: Floats
    y: Floats
    missed: Floats
    apart: bool = False


@dataclass(frozen=True)
class Spread:
    """A distribution, in few words. `baseline` marks node to node."""

    name: str
    low: float
    middle: float
    high: float
    count: int
    baseline: bool = False


@dataclass(frozen=True)
class Lane:
    """What one process did. Arrays of one length; `outcome` is 0 ok, 1 fail, 2 indeterminate."""

    process: str
    at: str
    host: str
    start_s: Floats
    end_s: Floats
    outcome: npt.NDArray[np.int8]
    kinds: tuple[str, ...]


def bands(rows: History, clock: Clock) -> list[Band]:
    """Faults of one check's rows; one that was never healed lasts to the end."""
    found: list[Band] = []
    begun: dict[tuple[str, str], float] = {}
    faults = sorted(rows.only(f="fault").ops(), key=lambda op: op.start_ns)
    for op in faults:
        key = (op.key, op.at)
        if op.value == "inject":
            begun[key] = (op.start_ns - clock.origin_ns) / 1e9
        elif op.value == "heal" and op.outcome == "ok" and key in begun:
            found.append(Band(op.key, op.at, begun.pop(key), (op.end_ns - clock.origin_ns) / 1e9))
    open_ones = [Band(name, at, start, clock.end_s) for (name, at), start in begun.items()]
    return sorted([*found, *open_ones], key=lambda band: band.start_s)


def rates(rows: History, clock: Clock, kind: str) -> tuple[list[Line], float]:
    """Acknowledged operations a second, one line a container; and the width of a bin in seconds."""
    done = rows.only(f=kind, outcome="ok")
    width = bin_width(clock.end_s)
    edges = width * np.arange(max(1, int(clock.end_s / width + 1e-6)) + 1)
    lines = []
    for name in _names(done["at"]):
        times = clock.seconds(done["end_ns"][done["at"] == name])
        counts, _ = np.histogram(times, edges)
        lines.append(Line(name, edges[:-1] + width / 2, counts / width, np.empty(0)))
    return lines, width


def bin_width(duration_s: float, bins: int = 80) -> float:
    """A round width that gives about `bins` bins."""
    rough = max(duration_s / bins, 1e-3)
    power = 10.0 ** np.floor(np.log10(rough))
    return float(next(power * step for step in (1, 2, 5, 10) if power * step >= rough * 0.999))


def beat_latencies(rows: History, clock: Clock) -> list[Line]:
    """Round trips of kept connections in seconds at the time they began, one line a connection."""
    beats = rows.only(f="beat")
    return [_beat_line(beats.only(process=name), clock) for name in _names(beats["process"])]


def _beat_line(beats: History, clock: Clock) -> Line:
    start = clock.seconds(beats["start_ns"])
    answered = beats["outcome"] == "ok"
    took = (beats["end_ns"] - beats["start_ns"]) / 1e9
    order = np.argsort(start[answered], kind="stable")
    name = f"{beats['at'][0]} to {_peer(beats['key'][0])}"
    return Line(name, start[answered][order], took[answered][order], np.sort(start[~answered]), apart=True)


def latencies(rows: History, clock: Clock, kind: str, name: str = "") -> list[Line]:
    """Median and 99th percentile of acknowledged operations, in seconds, by bin; `name` stands before both."""
    done = rows.only(f=kind, outcome="ok")
    missed = np.sort(clock.seconds(rows.only(f=kind, outcome="info")["start_ns"]))
    return _quantiles(clock, done["start_ns"], (done["end_ns"] - done["start_ns"]) / 1e9, name, missed)


def staleness(found: Stale, clock: Clock) -> list[Line]:
    """Median and 99th percentile of how long stale reads were out of date, in seconds, by bin."""
    return _quantiles(clock, found.start_ns, found.stale_ns / 1e9, "", np.empty(0))


def _quantiles(
    clock: Clock, start_ns: npt.NDArray[np.int64], values: Floats, name: str, missed: Floats
) -> list[Line]:
    if not len(values):
        return []
    width = bin_width(clock.end_s)
    bins = np.floor(clock.seconds(start_ns) / width).astype(np.int64)
    order = np.argsort(bins, kind="stable")
    groups = np.split(values[order], np.flatnonzero(np.diff(bins[order])) + 1)
    x = (np.unique(bins) + 0.5) * width
    return [
        Line(f"{name} {rank} percentile".strip(), x, np.array([np.percentile(group, q) for group in groups]), part)
        for rank, q, part in (("50th", 50, np.empty(0)), ("99th", 99, missed))
    ]


def stream_rates(rows: History) -> list[Spread]:
    """Bits a second of each flow over its intervals, slowest first."""
    return _spreads(rows.only(f="stream", outcome="ok"), _bits_per_s, worst_high=False)


def round_trips(rows: History) -> list[Spread]:
    """Seconds of a round trip for each pair, slowest first."""
    return _spreads(rows.only(f="rtt", outcome="ok"), _took_s, worst_high=True)


def _bits_per_s(rows: History) -> Floats:
    took = np.maximum(rows["end_ns"] - rows["start_ns"], 1)
    bits: Floats = rows["length"] * 8e9 / took
    return bits


def _took_s(rows: History) -> Floats:
    took: Floats = (rows["end_ns"] - rows["start_ns"]) / 1e9
    return took


def _spreads(rows: History, measure: Callable[[History], Floats], *, worst_high: bool) -> list[Spread]:
    found = [
        _spread(at, key, measure(part.only(key=key)))
        for at in _names(rows["at"])
        for part in [rows.only(at=at)]
        for key in _names(part["key"])
    ]
    return sorted(found, key=lambda spread: (spread.baseline, -spread.middle if worst_high else spread.middle))


def _spread(at: str, key: str, values: Floats) -> Spread:
    low, middle, high = (float(value) for value in np.percentile(values, (1, 50, 99)))
    return Spread(f"{at} to {_peer(key)}", low, middle, high, len(values), key.startswith("node|"))


def lanes(rows: History, clock: Clock) -> list[Lane]:
    """A lane for each process and container that did something, in natural order."""
    done = rows.only(f=list(DONE))
    return [
        _lane(process, at, part.only(at=at), clock)
        for process in _names(done["process"])
        for part in [done.only(process=process)]
        for at in _names(part["at"])
    ]


def _lane(process: str, at: str, part: History, clock: Clock) -> Lane:
    ended = part["end_ns"] != NEVER
    end = np.where(ended, part["end_ns"], clock.origin_ns + int(clock.end_s * 1e9))
    outcome = np.where(part["outcome"] == "ok", 0, np.where(part["outcome"] == "fail", 1, 2)).astype(np.int8)
    kinds = tuple(sorted(set(part["f"])))
    return Lane(
        process, at, str(part["host"][0]), clock.seconds(part["start_ns"]), clock.seconds(end), outcome, kinds
    )


def _names(column: Sequence[str] | npt.NDArray[np.object_]) -> list[str]:
    return sorted(set(column), key=natural)


def _peer(key: str) -> str:
    parts = key.split("|", 4)
    return parts[3] if len(parts) == 5 else key
