"""The append checker against brute force: the same findings on thousands of small random histories."""

from __future__ import annotations

import math
import os
import random
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from harness.checkers import judge
from harness.checkers._append_log import Appends, Findings, Ints, examine
from harness.model.history import NEVER, History, Op
from harness.model.verdict import Verdict
from tests import brute
from tests.checkers_scene import make_check, make_plan, read, row, volume_plan

HISTORIES = int(os.environ.get("HARNESS_HISTORIES", "2000"))
CHUNKS = 20
#: Promises by the property of brute force that breaks them.
BROKEN_BY: dict[str, Callable[[brute.Case, brute.Truth], bool]] = {
    "append-loses-nothing": lambda case, truth: bool(truth.lost),
    "append-no-duplicates": lambda case, truth: bool(truth.duplicates),
    "append-not-torn": lambda case, truth: bool(truth.unexpected or case.garbage),
    "append-real-time-order": lambda case, truth: truth.misordered > 0,
}


def cases(chunk: int) -> list[brute.Case]:
    rng = random.Random(chunk)
    return [brute.random_case(rng) for _ in range(math.ceil(HISTORIES / CHUNKS))]


def column(values: list[int]) -> Ints:
    return np.array(values, dtype=np.int64)


def appends_of(case: brute.Case) -> Appends:
    told = [append for append in case.appends if append.told]
    silent = [append for append in case.appends if not append.told]
    return Appends(
        ids=column([a.id for a in told]),
        host=column([int(a.host[1:]) for a in told]),
        start=column([int(a.start) for a in told]),
        end=column([NEVER if math.isinf(a.finish) else int(a.finish) for a in told]),
        err=column([a.err for a in told]),
        acknowledged=np.array([a.acknowledged for a in told], dtype=bool),
        refused=np.array([a.refused for a in told], dtype=bool),
        reserved_first=column([a.id for a in silent]),
        reserved_count=column([1 for _ in silent]),
    )


def examined(case: brute.Case) -> tuple[Appends, Findings]:
    appends = appends_of(case)
    return appends, examine(appends, column([i for i, _ in case.file]), column([o for _, o in case.file]))


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_findings_equal_those_of_brute_force(chunk: int) -> None:
    for number, case in enumerate(cases(chunk)):
        truth = brute.judge(case)
        appends, findings = examined(case)
        lost = appends.acknowledged & ~findings.present(appends)
        found = brute.Truth(
            lost=set(appends.ids[lost].tolist()),
            unexpected=set(findings.unexpected.tolist()),
            duplicates=set(findings.duplicates.tolist()),
            misordered=findings.misordered,
        )
        assert found == truth, f"chunk {chunk}, history {number}: {case}"
        assert truth.right == brute.linearizable(case), f"chunk {chunk}, history {number}: {case}"


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_a_witness_of_a_wrong_order_is_a_wrong_order(chunk: int) -> None:
    for case in cases(chunk):
        appends, findings = examined(case)
        assert (findings.inversion is not None) == (findings.misordered > 0)
        if findings.inversion is not None:
            by_id = {append.id: append for append in case.appends}
            early = by_id[int(appends.ids[findings.inversion.early])]
            late = by_id[int(appends.ids[findings.inversion.late])]
            assert findings.inversion.early_offset < findings.inversion.late_offset
            assert brute.before(late, early)


@pytest.mark.parametrize("chunk", range(0, CHUNKS, 4))
def test_promises_of_whole_verdicts_equal_those_of_brute_force(chunk: int) -> None:
    for number, case in enumerate(cases(chunk)):
        verdict = judged(case)
        seen = {promise.name: promise for promise in verdict.promises}
        if seen["shared"].observed != "kept":
            assert verdict.verdict != "pass" or seen["shared"].expected != "holds"
            continue
        truth = brute.judge(case)
        for name, broken in BROKEN_BY.items():
            label = f"chunk {chunk}, history {number}, {name}: {case}\n{verdict.reason}"
            assert (seen[name].observed == "broken") == broken(case, truth), label
            assert bool(seen[name].witness) == (seen[name].observed == "broken"), label


def judged(case: brute.Case) -> Verdict:
    """The case as a recorded history, read alike from both hosts."""
    rows = [_row(append) for append in case.appends]
    rows += [op for host in ("n1", "n2") for op in read(host, case.file, case.garbage)]
    plan = make_plan(volumes=(volume_plan(shared=True),), targets=())
    return judge(History.of(rows), plan, make_check("concurrent-append", volume="data", writers_per_node=1))


def _row(append: brute.Append) -> Op:
    writer = append.id >> 32
    who = {"process": f"w{writer}", "host": append.host, "at": f"edge.{append.host}", "key": "data"}
    if not append.told:
        return row("reserve", "concurrent-append", **who, value=append.id, length=1)
    never = math.isinf(append.finish)
    outcome = "fail" if append.refused else "info" if never else "ok"
    return row("append", "concurrent-append", **who, value=append.id, length=8, start_ns=int(append.start),
               end_ns=NEVER if never else int(append.finish), err_ns=append.err, outcome=outcome)  # fmt: skip


def test_the_random_histories_hold_every_kind_of_damage_and_of_health() -> None:
    """Brute force says nothing if all histories are alike."""
    seen: Counter[str] = Counter()
    for case in cases(0) + cases(1):
        truth = brute.judge(case)
        seen.update(name for name in ("lost", "unexpected", "duplicates", "misordered") if getattr(truth, name))
        seen.update(["right"] if truth.right and not case.garbage else [])
        seen.update(["crashed"] if any(math.isinf(append.finish) for append in case.appends) else [])
        seen.update(["untold"] if any(not append.told for append in case.appends) else [])
        seen.update([case.mutation])
    wanted = {"lost", "unexpected", "duplicates", "misordered", "right", "crashed", "untold", *brute.MUTATIONS}
    assert {name for name in wanted if seen[name] >= 2} == wanted, seen
