"""The counter's judge: a broken lock and a stale read under a lock, told apart; brute force on small histories."""

from __future__ import annotations

import os
import random
from collections import Counter
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from harness.checkers import judge
from harness.checkers._counter_tokens import Increments, grants, tokens
from harness.model.history import NEVER, History, Op
from harness.model.verdict import Verdict
from tests.checkers_scene import make_check, make_plan, row
from tests.volumes_scene import HOSTS, around, broken, promise, shared_volume, unshared

HISTORIES = int(os.environ.get("HARNESS_HISTORIES", "2000"))


def increment(worker: int, token: int, start: int, end: int | None, **fields: Any) -> Op:
    """Held from 2 after its start to 2 before its end; times in microseconds. `end` None: never answered."""
    host = HOSTS[worker % 2]
    held, until = (start + 2) * 1000, ((end or 0) - 2) * 1000
    whole = {
        "process": f"w{worker}", "host": host, "at": f"edge.{host}", "key": "data",
        "value": "" if end is None else f"{token} {held} {until}", "start_ns": start * 1000,
        "end_ns": NEVER if end is None else end * 1000, "outcome": "info" if end is None else "ok",
    }  # fmt: skip
    return row("increment", "counter", **{**whole, **fields})


def totals(*numbers: int) -> list[Op]:
    return [
        row("total", "counter", process=f"reader-{host}", host=host, at=f"edge.{host}", key="data", value=number,
            start_ns=10**9, end_ns=10**9 + 9)
        for host, number in zip(HOSTS, numbers, strict=True)
    ]  # fmt: skip


#: Worker 1 and worker 2 wait for each other in turn.
RIGHT = [increment(1, 1, 0, 10), increment(2, 2, 1, 20), increment(1, 3, 12, 30), increment(2, 4, 22, 40)]


def verdict_on(rows: list[Op], *, nonces: list[Op] | None = None, expected: str = "holds") -> Verdict:
    plan = make_plan(volumes=(shared_volume(expected),), targets=())
    check = make_check("counter", volume="data", workers_per_node=1)
    return judge(History.of([*around("counter", nonces), *rows]), plan, check)


def held_after(op: Op, first_us: int, last_us: int) -> Op:
    token = str(op.value).split(" ")[0]
    return replace(op, value=f"{token} {first_us * 1000} {last_us * 1000}")


#: The same, with holds that really follow each other.
DISJOINT = [
    held_after(RIGHT[0], 2, 8),
    held_after(RIGHT[1], 9, 14),
    held_after(RIGHT[2], 15, 25),
    held_after(RIGHT[3], 26, 36),
]


def test_tokens_in_order_under_a_lock_that_excludes_pass() -> None:
    verdict = verdict_on(DISJOINT + totals(4, 4))
    assert verdict.verdict == "pass", verdict.reason
    assert {p.name: p.observed for p in verdict.promises} == {
        "shared": "kept", "lock-exclusion": "kept", "lock-read-write": "kept",
    }  # fmt: skip
    assert verdict.figures["contended"] == 3
    assert verdict.operations["n1"]["increment"] == 2


def test_two_that_hold_the_lock_at_once_break_the_exclusion_and_nothing_else() -> None:
    twice = [held_after(increment(1, 3, 15, 60), 20, 50), held_after(increment(2, 3, 22, 60), 30, 55)]
    rows = [*DISJOINT[:2], *twice]
    verdict = verdict_on(rows + totals(3, 3))
    assert verdict.verdict == "fail"
    assert broken(verdict) == ["lock-exclusion"]
    witness = promise(verdict, "lock-exclusion").witness
    assert "w2 in edge.n1 on n1 (token 3" in witness
    assert "w1 in edge.n2 on n2 (token 3" in witness
    assert "both had it for 20.0 us" in witness


def test_a_duplicate_token_of_holds_that_follow_each_other_is_a_stale_read() -> None:
    rows = [*DISJOINT[:3], held_after(increment(2, 3, 22, 40), 26, 36)]
    verdict = verdict_on(rows + totals(3, 3))
    assert broken(verdict) == ["lock-read-write"]
    assert "duplicate token" in promise(verdict, "lock-read-write").witness


def test_a_smaller_token_after_a_larger_one_is_a_stale_read_also_without_a_duplicate() -> None:
    rows = [*DISJOINT[:2], increment(1, 9, 40, 50), increment(2, 3, 60, 70), *[increment(1, 0, 5, None)] * 6]
    verdict = verdict_on(rows + totals(9, 9))
    assert broken(verdict) == ["lock-read-write"]
    assert "stale read under the lock: w2" in promise(verdict, "lock-read-write").witness


def test_an_acknowledged_increment_that_is_missing_at_the_end_is_lost() -> None:
    verdict = verdict_on(DISJOINT + totals(4, 3))
    assert broken(verdict) == ["lock-read-write"]
    assert "reads 3, but token 4" in promise(verdict, "lock-read-write").witness


@pytest.mark.parametrize(("crashed", "outcome"), [(1, "pass"), (0, "fail")])
def test_a_gap_needs_an_increment_that_was_never_answered(crashed: int, outcome: str) -> None:
    rows = [*DISJOINT, held_after(increment(1, 6, 40, 60), 42, 58)]
    rows += [increment(2, 0, 41, None) for _ in range(crashed)]
    assert verdict_on(rows + totals(6, 6)).verdict == outcome


def test_a_reserved_increment_that_nobody_told_of_may_have_happened() -> None:
    rows = [*DISJOINT, held_after(increment(1, 6, 40, 60), 42, 58)]
    rows.append(row("reserve", "counter", process="w2", host="n1", key="data", value=2 << 32, length=6))
    assert verdict_on(rows + totals(6, 6)).verdict == "pass"


def test_clocks_that_may_be_off_excuse_an_overlap() -> None:
    close = [held_after(increment(1, 3, 15, 60), 20, 50), held_after(increment(2, 4, 22, 70), 45, 65)]
    rows = [*DISJOINT[:2], *close]
    assert broken(verdict_on(rows + totals(4, 4))) == ["lock-exclusion"]
    excused = [replace(op, err_ns=5_000) for op in rows]
    assert broken(verdict_on(excused + totals(4, 4))) == []


def test_without_contention_the_exclusion_is_unmeasured_and_the_check_unknown() -> None:
    rows = [increment(1, 1, 0, 10), increment(2, 2, 20, 30)]
    verdict = verdict_on(rows + totals(2, 2))
    assert promise(verdict, "lock-exclusion").observed == "unmeasured"
    assert verdict.verdict == "unknown"


def test_who_waited_for_a_hold_that_is_shorter_than_clocks_may_be_off_has_waited() -> None:
    """As on emulated machines: holds of 6 us, clocks known to 4 us, waits of many."""
    waiter = replace(held_after(increment(1, 2, 5, 5_000_090), 5_000_060, 5_000_066), err_ns=4_000)
    others = [replace(held_after(increment(2, 1, 0, 40), 20, 26), err_ns=4_000)]
    verdict = verdict_on([*others, waiter, *totals(2, 2)])
    assert verdict.figures["contended"] == 1
    assert verdict.figures["wait_max_s"] == pytest.approx(5.0, abs=0.001)
    assert promise(verdict, "lock-exclusion").observed == "kept"
    hasty = replace(held_after(increment(1, 2, 25, 90), 60, 66), err_ns=4_000)
    assert verdict_on([*others, hasty, *totals(2, 2)]).figures["contended"] == 0, "it may have asked afterwards"


@pytest.mark.parametrize("missing", ["workers", "totals", "everything"])
def test_too_little_is_unknown(missing: str) -> None:
    alone = [increment(1, 1, 0, 10), increment(1, 2, 20, 30)]
    rows = {"workers": alone + totals(2, 2), "totals": DISJOINT, "everything": []}[missing]
    verdict = verdict_on(rows)
    assert verdict.verdict == "unknown"
    assert verdict.reason


def test_a_broken_lock_that_nobody_promised_passes_and_is_shown() -> None:
    rows = [*DISJOINT[:3], held_after(increment(2, 3, 22, 40), 26, 36)]
    verdict = verdict_on(rows + totals(3, 3), expected="may")
    assert verdict.verdict == "pass"
    assert broken(verdict) == ["lock-read-write"]


def test_hosts_with_a_volume_each_count_for_themselves() -> None:
    rows = [increment(1, 1, 0, 10), increment(2, 1, 2, 12), increment(1, 2, 14, 24), increment(2, 2, 16, 26)]
    verdict = verdict_on(rows + totals(2, 2), nonces=unshared("counter"), expected="may")
    assert broken(verdict) == ["shared"]
    assert verdict.verdict == "pass"
    assert "not shared" in verdict.reason


# --- brute force ---------------------------------------------------------------------------------------------

Case = list[tuple[int, int, int, int, int, int]]


def random_case(rng: random.Random) -> Case:
    """(token, start, held, until, end, err): a lock that mostly excludes, and tokens that are mostly right."""
    case, clock, number = [], 0, 0
    for _ in range(rng.randint(1, 6)):
        start = max(0, clock - rng.randint(0, 8))
        held = clock + rng.randint(0, 2) if rng.random() < 0.8 else start + rng.randint(0, 3)
        until = held + rng.randint(0, 5)
        number += 1 if rng.random() < 0.8 else rng.choice([0, 0, -1, 2])
        end, err = until + rng.randint(0, 6), rng.choice([0, 0, 0, 1, 2])
        case.append((number, min(start, held), held, until, end, err))
        clock = max(clock, until + rng.randint(0, 2))
    rng.shuffle(case)
    return case


def columns(case: Case) -> Increments:
    table = np.array(case, dtype=np.int64)
    token, start, held, until, end, err = table.T
    return Increments(token, start, end, held, until, err)


def overlap(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    spans = [(held + err, until - err) for _, _, held, until, _, err in (one, other)]
    (a, b), (c, d) = spans
    return a < b and c < d and max(a, c) < min(b, d)


def stale(case: Case) -> int:
    """By definition: rows that come second to the same token, or began after one with a larger token had ended."""
    count = 0
    for number, (token, start, held, _, _, err) in enumerate(case):
        others = [(place, other) for place, other in enumerate(case) if place != number]
        twin = any(o[0] == token and (o[2], p) < (held, number) for p, o in others)
        late = any(o[0] > token and o[4] + o[5] < start - err for _, o in others)
        count += twin or late
    return count


def waited(case: Case) -> int:
    """By definition: rows that asked before another gave back what it had got before them, by any clock."""
    return sum(
        any(o[2] + o[5] < held - err and start + err < o[3] - o[5] for o in case)
        for _, start, held, _, _, err in case
    )


def test_findings_equal_those_of_brute_force() -> None:
    rng, seen = random.Random(11), Counter[str]()
    for number in range(HISTORIES):
        case = random_case(rng)
        pairs = [pair for pair in combinations(case, 2) if overlap(*pair)]
        found = columns(case)
        granted, read = grants(found), tokens(found)
        assert bool(granted.double) == bool(pairs), f"history {number}: {case}"
        assert read.stale == stale(case), f"history {number}: {case}"
        assert granted.contended == waited(case), f"history {number}: {case}"
        assert (granted.pair is None) == (not pairs)
        if granted.pair is not None:
            assert overlap(case[granted.pair.early], case[granted.pair.late]), f"history {number}: {case}"
            first = min(max(a[2] + a[5], b[2] + b[5]) for a, b in pairs)
            assert granted.first_ns == first, f"history {number}: {case}"
        if read.pair is not None:
            early, late = case[read.pair.early], case[read.pair.late]
            assert early[0] > late[0] or (early[0] == late[0] and early[2] <= late[2])
        seen.update(["overlap" if pairs else "excluded", "stale" if read.stale else "fresh"])
        seen.update(["waited" if granted.contended else "alone"])
    assert min(seen.values()) * 20 > HISTORIES, seen
