"""The append log judged while it grows: at every cut of a random history it says what the whole judge says of the
rows so far, and what it says once it never takes back.
"""

from __future__ import annotations

import math
import os
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from harness.checkers import watch
from harness.checkers._append_log import Ints, examine, passed_over
from harness.checkers._append_online import AppendWatch
from harness.checkers._append_views import read_log
from harness.model.history import COLUMNS, NEVER, History, Op
from tests import brute
from tests.checkers_scene import make_check, make_plan, row, volume_plan

HISTORIES = int(os.environ.get("HARNESS_HISTORIES", "2000"))
CHUNKS = 20
KIND = "concurrent-append"


def offline(rows: Sequence[Op]) -> set[str]:
    """Promises that readers found broken who followed the file, by the judge of whole histories."""
    log = read_log(History.of(rows))
    broken = set()
    for view in log.glimpses:
        found = examine(log.appends, view.ids, view.offsets)
        missing = passed_over(log.appends, found, sorted(log.writer_hosts(view.ids)))
        broken |= {"append-loses-nothing"} if len(missing) else set()
        broken |= {"append-no-duplicates"} if len(found.duplicates) else set()
        broken |= {"append-not-torn"} if len(found.unexpected) else set()
        broken |= {"append-real-time-order"} if found.misordered else set()
    return broken


def told(append: brute.Append) -> Op:
    never, writer = math.isinf(append.finish), append.id >> 32
    return row("append", KIND, process=f"w{writer}", host=append.host, at=f"edge.{append.host}", key="data",
               value=append.id, length=8, start_ns=int(append.start), err_ns=append.err,
               end_ns=NEVER if never else int(append.finish),
               outcome="fail" if append.refused else "info" if never else "ok")  # fmt: skip


def reserved(append: brute.Append) -> Op:
    return replace(told(append), f="reserve", length=1, start_ns=0, end_ns=0, outcome="ok", err_ns=0)


def glimpses(host: str, file: Sequence[tuple[int, int]]) -> list[Op]:
    who = {"process": f"tail-{host}", "host": host, "at": f"edge.{host}", "key": "data"}
    records = [record for record, _ in sorted(file, key=lambda entry: entry[1])]
    return [row("glimpse", KIND, **who, value=r, offset=8 * i, length=8) for i, r in enumerate(records)]


def scene(rng: random.Random) -> list[Op]:
    """Rows in an order in which they may come in: each process's own order is kept, reservations come first. Two
    hosts follow the file; the second sees less of it, or something else.
    """
    case = brute.random_case(rng)
    other = brute.mutated(case, rng.choice(brute.MUTATIONS[:4]), rng).file
    writers: dict[int, list[Op]] = {}
    for append in case.appends:
        if append.told:
            writers.setdefault(append.id >> 32, []).append(told(append))
    streams = [*writers.values(), glimpses("n1", case.file), glimpses("n2", other[: rng.randint(0, len(other))])]
    rows = [reserved(append) for append in case.appends]
    while streams := [stream for stream in streams if stream]:
        rows.append(rng.choice(streams).pop(0))
    return rows


def fed(rows: Sequence[Op], rng: random.Random) -> list[tuple[int, set[str]]]:
    """What is broken after each piece: (rows so far, promises)."""
    online, heard, at = AppendWatch(), [], 0
    while at < len(rows):
        step = rng.randint(2, 12)
        online.feed(History.of(rows[at : at + step]))
        at += step
        heard.append((min(at, len(rows)), set(online.broken)))
    return heard


def as_one(broken: set[str]) -> set[str]:
    """What is lost so far may come later, in the wrong order."""
    return {"append-real-time-order" if name == "append-loses-nothing" else name for name in broken}


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_at_every_cut_it_says_what_the_judge_of_whole_histories_says(chunk: int) -> None:
    rng = random.Random(chunk)
    for number in range(math.ceil(HISTORIES / CHUNKS)):
        rows = scene(rng)
        skewed, before = any(op.err_ns for op in rows), set[str]()
        for cut, broken in fed(rows, rng):
            whole = offline(rows[:cut])
            label = f"chunk {chunk}, history {number}, cut {cut}: {broken}, {whole}"
            # within one host clocks are exact: that is left to the end
            assert as_one(broken) <= as_one(whole) if skewed else as_one(broken) == as_one(whole), label
            assert before <= broken, label
            before = broken


def test_the_random_histories_break_every_promise_and_none() -> None:
    seen: Counter[str] = Counter()
    for chunk in range(3):
        rng = random.Random(chunk)
        for _ in range(100):
            broken = offline(scene(rng))
            seen.update(broken or {"none"})
    wanted = {"append-loses-nothing", "append-no-duplicates", "append-not-torn", "append-real-time-order", "none"}
    assert {name for name in wanted if seen[name] >= 5} == wanted, seen


LOST = [told(brute.Append(1 << 32, "n1", 10, 20)), told(brute.Append(2 << 32, "n2", 30, 40))]
READ = glimpses("n1", [(2 << 32, 0)])


def batches(rows: Sequence[Op]) -> list[dict[str, Any]]:
    return [{**{name: getattr(op, name) for name in COLUMNS}, "n": 1} for op in rows]


@pytest.mark.parametrize(("expected", "fails"), [("holds", True), ("may", False)])
def test_only_what_is_promised_ends_a_load(expected: str, fails: bool) -> None:
    plan = make_plan(volumes=(volume_plan(shared=True, expected=expected),), targets=())
    watching = watch(plan, make_check(KIND, volume="data"))
    assert watching is not None
    other = glimpses("n2", [(1 << 32, 0)])  # not seen by n1, whose reader has not seen n1's own records at all
    assert not watching(batches([*LOST, *other]))
    more = [told(brute.Append(1 << 32 | 1, "n1", 50, 60)), *READ, *glimpses("n1", [(1 << 32 | 1, 0)])]
    assert watching(batches(more)) is fails
    assert not watching([]) or fails


def test_it_is_fed_a_long_log_in_pieces_and_finds_the_one_record_that_is_lost() -> None:
    count, lost = 40_000, 31_234
    ids = (np.arange(count) % 4 + 1 << 32) + np.arange(count) // 4
    host = {"process": "tail-n1", "host": "n1", "at": "edge.n1", "f": "glimpse", "length": 8}
    online = AppendWatch()
    heard = []
    for first in range(0, count, 1000):
        part = ids[first : first + 1000]
        rows = [_appended(writer, part, np.arange(first, first + 1000) * 10) for writer in (1, 2, 3, 4)]
        seen = [i for i in part.tolist() if i != ids[lost]]
        online.feed(History.of_batches([*rows, {**host, "n": len(seen), "value": seen}]))
        heard.append(bool(online.broken))
    assert heard.index(True) == lost // 1000
    assert list(online.broken) == ["append-loses-nothing"]
    assert f"record {lost // 4} of writer {lost % 4 + 1}" in online.broken["append-loses-nothing"]


def _appended(writer: int, ids: Ints, times: Ints) -> dict[str, Any]:
    mine = np.flatnonzero(ids >> 32 == writer)
    who = {"process": f"w{writer}", "host": f"n{writer % 3 + 1}", "f": "append", "n": len(mine)}
    return {**who, "value": ids[mine], "start_ns": times[mine], "end_ns": times[mine] + 5}
