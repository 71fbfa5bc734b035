"""A load that is judged while it runs ends at the first proof that it fails; else it runs as long as it would."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from harness.checkers import ONLINE, judge
from harness.model.history import History
from harness.runner._watch import Watch
from tests.checkers_scene import make_check, make_plan, volume_plan
from tests.unit.test_checkers_registers import END, FIRST, Scene

#: Kinds that are judged online by judging all so far anew; appends have a judge of their own.
AGAIN = sorted(ONLINE - {"concurrent-append"})


def test_it_stops_once_and_wakes_who_waits() -> None:
    asked, stops = threading.Event(), []

    def fails() -> bool:
        asked.set()
        return True

    with Watch(fails, lambda: stops.append(1), every_s=0.001) as watch:
        watch.wait(30)
        assert asked.is_set()
        assert watch.failed.is_set()
    assert stops == [1]


def test_what_does_not_fail_is_not_stopped() -> None:
    asked: list[int] = []

    def fails() -> bool:
        asked.append(1)
        return False

    with Watch(fails, lambda: pytest.fail("stopped"), every_s=0.001) as watch:
        while len(asked) < 3:
            watch.wait(0.01)
    assert not watch.failed.is_set()


def prefixes(scene: Scene, *, wrong: bool) -> list[bool]:
    """What a watcher hears after every row of a history, in the order in which rows come in."""
    rows = scene.healthy()
    if wrong:
        rows.insert(60, scene.read(2, FIRST, 1420, 1421))
    reserve = [
        replace(scene.write(w, 0, 0, 1), f="reserve", value=w << 32, length=64, process=f"w{w}") for w in (1, 2, 3)
    ]
    plan = make_plan(volumes=(volume_plan(shared=True),), targets=())
    plan = replace(plan, volumes=(replace(plan.volumes[0], promises={
        "shared": ("holds", ""), "read-after-write": ("holds", ""), "close-to-open": ("holds", ""),
    }),))  # fmt: skip
    check = make_check(scene.kind, volume="data", workers_per_node=1)
    return [
        judge(History.of([*reserve, *rows[:count]]), plan, check).verdict == "fail"
        for count in range(1, len(rows))
    ]


@pytest.mark.parametrize("kind", AGAIN)
def test_no_prefix_of_a_right_history_fails(kind: str) -> None:
    assert not any(prefixes(Scene(kind), wrong=False))


@pytest.mark.parametrize("kind", AGAIN)
def test_a_wrong_history_fails_from_its_stale_read_on(kind: str) -> None:
    heard = prefixes(Scene(kind), wrong=True)
    assert not any(heard[:60])
    assert all(heard[60:])


@pytest.mark.parametrize("kind", AGAIN)
def test_rows_of_one_worker_may_come_later_than_those_of_others(kind: str) -> None:
    """Batches are sent four times a second: a write may be told of long after it was read."""
    scene = Scene(kind)
    rows = [op for op in scene.healthy() if op.process != "w1"]
    reserve = replace(scene.write(1, 0, 0, 1), f="reserve", value=FIRST, length=64)
    verdict = scene.judged([reserve, *rows, scene.read(2, FIRST | 40, END, END + 1)])
    assert verdict.verdict != "fail", verdict.reason
