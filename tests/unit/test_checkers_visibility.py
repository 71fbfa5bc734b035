"""The judge of new names: never listed, listed late, and hosts that never looked."""

from __future__ import annotations

from typing import Any

import pytest

from harness.checkers import judge
from harness.checkers._ranges import rolls
from harness.model.history import History, Op
from harness.model.verdict import Verdict
from tests.checkers_scene import make_check, make_plan, row
from tests.volumes_scene import HOSTS, around, broken, promise, shared_volume, unshared

PROMISE = "new-name-visible"
MS = 1_000_000


def appear(worker: int, sequence: int, at_ms: int, outcome: str = "ok") -> Op:
    host = HOSTS[worker % 2]
    return row("appear", "visibility", process=f"w{worker}", host=host, at=f"edge.{host}", key="data",
               value=worker << 32 | sequence, start_ns=at_ms * MS - 9, end_ns=at_ms * MS,
               outcome=outcome)  # fmt: skip


def sight(by: int, worker: int, sequence: int, at_ms: int) -> Op:
    host = HOSTS[by % 2]
    return row("sight", "visibility", process=f"w{by}", host=host, at=f"edge.{host}", key="data",
               value=worker << 32 | sequence, start_ns=at_ms * MS, end_ns=at_ms * MS + 5)  # fmt: skip


def roll(*texts: str) -> list[Op]:
    return [
        row("roll", "visibility", process=f"reader-{host}", host=host, at=f"edge.{host}", key="data", value=text,
            start_ns=9000 * MS, end_ns=9001 * MS)
        for host, text in zip(HOSTS, texts, strict=True)
    ]  # fmt: skip


ROWS = [appear(1, 0, 10), sight(2, 1, 0, 14), appear(2, 0, 20), sight(1, 2, 0, 19), appear(1, 1, 30)]


def verdict_on(
    rows: list[Op], *, expected: str = "holds", nonces: list[Op] | None = None, **params: Any
) -> Verdict:
    plan = make_plan(volumes=(shared_volume(expected),), targets=())
    check = make_check("visibility", volume="data", workers_per_node=1, **params)
    return judge(History.of([*around("visibility", nonces), *rows]), plan, check)


def test_names_that_all_hosts_list_pass_and_how_long_they_took_is_told() -> None:
    verdict = verdict_on(ROWS + roll("1:0-1;2:0", "1:0-1;2:0"))
    assert verdict.verdict == "pass", verdict.reason
    assert promise(verdict, PROMISE).of == 3
    assert (verdict.figures["sights"], verdict.figures["seen_max_ms"], verdict.figures["seen_p50_ms"]) == (
        2,
        4.0,
        2.0,
    )


def test_a_name_that_a_host_never_lists_is_found() -> None:
    verdict = verdict_on(ROWS + roll("1:0;2:0", "1:0-1;2:0"))
    assert broken(verdict) == [PROMISE]
    assert promise(verdict, PROMISE).count == 1
    assert "edge.n1 on n1 does not list name 1 of w1 in edge.n2 on n2" in promise(verdict, PROMISE).witness
    assert "made 8.970 s before" in promise(verdict, PROMISE).witness


def test_a_name_that_was_not_acknowledged_may_be_missing() -> None:
    rows = [*ROWS, appear(2, 1, 40, "info")]
    assert verdict_on(rows + roll("1:0-1;2:0", "1:0-1;2:0")).verdict == "pass"
    assert verdict_on(rows + roll("1:0-1;2:0-1", "1:0-1;2:0-1")).verdict == "pass"


@pytest.mark.parametrize(("within_s", "found"), [(0.005, []), (0.003, [PROMISE])])
def test_a_bound_is_kept_to(within_s: float, found: list[str]) -> None:
    verdict = verdict_on(ROWS + roll("1:0-1;2:0", "1:0-1;2:0"), within_s=within_s)
    assert broken(verdict) == found


def test_hosts_with_a_volume_each_miss_nothing() -> None:
    rows = ROWS + roll("2:0", "1:0-1")
    verdict = verdict_on(rows, nonces=unshared("visibility"), expected="may")
    assert broken(verdict) == ["shared"]
    assert promise(verdict, PROMISE).observed == "unmeasured"


@pytest.mark.parametrize("missing", ["rolls", "worker"])
def test_too_little_is_unknown(missing: str) -> None:
    rows = ROWS + roll("1:0-1;2:0", "1:0-1;2:0")[:1]
    if missing == "worker":
        rows = [op for op in ROWS if op.process != "w2"] + roll("1:0-1", "1:0-1")
    assert verdict_on(rows).verdict == "unknown"


def test_rolls_are_read() -> None:
    assert rolls("1:0-1;3:5") == {1 << 32, 1 << 32 | 1, 3 << 32 | 5}
    assert rolls("") == set()
