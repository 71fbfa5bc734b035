"""From the rows of one check to columns for the append log: what was attempted, and what each reader found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from harness.checkers._append_log import WRITER_SHIFT, Appends, Ints, writers
from harness.model.history import History


@dataclass(frozen=True)
class View:
    """What one reader found in the file at the end. `garbage` holds (kind, offset, length), in file order; `shown`
    how some of it begins, in hexadecimal, by offset.
    """

    label: str
    host: int
    sha256: str
    size: int
    start: int
    err: int
    ids: Ints
    offsets: Ints
    garbage: tuple[tuple[str, int, int], ...]
    accounted: int
    shown: Mapping[int, str] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether records and garbage together make up the whole file, so that nothing was left untold."""
        return self.accounted == self.size

    def garbage_kinds(self) -> Counter[str]:
        return Counter(kind for kind, _offset, _length in self.garbage)


@dataclass(frozen=True)
class Log:
    """`hosts` names what Appends.host and View.host number; `writer_host` maps a writer's number to it.

    `glimpses` are what readers saw that followed the file while it grew: its first records, whole, without a gap.
    """

    hosts: tuple[str, ...]
    appends: Appends
    writer_host: dict[int, int]
    views: tuple[View, ...]
    origin_ns: int
    glimpses: tuple[View, ...] = ()

    @property
    def whole_views(self) -> tuple[View, ...]:
        """Views that account for every byte. What the others do not show proves nothing."""
        return tuple(view for view in self.views if view.complete)

    def writer_hosts(self, ids: Ints) -> set[int]:
        """The hosts whose writers wrote these records; writers that nobody knows are passed over."""
        return {self.writer_host[writer] for writer in writers(ids).tolist() if writer in self.writer_host}

    def sees(self) -> set[tuple[int, int]]:
        """(host that reads, host of a record that it found), of whole views."""
        seen: dict[str, set[int]] = {}
        for view in self.whole_views:
            if view.sha256 not in seen:
                seen[view.sha256] = self.writer_hosts(view.ids)
        return {(view.host, writer) for view in self.whole_views for writer in seen[view.sha256]}


def read_log(history: History) -> Log:
    """Raises ValueError where the rows contradict each other: one id reported by two operations."""
    hosts = history.coded("host")
    rows = history.only(f="append")
    reserved = history.only(f="reserve")
    appends = _appends(rows, reserved)
    if len(appends.repeated()):
        raise ValueError(f"record {int(appends.repeated()[0])} was reported by two operations")
    return Log(
        hosts=tuple(hosts.texts.tolist()),
        appends=appends,
        writer_host=_writer_hosts(rows, reserved),
        views=_views(history),
        origin_ns=int(rows["start_ns"].min()) if len(rows) else 0,
        glimpses=_glimpses(history),
    )


def _appends(rows: History, reserved: History) -> Appends:
    outcomes = rows.coded("outcome")
    return Appends(
        ids=rows.value_int(),
        host=rows.coded("host").codes.astype(np.int64),
        start=rows["start_ns"],
        end=rows["end_ns"],
        err=rows["err_ns"],
        acknowledged=outcomes.is_in(["ok"]),
        refused=outcomes.is_in(["fail"]),
        reserved_first=reserved.value_int(),
        reserved_count=reserved["length"],
    )


def _writer_hosts(rows: History, reserved: History) -> dict[int, int]:
    """Where each writer runs: as its own rows say, or its reservations where it never reported."""
    found: dict[int, int] = {}
    for part in (reserved, rows):
        numbers = part.value_int() >> WRITER_SHIFT
        changes = np.flatnonzero(np.diff(numbers, prepend=-1))
        hosts = part.coded("host").codes[changes]
        found |= dict(zip(numbers[changes].tolist(), hosts.tolist(), strict=True))
    return found


def _views(history: History) -> tuple[View, ...]:
    whole = list(history.only(f="read", outcome="ok").ops())
    reads = {(row.host, row.at, row.process): row for row in whole}
    again = len(whole) > len(reads)
    entries, garbage = history.only(f="entry"), history.only(f="garbage")
    host_code = {name: code for code, name in enumerate(history.coded("host").texts.tolist())}
    views = []
    for (host, at, process), read in reads.items():
        mine, spoilt = (part.only(host=host, at=at, process=process) for part in (entries, garbage))
        if again:
            mine, spoilt = _since(mine, read.start_ns), _since(spoilt, read.start_ns)
        spans, shown = _spoilt(spoilt)
        views.append(
            View(
                label=f"{at} on {host}",
                host=host_code[host],
                sha256=str(read.value),
                size=read.length,
                start=read.start_ns,
                err=read.err_ns,
                ids=mine.value_int(),
                offsets=mine["offset"],
                garbage=spans,
                accounted=int(mine["length"].sum() + spoilt["length"].sum()),
                shown=shown,
            )
        )
    return tuple(views)


def _spoilt(rows: History) -> tuple[tuple[tuple[str, int, int], ...], dict[int, str]]:
    """What `garbage` rows say, in file order: a value is a kind, and for some how the bytes begin."""
    offsets = rows["offset"].tolist()
    told = [str(value).partition(" ")[::2] for value in rows["value"].tolist()]
    spans = zip((kind for kind, _ in told), offsets, rows["length"].tolist(), strict=True)
    shown = {offset: head for offset, (_, head) in zip(offsets, told, strict=True) if head}
    return tuple(sorted(spans, key=lambda span: span[1])), shown


def _glimpses(history: History) -> tuple[View, ...]:
    rows = history.only(f="glimpse")
    host_code = {name: code for code, name in enumerate(history.coded("host").texts.tolist())}
    views = []
    for host in sorted(rows.coded("host").used()):
        for process in sorted(rows.only(host=host).coded("process").used()):
            mine = rows.only(host=host, process=process)
            at = str(mine["at"][0])
            views.append(
                View(
                    label=f"{process} at {at} on {host}, while the file grew",
                    host=host_code[host],
                    sha256="",
                    size=int(mine["length"].sum()),
                    start=int(mine["start_ns"].max()),
                    err=0,
                    ids=mine.value_int(),
                    offsets=mine["offset"],
                    garbage=(),
                    accounted=int(mine["length"].sum()),
                )
            )
    return tuple(views)


def _since(rows: History, start_ns: int) -> History:
    """Of a reader that read more than once only the last read counts."""
    old = rows["start_ns"] < start_ns
    return rows.where(~old) if old.any() else rows
