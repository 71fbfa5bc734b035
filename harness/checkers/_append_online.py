"""The append log, judged while it grows, from rows as they come in: what is wrong now stays wrong.

A reader that follows the file (rows `glimpse`) has seen its first records, whole, one after another. However stale
it is, that is how a right file begins. So each reader's records so far must be a beginning of an order that
respects real time, and it is wrong, whatever comes:

- a record that nobody appended, or one twice;
- a record before one that had finished when it started;
- an acknowledged append that had finished when a record of this reader started, and does not stand before it. Only
  of hosts of which the reader has seen some record: what is not shared is not lost. (What comes later after all is
  in the wrong order.)

Rows may come late: a record may be seen before its append is told of, since its number was reserved before. Each
`feed` looks again from the first place of which something new is known: near-linear where rows are late by little.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from harness.checkers._append_log import WRITER_SHIFT, Ints, Mask
from harness.model.history import NEVER, History

#: Starts of records of which nothing is known.
_LONG_AGO = -NEVER
_UNTOLD, _TOLD, _REFUSED = 0, 1, 2
_LOW = (1 << WRITER_SHIFT) - 1


class _Column:
    """Integers by sequence number, as many as there are asked for."""

    def __init__(self, default: int) -> None:
        self._default = default
        self._values = np.full(1024, default, dtype=np.int64)

    def upto(self, count: int) -> Ints:
        if count > len(self._values):
            more = np.full(max(count, 2 * len(self._values)) - len(self._values), self._default, dtype=np.int64)
            self._values = np.concatenate([self._values, more])
        return self._values


@dataclass
class _Writer:
    """Appends of one writer by sequence number, as far as they were told of."""

    host: str
    start: _Column = field(default_factory=lambda: _Column(_LONG_AGO))
    finish: _Column = field(default_factory=lambda: _Column(NEVER))
    state: _Column = field(default_factory=lambda: _Column(_UNTOLD))
    reserved: _Column = field(default_factory=lambda: _Column(0))


class _Reader:
    """What one reader has seen, by place in the file: `start` and `finish` are those of the append, as far as they
    are known; `place` has, for each writer, the first place of each sequence number.
    """

    def __init__(self, host: str) -> None:
        self.host = host
        self.count = 0
        self.hosts: set[str] = set()
        self.place: dict[int, _Column] = {}
        self._id, self._again, self._latest = _Column(0), _Column(0), _Column(_LONG_AGO)
        self._pending: list[tuple[Ints, Ints]] = []

    def places(self, writer: int, sequences: Ints) -> Ints:
        """-1 where it was not seen."""
        column = self.place.setdefault(writer, _Column(-1))
        found: Ints = column.upto(int(sequences.max(initial=0)) + 1)[sequences]
        return found

    def see(self, ids: Ints) -> Ints:
        """More records, in the order of the file. Returns those that it has seen before."""
        first, self.count = self.count, self.count + len(ids)
        self._id.upto(self.count)[first : self.count] = ids
        again = self._again.upto(self.count)
        for writer, mine in _by_writer(ids):
            sequences = ids[mine] & _LOW
            column = self.place.setdefault(writer, _Column(-1)).upto(int(sequences.max()) + 1)
            _, fresh = np.unique(sequences, return_index=True)
            new = np.zeros(len(sequences), dtype=bool)
            new[fresh] = True
            new &= column[sequences] < 0
            column[sequences[new]] = first + mine[new]
            again[first + mine[~new]] = 1
        repeated: Ints = ids[again[first : self.count] == 1]
        return repeated

    def misordered(self, writers: dict[int, _Writer], since: int) -> tuple[int, int] | None:
        """Ids (early, late) of a record that stands before one that had finished when it started, looked for from
        the place `since` on.
        """
        ids = self._id.upto(self.count)[since : self.count]
        if not len(ids):
            return None
        start, finish = _times(writers, ids, self._again.upto(self.count)[since : self.count] == 1)
        latest = self._latest.upto(self.count)
        before = latest[since - 1] if since else _LONG_AGO
        latest[since : self.count] = np.maximum(np.maximum.accumulate(start), before)
        shifted = np.concatenate([[before], latest[since : self.count - 1]])
        bad = np.flatnonzero(finish < shifted)
        if not len(bad):
            return None
        late = since + int(bad[0])
        early = int(np.searchsorted(latest[:late], shifted[bad[0]]))
        return int(self._id.upto(self.count)[early]), int(ids[bad[0]])

    def expect(self, ids: Ints, finish: Ints) -> None:
        """Acknowledged appends."""
        self._pending.append((ids, finish))

    def passed_over(self, writers: dict[int, _Writer]) -> int | None:
        """An acknowledged append that this reader should have seen by now."""
        if not self._pending or not self.count:
            return None
        ids = np.concatenate([ids for ids, _ in self._pending])
        finish = np.concatenate([finish for _, finish in self._pending])
        due = finish < self._latest.upto(self.count)[self.count - 1]
        for writer, mine in _by_writer(ids):
            due[mine] &= writers[writer].host in self.hosts
        self._pending = [(ids[~due], finish[~due])]
        for writer, mine in _by_writer(ids[due]):
            missing = np.flatnonzero(self.places(writer, ids[due][mine] & _LOW) < 0)
            if len(missing):
                return int(ids[due][mine[missing[0]]])
        return None


class AppendWatch:
    """Feed it rows of one check as they come; `broken` maps promises to what breaks them, in prose."""

    def __init__(self) -> None:
        self.broken: dict[str, str] = {}
        self._writers: dict[int, _Writer] = {}
        self._readers: dict[tuple[str, str, str], _Reader] = {}

    def feed(self, rows: History) -> None:
        self._reserve(rows.only(f="reserve"))
        told = self._told(rows.only(f="append"))
        seen = self._seen(rows.only(f="glimpse"))
        for name, reader in self._readers.items():
            self._look(name, told, seen.get(name, reader.count))

    def _reserve(self, rows: History) -> None:
        for row in rows.ops():
            number, first = int(row.value) >> WRITER_SHIFT, int(row.value) & _LOW
            self._writer(number, row.host).reserved.upto(first + row.length)[first : first + row.length] = 1

    def _writer(self, number: int, host: str) -> _Writer:
        return self._writers.setdefault(number, _Writer(host))

    def _told(self, rows: History) -> Ints:
        """Takes what writers told; returns the ids."""
        ids, outcome, host = rows.value_int(), rows.coded("outcome"), rows.coded("host")
        acknowledged, refused = outcome.is_in(["ok"]), outcome.is_in(["fail"])
        err = rows["err_ns"]
        start, finish = rows["start_ns"] - err, np.where(acknowledged, rows["end_ns"], NEVER)
        finish = np.where(finish > NEVER - err, NEVER, finish + err)
        for number, mine in _by_writer(ids):
            writer = self._writer(number, str(host.texts[host.codes[mine[0]]]))
            sequences = ids[mine] & _LOW
            count = int(sequences.max()) + 1
            writer.start.upto(count)[sequences] = start[mine]
            writer.finish.upto(count)[sequences] = finish[mine]
            writer.state.upto(count)[sequences] = np.where(refused[mine], _REFUSED, _TOLD)
        for reader in self._readers.values():
            reader.expect(ids[acknowledged], finish[acknowledged])
        return ids

    def _seen(self, rows: History) -> dict[tuple[str, str, str], int]:
        """Takes what readers saw; for each of them the first place that is new."""
        found = {}
        for host in rows.coded("host").used():
            for at in rows.only(host=host).coded("at").used():
                for process in rows.only(host=host, at=at).coded("process").used():
                    mine = rows.only(host=host, at=at, process=process)
                    found[host, at, process] = self._sees((host, at, process), mine.value_int())
        return found

    def _sees(self, name: tuple[str, str, str], ids: Ints) -> int:
        reader = self._readers.get(name)
        if reader is None:
            reader = self._readers[name] = _Reader(name[0])
            for ids_told, finish in self._acknowledged():
                reader.expect(ids_told, finish)
        first = reader.count
        again = reader.see(ids)
        if len(again):
            self._break("append-no-duplicates", f"{_title(int(again[0]))} is a duplicate as read by {_who(name)}")
        for number, _ in _by_writer(ids):
            if number in self._writers:
                reader.hosts.add(self._writers[number].host)
        self._unexpected(name, ids)
        return first

    def _acknowledged(self) -> Iterator[tuple[Ints, Ints]]:
        """All that was acknowledged so far: for a reader that is new."""
        for number, writer in self._writers.items():
            done = np.flatnonzero(writer.finish.upto(0) < NEVER)
            yield (number << WRITER_SHIFT) + done, writer.finish.upto(0)[done]

    def _unexpected(self, name: tuple[str, str, str], ids: Ints) -> None:
        for number, mine in _by_writer(ids):
            sequences, writer = ids[mine] & _LOW, self._writers.get(number)
            unknown = np.ones(len(mine), dtype=bool)
            if writer is not None:
                count = int(sequences.max()) + 1
                state, reserved = writer.state.upto(count)[sequences], writer.reserved.upto(count)[sequences]
                unknown = (state == _REFUSED) | ((state == _UNTOLD) & (reserved == 0))
            if unknown.any():
                record = int(ids[mine[np.flatnonzero(unknown)[0]]])
                self._break("append-not-torn", f"{_title(record)}, as read by {_who(name)}: nobody appended it")

    def _look(self, name: tuple[str, str, str], told: Ints, since: int) -> None:
        """Judges what is new for a reader: places from `since` on, and appends that were told of."""
        reader = self._readers[name]
        for number, mine in _by_writer(told):
            places = reader.places(number, told[mine] & _LOW)
            seen = mine[places >= 0]
            if len(seen):
                since = min(since, int(places[places >= 0].min()))
                self._unexpected(name, told[seen])
        pair = reader.misordered(self._writers, since)
        if pair is not None:
            early, late = map(_title, pair)
            what = f"{early} stands before {late}, which had finished before it started, as read by {_who(name)}"
            self._break("append-real-time-order", what)
        missing = reader.passed_over(self._writers)
        if missing is not None:
            what = f"{_title(missing)} is not in the file as read by {_who(name)}, though later ones are"
            self._break("append-loses-nothing", what)

    def _break(self, promise: str, what: str) -> None:
        self.broken.setdefault(promise, what)


def _times(writers: dict[int, _Writer], ids: Ints, again: Mask) -> tuple[Ints, Ints]:
    """Start and finish of each record's append; what is unknown or does not count contradicts nothing."""
    start, finish = np.full(len(ids), _LONG_AGO, dtype=np.int64), np.full(len(ids), NEVER, dtype=np.int64)
    for number, mine in _by_writer(ids):
        writer = writers.get(number)
        if writer is None:
            continue
        sequences = ids[mine] & _LOW
        count = int(sequences.max()) + 1
        counts = (writer.state.upto(count)[sequences] == _TOLD) & ~again[mine]
        start[mine] = np.where(counts, writer.start.upto(count)[sequences], _LONG_AGO)
        finish[mine] = np.where(counts, writer.finish.upto(count)[sequences], NEVER)
    return start, finish


def _by_writer(ids: Ints) -> Iterator[tuple[int, Ints]]:
    """Each writer's number, and the places of its ids."""
    if not len(ids):
        return
    numbers = ids >> WRITER_SHIFT
    few = numbers.min() >= 0 and numbers.max() <= np.iinfo(np.int16).max  # then numpy sorts them by their digits
    order = np.argsort(numbers.astype(np.int16) if few else numbers, kind="stable")
    ascending = numbers[order]
    bounds = np.flatnonzero(np.diff(ascending, prepend=-1))
    for first, last in zip(bounds.tolist(), [*bounds[1:].tolist(), len(ids)], strict=True):
        yield int(ascending[first]), order[first:last]


def _title(record: int) -> str:
    return f"record {record & _LOW} of writer {record >> WRITER_SHIFT}"


def _who(name: tuple[str, str, str]) -> str:
    host, at, process = name
    return f"{process} at {at} on {host}"
