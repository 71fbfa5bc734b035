"""The judge of a volume that got full: want of room that was told, that was not, and volumes that had room."""

from __future__ import annotations

import errno
import os
import random
from collections import Counter

import pytest

from harness.agent.file_durable import ranges
from harness.checkers import judge
from harness.model.history import NEVER, History, Op
from harness.model.topology import Fault
from harness.model.verdict import Verdict
from tests.checkers_scene import make_check, make_plan, row
from tests.volumes_scene import HOSTS, around, broken, promise, shared_volume, unshared

HISTORIES = int(os.environ.get("HARNESS_HISTORIES", "2000"))
SYNC, CLOSE = "no-space-at-fsync", "no-space-surfaces"


def deposit(worker: int, sequence: int, outcome: str = "ok", kind: str = "synced") -> Op:
    host, start = HOSTS[worker % 2], 1000 * (sequence + 1)
    return row(
        f"deposit-{kind}", "no-space", process=f"w{worker}", host=host, at=f"edge.{host}", key=f"data|{worker}",
        value=worker << 32 | sequence, offset=64 * sequence, length=64, start_ns=start, outcome=outcome,
        end_ns=NEVER if outcome == "info" else start + 500,
    )  # fmt: skip


def told(worker: int, call: str = "write", number: int = errno.ENOSPC) -> Op:
    host = HOSTS[worker % 2]
    return row("told", "no-space", process=f"w{worker}", host=host, at=f"edge.{host}", key=f"data|{worker}",
               value=call, errno=number, outcome="fail")  # fmt: skip


def kept(worker: int, *texts: str) -> list[Op]:
    return [
        row("kept", "no-space", process=f"reader-{host}", host=host, at=f"edge.{host}", key=f"data|{worker}",
            value=text)
        for host, text in zip(HOSTS, texts, strict=True)
    ]  # fmt: skip


DEPOSITS = [
    *(deposit(1, n) for n in range(3)), deposit(1, 3, kind="closed"), deposit(1, 4, "info"), told(1, "fsync"),
    *(deposit(2, n) for n in range(3)), deposit(2, 3, "info"), told(2), deposit(2, 4),
]  # fmt: skip


def verdict_on(
    rows: list[Op], expected: str = "holds", faults: tuple[str, ...] = (), scene: list[Op] | None = None
) -> Verdict:
    plan = make_plan(volumes=(shared_volume(expected),), targets=())
    check = make_check("no-space", volume="data", workers_per_node=1)
    struck = [Fault(fault=name) for name in faults]
    felt = [row("felt", "no-space", key=name, value="seen", process="nemesis") for name in faults]
    history = History.of([*around("no-space", scene), *rows, *felt])
    return judge(history, plan, check.model_copy(update={"faults": struck}))


@pytest.mark.parametrize("one", ["0-3", "0-4"])
@pytest.mark.parametrize("two", ["0-2,4", "0-4"])
def test_what_was_told_may_be_there_or_not_and_all_else_is(one: str, two: str) -> None:
    verdict = verdict_on([*DEPOSITS, *kept(1, one, one), *kept(2, two, two)], faults=("disk-full",))
    assert verdict.verdict == "pass", verdict.reason
    assert [(promise(verdict, name).observed, promise(verdict, name).of) for name in (SYNC, CLOSE)] == [
        ("kept", 14),
        ("kept", 2),
    ]
    figures = verdict.figures
    assert (figures["stored"], figures["refused"], figures["told_at_fsync"], figures["told_at_write"]) == (
        8,
        2,
        1,
        1,
    )


def test_a_record_that_was_not_refused_and_is_not_there_was_lost_in_silence() -> None:
    verdict = verdict_on([*DEPOSITS, *kept(1, "0-3", "0,2-3"), *kept(2, "0-2,4", "0-2,4")])
    assert (verdict.verdict, broken(verdict)) == ("fail", [SYNC])
    witness = promise(verdict, SYNC).witness
    assert (
        "write, fsync and close of record 1 of w1 in edge.n2 on n2 (offset 64, 64 bytes) told no error" in witness
    )
    assert "edge.n2 on n2 does not find it" in witness


def test_one_that_was_only_closed_counts_where_nothing_else_went_wrong() -> None:
    rows = [*DEPOSITS, *kept(1, "0-2", "0-2"), *kept(2, "0-2,4", "0-2,4")]
    verdict = verdict_on(rows)
    assert broken(verdict) == [CLOSE]
    assert "write and close of record 3 of w1" in promise(verdict, CLOSE).witness
    assert verdict_on(rows, faults=("disk-full",)).verdict == "fail"
    assert verdict_on(rows, faults=("disk-full", "kill")).verdict == "pass"


def test_a_loss_is_a_loss_also_where_no_error_was_ever_told() -> None:
    rows = [op for op in DEPOSITS if op.f != "told" and op.outcome == "ok"]
    verdict = verdict_on([*rows, *kept(1, "0-1,3", "0-1,3"), *kept(2, "0-2,4", "0-2,4")])
    assert (verdict.verdict, broken(verdict)) == ("fail", [SYNC])


@pytest.mark.parametrize("errors", [[], [told(1, "open", errno.EACCES)]])
def test_a_volume_that_was_never_full_leaves_it_unknown(errors: list[Op]) -> None:
    rows = [op for op in DEPOSITS if op.f != "told"] + errors
    verdict = verdict_on([*rows, *kept(1, "0-3", "0-3"), *kept(2, "0-2,4", "0-2,4")])
    assert (verdict.verdict, promise(verdict, SYNC).observed) == ("unknown", "unmeasured")
    assert "the volume was never full" in verdict.reason


def test_a_host_that_read_nothing_and_a_worker_that_stored_nothing_leave_it_unknown() -> None:
    unread = verdict_on([*DEPOSITS, *kept(1, "0-3", "0-3")[:1], *kept(2, "0-2,4", "0-2,4")[:1]])
    assert (unread.verdict, "on n2" in unread.reason) == ("unknown", True)
    alone = [op for op in DEPOSITS if not (op.process == "w2" and op.outcome == "ok")]
    verdict = verdict_on([*alone, *kept(1, "0-3", "0-3"), *kept(2, "", "")])
    assert (verdict.verdict, "1 of 2 workers could store a record" in verdict.reason) == ("unknown", True)


def test_a_record_that_nobody_wrote_is_found() -> None:
    verdict = verdict_on([*DEPOSITS, *kept(1, "0-3,9", "0-3"), *kept(2, "0-2,4", "0-2,4")])
    assert "finds record 9, which nobody wrote" in promise(verdict, SYNC).witness


def test_hosts_that_have_a_volume_each_are_judged_each_by_itself() -> None:
    rows = [*DEPOSITS, *kept(1, "0-3", "0-3")[1:], *kept(2, "0-2,4", "0-2,4")[:1]]
    verdict = verdict_on(rows, expected="may", scene=unshared("no-space"))
    assert promise(verdict, SYNC).observed == promise(verdict, CLOSE).observed == "kept", verdict


def test_random_files_get_what_the_definition_says() -> None:
    rng, seen = random.Random(5), Counter[str]()
    for number in range(HISTORIES // 4):
        outcomes = [rng.choice(["ok", "ok", "info", "fail"]) for _ in range(rng.randint(1, 6))]
        kinds = [rng.choice(["synced", "closed"]) for _ in outcomes]
        crashes = rng.random() < 0.3
        found = {n for n in range(8) if rng.random() < (0.9 if n < len(outcomes) else 0.1)}
        found -= {n for n, outcome in enumerate(outcomes) if outcome == "fail" and rng.random() < 0.7}
        rows = [deposit(1, n, *how) for n, how in enumerate(zip(outcomes, kinds, strict=True))]
        rows += [told(1), deposit(2, 0), *kept(2, "0", "0"), *kept(1, *[ranges(sorted(found))] * 2)]
        must = {
            n
            for n, (outcome, kind) in enumerate(zip(outcomes, kinds, strict=True))
            if outcome == "ok" and (kind == "synced" or not crashes)
        }
        may = {n for n, outcome in enumerate(outcomes) if outcome != "fail"}
        right = must <= found <= may
        verdict = verdict_on(rows, faults=("disk-full", *(["pause"] if crashes else [])))
        assert (broken(verdict) == []) == right, f"history {number}: {outcomes} {kinds} {found}"
        seen.update(["right" if right else "lost" if must - found else "foreign"])
    assert min(seen[name] for name in ("right", "lost", "foreign")) * 40 > HISTORIES // 4, seen
