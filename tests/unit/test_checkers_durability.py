"""The judge of what was synced: floor within final within attempted, and runs in which nothing was killed."""

from __future__ import annotations

import os
import random
from collections import Counter
from typing import Any

import pytest

from harness.agent.file_durable import ranges
from harness.checkers import judge
from harness.checkers._ranges import numbers
from harness.model.history import NEVER, History, Op
from harness.model.verdict import Verdict
from tests.checkers_scene import make_check, make_plan, row
from tests.volumes_scene import HOSTS, around, broken, promise, shared_volume

HISTORIES = int(os.environ.get("HARNESS_HISTORIES", "2000"))
PROMISE = "fsync-survives-client-kill"


def sync(worker: int, sequence: int, outcome: str = "ok", **fields: Any) -> Op:
    host, start = HOSTS[worker % 2], 1000 * (sequence + 1)
    whole = {
        "process": f"w{worker}", "host": host, "at": f"edge.{host}", "key": f"data|{worker}", "length": 64,
        "value": worker << 32 | sequence, "offset": 64 * sequence, "start_ns": start, "outcome": outcome,
        "end_ns": NEVER if outcome == "info" else start + 500,
    }  # fmt: skip
    return row("sync", "durability", **{**whole, **fields})


def kill(worker: int, at_ns: int) -> Op:
    host = HOSTS[worker % 2]
    return row("kill", "durability", process=f"w{worker}", host=host, at=f"edge.{host}", key=f"data|{worker}",
               start_ns=at_ns, end_ns=at_ns + 9)  # fmt: skip


def kept(worker: int, *texts: str) -> list[Op]:
    return [
        row("kept", "durability", process=f"reader-{host}", host=host, at=f"edge.{host}", key=f"data|{worker}",
            value=text)
        for host, text in zip(HOSTS, texts, strict=True)
    ]  # fmt: skip


SYNCS = [*(sync(1, n) for n in range(4)), *(sync(2, n) for n in range(3)), sync(1, 4, "info"), kill(1, 5600)]
KILLED = [*SYNCS, kill(2, 3600)]


def verdict_on(rows: list[Op], expected: str = "holds") -> Verdict:
    plan = make_plan(volumes=(shared_volume(expected),), targets=())
    check = make_check("durability", volume="data", workers_per_node=1)
    return judge(History.of([*around("durability"), *rows]), plan, check)


@pytest.mark.parametrize("found", ["0-3", "0-4"])
def test_what_was_synced_is_there_and_what_was_under_way_may_be(found: str) -> None:
    verdict = verdict_on([*KILLED, *kept(1, found, found), *kept(2, "0-2", "0-2")])
    assert verdict.verdict == "pass", verdict.reason
    assert promise(verdict, PROMISE).of == 14
    assert (verdict.figures["synced"], verdict.figures["kills"], verdict.ignored) == (7, 2, 1)


def test_a_synced_record_that_one_host_does_not_find_is_lost() -> None:
    verdict = verdict_on([*KILLED, *kept(1, "0-3", "0-1,3"), *kept(2, "0-2", "0-2")])
    assert verdict.verdict == "fail"
    assert broken(verdict) == [PROMISE]
    witness = promise(verdict, PROMISE).witness
    assert "record 2 of w1 in edge.n2 on n2 (offset 128, 64 bytes)" in witness
    assert "0.002 ms before its process was killed, and edge.n2 on n2 does not find it" in witness


def test_a_record_that_nobody_wrote_is_found() -> None:
    verdict = verdict_on([*KILLED, *kept(1, "0-3,9", "0-3"), *kept(2, "0-2", "0-2")])
    assert "finds record 9, which nobody wrote" in promise(verdict, PROMISE).witness


def test_a_record_that_was_reserved_may_have_been_written() -> None:
    reserve = row("reserve", "durability", process="w1", host="n2", key="data", value=1 << 32 | 8, length=4)
    verdict = verdict_on([*KILLED, reserve, *kept(1, "0-3,9", "0-3"), *kept(2, "0-2", "0-2")])
    assert verdict.verdict == "pass", verdict.reason


def test_where_nothing_was_killed_nothing_was_measured() -> None:
    rows = [op for op in KILLED if op.f != "kill"]
    verdict = verdict_on([*rows, *kept(1, "0-3", "0-3"), *kept(2, "0-2", "0-2")])
    assert promise(verdict, PROMISE).observed == "unmeasured"
    assert verdict.verdict == "unknown"


def test_a_host_that_read_nothing_leaves_it_unknown() -> None:
    verdict = verdict_on([*KILLED, *kept(1, "0-3", "0-3")[:1], *kept(2, "0-2", "0-2")[:1]])
    assert (verdict.verdict, "on n2" in verdict.reason) == ("unknown", True)


def test_ranges_come_back_as_they_went() -> None:
    rng = random.Random(2)
    for _ in range(200):
        some = sorted(rng.sample(range(40), rng.randint(0, 20)))
        assert numbers(ranges(some)) == set(some)


def test_random_files_get_what_the_definition_says() -> None:
    rng, seen = random.Random(3), Counter[str]()
    for number in range(HISTORIES // 4):
        outcomes = [rng.choice(["ok", "ok", "ok", "info", "fail"]) for _ in range(rng.randint(1, 6))]
        found = {n for n in range(8) if rng.random() < (0.95 if n < len(outcomes) else 0.1)}
        found -= {n for n, outcome in enumerate(outcomes) if outcome == "fail" and rng.random() < 0.7}
        rows = [sync(1, n, outcome) for n, outcome in enumerate(outcomes)]
        rows += [sync(2, 0), kill(1, 90_000), kill(2, 90_000), *kept(2, "0", "0")]
        rows += kept(1, ranges(sorted(found)), ranges(sorted(found)))
        floor = {n for n, outcome in enumerate(outcomes) if outcome == "ok"}
        attempted = {n for n, outcome in enumerate(outcomes) if outcome != "fail"}
        right = floor <= found <= attempted
        verdict = verdict_on(rows)
        assert (broken(verdict) == []) == right, f"history {number}: {outcomes} {found}"
        seen.update(["right" if right else "lost" if floor - found else "foreign"])
    assert min(seen[name] for name in ("right", "lost", "foreign")) * 40 > HISTORIES // 4, seen


def server_kill(at_ns: int, **fields: Any) -> Op:
    return row("fault", "durability", process="nemesis", host="controller", at="pool/brick@n2", key="kill",
               value="inject", start_ns=at_ns - 100, end_ns=at_ns, **fields)  # fmt: skip


def server_verdict(rows: list[Op]) -> Verdict:
    plan = make_plan(volumes=(shared_volume("holds"),), targets=())
    check = make_check("durability", volume="data", workers_per_node=1, killed="server")
    return judge(History.of([*around("durability"), *rows]), plan, check)


SERVED = [*(sync(1, n) for n in range(4)), *(sync(2, n) for n in range(3))]


def test_a_server_that_dies_is_another_promise_and_counts_what_was_synced_before() -> None:
    rows = [*SERVED, server_kill(2600), *kept(1, "0-3", "0-3"), *kept(2, "0-2", "0-2")]
    verdict = server_verdict(rows)
    assert verdict.verdict == "pass", verdict.reason
    assert {p.name for p in verdict.promises} == {"shared", "fsync-survives-server-kill"}
    assert (
        promise(verdict, "fsync-survives-server-kill").of == 8
    )  # two records of each worker, read from two hosts
    assert verdict.figures["kills"] == 1


def test_a_record_that_went_with_a_server_is_lost_and_says_so() -> None:
    rows = [*SERVED, server_kill(2600), *kept(1, "0,2-3", "0,2-3"), *kept(2, "0-2", "0-2")]
    verdict = server_verdict(rows)
    assert broken(verdict) == ["fsync-survives-server-kill"]
    assert "before a server was killed" in promise(verdict, "fsync-survives-server-kill").witness


@pytest.mark.parametrize("rows", [[], [server_kill(2600, outcome="info")], [kill(1, 2600)]])
def test_where_no_server_was_killed_for_certain_nothing_is_known(rows: list[Op]) -> None:
    verdict = server_verdict([*SERVED, *rows, *kept(1, "0-3", "0-3"), *kept(2, "0-2", "0-2")])
    assert verdict.verdict == "unknown"
    assert "no server was killed" in verdict.reason
