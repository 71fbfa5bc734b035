"""The checks register and close-to-open: histories that they must pass, must fail and must leave unknown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest

from harness.checkers import judge
from harness.model.history import NEVER, History, Op
from harness.model.plan import VolumePlan
from harness.model.verdict import Promise, Verdict
from tests.checkers_scene import make_check, make_plan, row

KINDS = {"register": ("put", "get", "read-after-write"), "close-to-open": ("save", "load", "close-to-open")}
both = pytest.mark.parametrize("kind", sorted(KINDS))


@dataclass(frozen=True)
class Scene:
    """Rows of one check: worker w runs on node (w mod 3) + 1; times in microseconds."""

    kind: str

    def op(self, worker: int, f: str, value: int, start: float, end: float | None, **fields: Any) -> Op:
        host = f"n{worker % 3 + 1}"
        whole = {
            "process": f"w{worker}", "host": host, "at": f"edge.{host}", "key": "data|0", "length": 64,
            "offset": 0, "value": value,
            "start_ns": int(start * 1000), "end_ns": NEVER if end is None else int(end * 1000),
            "outcome": "info" if end is None else "ok",
        }  # fmt: skip
        return row(f, self.kind, **{**whole, **fields})

    def write(self, worker: int, number: int, start: float, end: float | None, **fields: Any) -> Op:
        return self.op(worker, KINDS[self.kind][0], worker << 32 | number, start, end, **fields)

    def read(self, worker: int, value: int, start: float, end: float | None, **fields: Any) -> Op:
        return self.op(worker, KINDS[self.kind][1], value, start, end, **fields)

    def healthy(self, rounds: int = 30) -> list[Op]:
        """Three workers take turns: one writes, then all read what it wrote."""
        rows: list[Op] = []
        for turn in range(rounds):
            at = 100.0 * turn
            writer = turn % 3 + 1
            rows.append(self.write(writer, turn, at, at + 10))
            rows += [self.read(w, writer << 32 | turn, at + 20 + w, at + 30 + w) for w in (1, 2, 3)]
        return rows

    def judged(
        self, rows: Iterable[Op], *, shared: bool = True, expected: str = "holds", **params: Any
    ) -> Verdict:
        names = ("shared", "read-after-write", "close-to-open")
        promises: Mapping[str, tuple[str, str]] = dict.fromkeys(names, (expected, "the manual"))
        plan = make_plan(volumes=(VolumePlan("data", "local", shared, promises),), targets=())
        check = make_check(self.kind, **{"volume": "data", "workers_per_node": 1, **params})
        return judge(History.of(rows), plan, check)

    def promise(self, verdict: Verdict) -> Promise:
        return next(p for p in verdict.promises if p.name == KINDS[self.kind][2])


@pytest.fixture(params=sorted(KINDS))
def scene(request: pytest.FixtureRequest) -> Scene:
    return Scene(request.param)


END = 3000.0
FIRST = 1 << 32
LAST = 3 << 32 | 29


def test_what_is_read_as_it_was_written_passes(scene: Scene) -> None:
    verdict = scene.judged(scene.healthy())
    assert verdict.verdict == "pass", verdict.reason
    assert {p.observed for p in verdict.promises} == {"kept"}
    assert (scene.promise(verdict).of, verdict.correct, verdict.wrong) == (90, 90, 0)
    assert verdict.figures["stale"] == 0
    assert verdict.operations["n2"] == {KINDS[scene.kind][0]: 10, KINDS[scene.kind][1]: 30}


def test_a_stale_read_fails_and_is_told_by_its_operations(scene: Scene) -> None:
    verdict = scene.judged([*scene.healthy(), scene.read(2, FIRST, END, END + 1)])
    told = scene.promise(verdict)
    assert verdict.verdict == "fail"
    assert (told.observed, told.count) == ("broken", 1)
    assert f"of value 0 of writer 1 by w2 on n3 ({END / 1000:.3f} to" in told.witness
    assert "cell 0 (offset 0, 64 bytes)" in told.witness
    assert "(volume data)" in told.witness
    assert verdict.figures["stale_max_ms"] > 2


def test_what_was_mounted_is_in_the_witness(scene: Scene) -> None:
    looks = [row("mount", scene.kind, process="reader-n1", key="before|data", value="66 nfs4 server:/x,soft")]
    verdict = scene.judged([*scene.healthy(), *looks, scene.read(2, FIRST, END, END + 1)])
    assert "mounted: nfs4 server:/x,soft" in scene.promise(verdict).witness


def test_a_read_of_the_initial_value_after_a_write_is_stale(scene: Scene) -> None:
    verdict = scene.judged([*scene.healthy(), scene.read(2, 0, END, END + 1)])
    assert verdict.verdict == "fail"
    assert "the initial value" in scene.promise(verdict).witness


def test_a_phantom_fails(scene: Scene) -> None:
    verdict = scene.judged([*scene.healthy(), scene.read(2, 7 << 32, END, END + 1)])
    assert verdict.verdict == "fail"
    assert "what nobody wrote there" in scene.promise(verdict).witness
    assert verdict.figures["phantoms"] == 1


def test_a_value_of_another_cell_is_a_phantom(scene: Scene) -> None:
    verdict = scene.judged([*scene.healthy(), scene.read(2, LAST, END, END + 1, key="data|1")])
    assert verdict.figures["phantoms"] == 1
    assert "cell 1" in scene.promise(verdict).witness


def test_a_read_before_its_write_fails(scene: Scene) -> None:
    late = scene.write(1, 99, END + 50, END + 60)
    verdict = scene.judged([*scene.healthy(), scene.read(2, int(late.value), END, END + 1), late])
    assert verdict.verdict == "fail"
    assert verdict.figures["early"] == 1
    assert "began" in scene.promise(verdict).witness or "opened" in scene.promise(verdict).witness


def test_a_refused_write_that_is_read_is_a_phantom(scene: Scene) -> None:
    refused = scene.write(1, 99, END, END + 1, outcome="fail", errno=28)
    reserve = row("reserve", scene.kind, process="w1", value=FIRST, length=200)
    rows = [*scene.healthy(), reserve, refused, scene.read(2, int(refused.value), END + 2, END + 3)]
    assert scene.judged(rows).figures["phantoms"] == 1


@pytest.mark.parametrize("read", [True, False])
def test_a_write_that_nobody_answered_may_or_may_not_be_read(scene: Scene, read: bool) -> None:
    unsure = scene.write(1, 99, END, None)
    value = int(unsure.value) if read else LAST
    verdict = scene.judged([*scene.healthy(), unsure, scene.read(2, value, END + 9, END + 10)])
    assert verdict.verdict == "pass", verdict.reason
    assert verdict.figures["indeterminate"] == 1


def test_once_a_write_without_an_answer_was_read_it_stays(scene: Scene) -> None:
    unsure = scene.write(1, 99, END, None)
    rows = [scene.read(2, int(unsure.value), END + 9, END + 10), scene.read(3, LAST, END + 20, END + 21)]
    verdict = scene.judged([*scene.healthy(), unsure, *rows])
    # close-to-open says nothing of a session that was never closed
    assert verdict.verdict == ("fail" if scene.kind == "register" else "pass")


def test_what_a_killed_worker_had_reserved_is_no_phantom(scene: Scene) -> None:
    reserve = row("reserve", scene.kind, process="w1", value=FIRST | 64, length=64)
    rows = [*scene.healthy(), reserve, scene.read(2, FIRST | 70, END, END + 1)]
    assert scene.judged(rows).verdict == "pass"
    rows.append(scene.read(2, FIRST | 130, END + 2, END + 3))
    assert scene.judged(rows).figures["phantoms"] == 1


def test_clocks_that_may_be_off_are_given_the_benefit(scene: Scene) -> None:
    fresh = [scene.write(1, 99, END, END + 1), scene.read(2, LAST, END + 3, END + 4)]
    assert scene.judged([*scene.healthy(), *fresh]).verdict == "fail"
    widened = [replace(op, err_ns=2000) for op in [*scene.healthy(), *fresh]]
    assert scene.judged(widened).verdict == "pass"


def test_new_then_old_then_new_contradicts_itself_though_the_writes_overlap() -> None:
    """A register only: sessions that overlap leave a choice."""
    scene = Scene("register")
    a, b = scene.write(1, 98, END, END + 100), scene.write(2, 99, END, END + 100)
    rows = [a, b, scene.read(3, int(a.value), END + 10, END + 11), scene.read(3, int(b.value), END + 20, END + 21),
            scene.read(3, int(a.value), END + 30, END + 31)]  # fmt: skip
    verdict = scene.judged([*scene.healthy(), *rows])
    assert verdict.verdict == "fail"
    assert "no order fits cell 0" in verdict.reason
    assert verdict.reason.count(" had ended when ") == 2


def test_a_stale_read_that_is_not_promised_passes_and_is_shown(scene: Scene) -> None:
    verdict = scene.judged([*scene.healthy(), scene.read(2, FIRST, END, END + 1)], expected="may")
    assert verdict.verdict == "pass"
    assert scene.promise(verdict).observed == "broken"
    assert "is broken and not promised" in verdict.reason


def unshared(scene: Scene) -> list[Op]:
    """Every worker reads what it wrote itself."""
    rows = []
    for turn in range(30):
        for worker in (1, 2, 3):
            at = 200.0 * turn + 20 * worker
            rows += [
                scene.write(worker, turn, at, at + 10),
                scene.read(worker, worker << 32 | turn, at + 100, at + 110),
            ]
    return rows


def test_a_volume_that_is_not_shared_is_called_so_and_never_stale(scene: Scene) -> None:
    verdict = scene.judged(unshared(scene), shared=False, expected="may")
    assert verdict.verdict == "pass"
    assert verdict.reason.startswith("not shared, as a local volume promises")
    assert scene.promise(verdict).observed == "kept"


def test_a_volume_that_should_be_shared_and_is_not_voids_the_run(scene: Scene) -> None:
    verdict = scene.judged(unshared(scene))
    assert verdict.verdict == "unknown"
    assert "data is not shared" in verdict.reason


def test_a_host_that_sees_only_itself_stands_apart(scene: Scene) -> None:
    """n1 (worker 3) sees its own values and nobody else's, nobody sees its; the others share."""
    alone = [op for op in unshared(scene) if op.host == "n1"]
    others = [op for op in scene.healthy() if int(op.value) >> 32 != 3 and op.host != "n1"]
    others = [op for op in others if op.f == KINDS[scene.kind][0] or int(op.value) >> 32 in (1, 2)]
    verdict = scene.judged([*alone, *others])
    shared = next(p for p in verdict.promises if p.name == "shared")
    assert verdict.verdict == "fail"
    assert (shared.observed, scene.promise(verdict).observed) == ("broken", "kept")
    assert "n2/n3 and n1 do not see what the others write" in shared.witness


def test_who_is_seen_by_a_nonce_and_reads_old_values_is_stale_not_apart(scene: Scene) -> None:
    def nonce(at: str, of: str) -> Op:
        return row("nonce", scene.kind, host=at, at=f"edge.{at}", process=f"reader-{at}",
                   key=f"data|edge.{of}", value="seen")  # fmt: skip

    seen = [nonce(a, b) for a in ("n1", "n2", "n3") for b in ("n1", "n2", "n3") if a != b]
    verdict = scene.judged([*unshared(scene), *seen])
    assert verdict.verdict == "fail"
    assert next(p for p in verdict.promises if p.name == "shared").observed == "kept"
    assert scene.promise(verdict).observed == "broken"


def test_a_mount_that_changed_voids_the_run(scene: Scene) -> None:
    looks = [
        row("mount", scene.kind, process="reader-n1", key=f"{phase}|data", value=value)
        for phase, value in (("before", "66 nfs4 server:/x"), ("after", "7 ext4 /dev/sda"))
    ]
    verdict = scene.judged([*scene.healthy(), *looks, scene.read(2, FIRST, END, END + 1)])
    assert verdict.verdict == "unknown"
    assert "mount changed" in verdict.reason


WEAK: dict[str, tuple[Any, str]] = {
    "too few workers": (lambda _scene, op: int(op.value) >> 32 != 3, "workers have a"),
    "no reads": (lambda scene, op: op.f == KINDS[scene.kind][0], "only 0"),
    "few writes": (lambda _scene, op: op.start_ns < 900_000, "only 9"),
    "nobody read on a host": (
        lambda scene, op: op.f == KINDS[scene.kind][0] or op.host != "n1", "nobody read on n1",
    ),
}  # fmt: skip


@pytest.mark.parametrize("weak", sorted(WEAK))
def test_too_little_is_unknown(scene: Scene, weak: str) -> None:
    keep, why = WEAK[weak]
    looks = [
        row("mount", scene.kind, host=f"n{n}", process=f"r{n}", key="b|data", value="1 x y") for n in (1, 2, 3)
    ]
    verdict = scene.judged([*looks, *(op for op in scene.healthy() if keep(scene, op))])
    assert verdict.verdict == "unknown"
    assert why in verdict.reason


def test_a_cell_that_always_reads_the_same_shows_nothing(scene: Scene) -> None:
    rows = [op if op.f == KINDS[scene.kind][0] else replace(op, value=0) for op in scene.healthy()]
    first = [op for op in rows if op.f != KINDS[scene.kind][0]]
    later = [replace(op, start_ns=op.start_ns + 10_000_000, end_ns=op.end_ns + 10_000_000)
             for op in rows if op.f == KINDS[scene.kind][0]]  # fmt: skip
    verdict = scene.judged([*first, *later])
    assert verdict.verdict == "unknown"
    assert "all reads brought the same value" in verdict.reason


def test_one_value_by_two_writes_makes_the_record_worthless(scene: Scene) -> None:
    verdict = scene.judged([*scene.healthy(), scene.write(1, 0, END, END + 1)])
    assert verdict.verdict == "unknown"
    assert "written by two operations" in verdict.reason


def test_reads_without_a_whole_value_are_counted_and_not_judged(scene: Scene) -> None:
    rows = [scene.read(1, -1, END, END + 1), scene.read(1, -1, END + 2, END + 3, outcome="fail", errno=5)]
    verdict = scene.judged([*scene.healthy(), *rows])
    assert verdict.verdict == "pass"
    assert verdict.figures["not_whole"] == 1
    assert verdict.ignored == 2


def test_cells_are_judged_each_by_itself(scene: Scene) -> None:
    healthy = scene.healthy()
    other = [
        replace(op, key="data|1", value=int(op.value) | 1 << 20, start_ns=op.start_ns + 7_000) for op in healthy
    ]
    other = [replace(op, end_ns=op.end_ns + 7_000) for op in other]
    verdict = scene.judged([*healthy, *other])
    assert verdict.verdict == "pass", verdict.reason
    assert verdict.figures["cells"] == 2
