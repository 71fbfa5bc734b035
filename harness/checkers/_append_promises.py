"""The promises of an append log, each with its count and a witness in prose."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from harness.checkers._append_log import (
    WRITER_SHIFT,
    Findings,
    Ints,
    Mask,
    examine,
    islands,
    passed_over,
    same_content,
)
from harness.checkers._append_views import Log, View
from harness.checkers._volumes import Measured, promise_of
from harness.model.plan import VolumePlan
from harness.model.verdict import Promise


@dataclass(frozen=True)
class Island:
    """Hosts that see one content, and what their readers found."""

    hosts: tuple[int, ...]
    views: tuple[View, ...]

    @cached_property
    def contents(self) -> list[View]:
        """One view for each different content of the file."""
        return list({view.sha256: view for view in reversed(self.views)}.values())[::-1]


@dataclass(frozen=True)
class Split:
    """The islands, and whether hosts see each other's records at all.

    `crossing`: some reader sees a record of another host. `unshared`: none does, though records are visible at
    home. Neither: nothing is visible, or there is only one host.
    """

    islands: tuple[Island, ...]
    crossing: bool
    unshared: bool


def split(log: Log) -> Split:
    """Who sees whom. Without a crossing every host that was read is an island, and others are left out: where
    nothing crosses, a record that nobody could look for at home is not lost. With one, a host stands alone only
    if its own reader sees its records and nobody else does; what no view holds at all is lost, not elsewhere.
    """
    views = log.whole_views
    seen = log.sees()
    readers = {view.host for view in views}
    busy = readers | set(log.writer_host.values())
    crossing = any(reader != writer for reader, writer in seen)
    unshared = bool(seen) and not crossing and len(busy) > 1
    groups = [[host] for host in sorted(readers)] if unshared else _joined(log, busy, seen)
    parts = (Island(tuple(group), tuple(v for v in views if v.host in group)) for group in groups)
    return Split(tuple(parts), crossing, unshared)


def _joined(log: Log, busy: set[int], seen: set[tuple[int, int]]) -> list[list[int]]:
    groups = [group for group in islands(len(log.hosts), sorted(seen)) if busy & set(group)]
    at_home = {reader for reader, writer in seen if reader == writer}
    groups.sort(key=len, reverse=True)
    apart = [group for group in groups[1:] if at_home & set(group)]
    main = [host for group in groups if group not in apart for host in group]
    return [sorted(main), *apart]


Content = tuple[View, Findings]


def promises_of(
    log: Log, found: Split, volume: VolumePlan, absent: list[str]
) -> tuple[tuple[Promise, ...], dict[str, Any]]:
    """All five promises, and figures: how many of each defect were found. `absent`: files that were not seen."""
    parts = list(found.islands)
    judged = [[_examined(log, view) for view in part.contents] for part in parts]
    looks = [[_examined(log, view) for view in log.glimpses if view.host in part.hosts] for part in parts]
    both = [[*contents, *seen] for contents, seen in zip(judged, looks, strict=True)]
    measured = {
        "shared": _shared(log, found, absent),
        "append-loses-nothing": _sum(_lost, log, parts, judged) + _passed_over(log, looks, judged),
        "append-no-duplicates": _sum(_duplicates, log, parts, both),
        "append-not-torn": _sum(_torn, log, parts, both),
        "append-real-time-order": _sum(_order, log, parts, both),
    }
    return tuple(promise_of(name, found, volume) for name, found in measured.items()), _figures(
        log, measured, judged
    )


def _examined(log: Log, view: View) -> Content:
    return view, examine(log.appends, view.ids, view.offsets)


def _sum(
    measure: Callable[[Log, Island, list[Content]], Measured],
    log: Log,
    parts: list[Island],
    judged: list[list[Content]],
) -> Measured:
    found = [measure(log, part, contents) for part, contents in zip(parts, judged, strict=True)]
    return sum(found, Measured())


def _shared(log: Log, found: Split, absent: list[str]) -> Measured:
    """One content for all hosts. A single host cannot tell."""
    hosts = len({view.host for view in log.whole_views})
    if found.unshared:
        return Measured(hosts, hosts, "not shared: no host sees a record of another host")
    if len(found.islands) > 1:
        apart = ["/".join(log.hosts[host] for host in island.hosts) for island in found.islands]
        return Measured(
            len(apart) - 1, hosts, f"not one content: {' and '.join(apart)} do not see each other's records"
        )
    contents = found.islands[0].contents
    if len(contents) > 1:
        return Measured(len(contents) - 1, hosts, _difference(log, contents[0], contents[1]))
    if absent:
        return Measured(len(absent), hosts + len(absent), absent[0])
    return Measured(0, hosts) if found.crossing else Measured()


def _difference(log: Log, one: View, other: View) -> str:
    sizes = f"{one.label} reads {one.size} bytes, {other.label} {other.size}"
    for first, second in ((one, other), (other, one)):
        missing = ~np.isin(first.ids, second.ids)
        if missing.any():
            place = int(np.flatnonzero(missing)[0])
            record = _record(log, int(first.ids[place]))
            at = int(first.offsets[place])
            return (
                f"not one content: {record} is at offset {at} for {first.label}, not for {second.label}; {sizes}"
            )
    same = same_content((one.ids, one.offsets), (other.ids, other.offsets))
    return f"not one content: {'the same records' if same else 'records at other offsets'}; {sizes}"


def _due(log: Log, part: Island) -> Mask:
    """Acknowledged appends of the island that had certainly finished before its last read started."""
    appends = log.appends
    here = appends.acknowledged & np.isin(appends.host, part.hosts)
    start = max((view.start - view.err for view in part.views), default=0)
    return here & (appends.end < start - appends.err)


def _lost(log: Log, part: Island, contents: list[Content]) -> Measured:
    due = _due(log, part)
    missing = due.copy()
    for _, findings in contents:
        missing[findings.rows] = False
    rows = np.flatnonzero(missing)
    of = int(np.count_nonzero(due))
    if not len(rows):
        return Measured(0, of)
    reader = ", ".join(view.label for view in part.views)
    return Measured(len(rows), of, f"{_operation(log, int(rows[0]))} is lost: not in the file as read by {reader}")


def _passed_over(log: Log, looks: list[list[Content]], judged: list[list[Content]]) -> Measured:
    """What readers that followed the file did not see though they saw later ones, and the last reads show."""
    in_the_end = np.zeros(len(log.appends.ids), dtype=bool)
    for _, findings in (content for contents in judged for content in contents):
        in_the_end[findings.rows] = True
    total = Measured()
    for view, findings in (content for contents in looks for content in contents):
        rows = passed_over(log.appends, findings, sorted(log.writer_hosts(view.ids)))
        rows = rows[in_the_end[rows]]
        if len(rows) > total.count:
            lost = f"{_operation(log, int(rows[0]))} is not in the file as read by {view.label}"
            total = Measured(len(rows), 0, f"{lost}, though later ones are")
    return total


def _duplicates(log: Log, _part: Island, contents: list[Content]) -> Measured:
    of = max((len(view.ids) for view, _ in contents), default=0)
    ids = _union([findings.duplicates for _, findings in contents])
    if not len(ids):
        return Measured(0, of)
    wanted = int(ids[0])
    view = next(view for view, findings in contents if wanted in findings.duplicates)
    places = np.sort(view.offsets[view.ids == wanted]).tolist()
    where = f"at offsets {places[0]} and {places[1]} as read by {view.label}"
    return Measured(len(ids), of, f"{_record(log, wanted)} is a duplicate: {where}")


def _torn(log: Log, _part: Island, contents: list[Content]) -> Measured:
    """The file holds whole records that somebody appended, and nothing else."""
    total = Measured()
    for view, findings in contents:
        count = len(view.garbage) + len(findings.unexpected)
        candidate = Measured(count, len(view.ids) + len(view.garbage), _foreign_matter(log, view, findings))
        total = max(total, candidate, key=lambda found: (found.count, found.of))
    return total


_WORDS = {"torn": "a torn record", "hole": "a hole of NUL bytes", "foreign": "foreign bytes"}


def _foreign_matter(log: Log, view: View, findings: Findings) -> str:
    if view.garbage:
        kind, offset, length = view.garbage[0]
        what = _WORDS.get(kind, kind)
        return f"{what} at offset {offset}, {length} bytes, as read by {view.label}{_dump(view, offset, length)}"
    if len(findings.unexpected):
        record, offset = int(findings.unexpected[0]), int(findings.unexpected_offsets[0])
        return f"unexpected: {_record(log, record)} is at offset {offset}, but nobody appended it ({view.label})"
    return ""


def _dump(view: View, offset: int, length: int) -> str:
    """How it begins, in words of four bytes; nothing where the history does not say."""
    head = bytes.fromhex(view.shown.get(offset, ""))
    more = " ..." if len(head) < length else ""
    return f": {head.hex(' ', -4)}{more}" if head else ""


def _order(log: Log, _part: Island, contents: list[Content]) -> Measured:
    total = Measured()
    for view, findings in contents:
        candidate = Measured(findings.misordered, len(findings.rows), _inverted(log, view, findings))
        total = max(total, candidate, key=lambda found: (found.count, found.of))
    return total


def _inverted(log: Log, view: View, findings: Findings) -> str:
    pair = findings.inversion
    if pair is None:
        return ""
    return (
        f"{_operation(log, pair.early)} stands at offset {pair.early_offset}, before "
        f"{_operation(log, pair.late)} at offset {pair.late_offset}, which had finished before it started "
        f"({view.label})"
    )


def _record(log: Log, record: int) -> str:
    writer, sequence = record >> WRITER_SHIFT, record & 0xFFFFFFFF
    host = log.writer_host.get(writer)
    where = f" on {log.hosts[host]}" if host is not None else ""
    return f"record {sequence} of writer {writer}{where}"


def _operation(log: Log, row: int) -> str:
    """A record with the times of its append, counted from the first append of the check."""
    appends = log.appends
    text = f"{_record(log, int(appends.ids[row]))} (started at {_ms(log, int(appends.start[row]))}"
    if not appends.acknowledged[row]:
        return f"{text}, never answered)"
    return f"{text}, acknowledged at {_ms(log, int(appends.end[row]))})"


def _ms(log: Log, time_ns: int) -> str:
    return f"{(time_ns - log.origin_ns) / 1e6:.3f} ms"


def _union(parts: list[Ints]) -> Ints:
    return np.unique(np.concatenate(parts)) if parts else np.zeros(0, dtype=np.int64)


def _figures(log: Log, measured: dict[str, Measured], judged: list[list[Content]]) -> dict[str, Any]:
    contents = [content for part in judged for content in part]
    kinds: Counter[str] = Counter()
    for view, _ in contents:
        kinds |= view.garbage_kinds()
    appends = log.appends
    return {
        "attempted": len(appends.ids),
        "acknowledged": int(np.count_nonzero(appends.acknowledged)),
        "indeterminate": int(np.count_nonzero(~(appends.acknowledged | appends.refused))),
        "found": max((len(findings.rows) for _, findings in contents), default=0),
        "lost": measured["append-loses-nothing"].count,
        "duplicate": measured["append-no-duplicates"].count,
        "unexpected": max((len(findings.unexpected) for _, findings in contents), default=0),
        "torn": kinds["torn"],
        "hole": kinds["hole"],
        "foreign": kinds["foreign"],
        "misordered": measured["append-real-time-order"].count,
        "readers": len(log.views),
        "contents": len(contents),
    }
