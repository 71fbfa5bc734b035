"""Charts of checks on files: rates, latencies and staleness over time, with faults shaded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harness.checkers import judge, stale_reads
from harness.model.history import History, Op
from harness.model.plan import VolumePlan
from harness.report.charted import charts_of
from harness.report.series import Clock, lanes, latencies, rates, staleness
from tests.checkers_scene import make_check, make_plan, row

KINDS = {"register": ("put", "get"), "close-to-open": ("save", "load")}
MS = 1_000_000


def operation(kind: str, worker: int, f: str, value: int, start_ms: float, **fields: Any) -> Op:
    host = f"n{worker}"
    whole = {
        "process": f"w{worker}", "host": host, "at": f"edge.{host}", "key": "data|0", "length": 64, "offset": 0,
        "value": value, "start_ns": int(start_ms * MS), "end_ns": int((start_ms + 1) * MS), "outcome": "ok",
    }  # fmt: skip
    return row(f, kind, **{**whole, **fields})


def history(kind: str, *late_ms: float) -> History:
    """Worker 1 writes every 100 ms, worker 2 reads the last value after 50 ms; stale reads of the one before
    begin `late_ms` after the value that they miss was written.
    """
    write, read = KINDS[kind]
    rows = []
    for turn in range(20):
        rows.append(operation(kind, 1, write, 1 << 32 | turn, 100 * turn))
        rows.append(operation(kind, 2, read, 1 << 32 | turn, 100 * turn + 50))
    for place, late in enumerate(late_ms):
        rows.append(operation(kind, 3, read, 1 << 32 | (4 * place + 2), 100 * (4 * place + 3) + 1 + late))
    return History.of(rows)


@pytest.mark.parametrize("kind", KINDS)
def test_staleness_is_what_the_judge_found_at_the_time_of_the_read(kind: str) -> None:
    rows = history(kind, 10, 30)
    check = make_check(kind, volume="data", workers_per_node=1)
    found = stale_reads(rows, check)
    assert found is not None
    assert found.start_ns.tolist() == [311 * MS, 731 * MS]
    plan = make_plan(volumes=(VolumePlan("data", "local", True, {}),), targets=())
    figures = judge(rows, plan, check).figures
    assert figures["stale"] == len(found.stale_ns)
    assert figures["stale_max_ms"] == pytest.approx(float(found.stale_ns.max()) / MS, abs=1e-3)
    middle, _ = staleness(found, Clock.of(rows))
    assert middle.x.tolist() == pytest.approx([0.31, 0.73], abs=0.03)
    assert np.all(middle.y > 0)


def test_nothing_is_stale_where_reads_are_fresh_and_where_no_checker_knows_it() -> None:
    rows = history("register")
    fresh = stale_reads(rows, make_check("register", volume="data", workers_per_node=1))
    assert fresh is not None
    assert not len(fresh.stale_ns)
    assert stale_reads(rows, make_check("mtu")) is None


def test_rows_that_contradict_themselves_make_no_chart_and_no_crash() -> None:
    twice = [operation("register", w, "put", 1 << 32 | 1, 10 * w) for w in (1, 2)]
    check = make_check("register", volume="data", workers_per_node=1)
    assert stale_reads(History.of(twice), check) is None
    assert charts_of(History.of(twice), check)


@pytest.mark.parametrize(
    ("kind", "captions"),
    [
        (
            "register",
            ["Acknowledged writes a", "Acknowledged reads a", "How long a write or a read took", "How long"],
        ),
        (
            "close-to-open",
            [
                "Acknowledged writing sessions",
                "Acknowledged reading sessions",
                "How long a writing session or a reading session took",
                "How long stale reads were out of date: 1 stale read",
            ],
        ),
    ],
)
def test_a_check_on_cells_has_rates_latencies_and_staleness(kind: str, captions: list[str]) -> None:
    found = list(charts_of(history(kind, 10), make_check(kind, volume="data", workers_per_node=1)))
    assert len(found) == len(captions)
    assert all(caption.startswith(start) for (caption, _), start in zip(found, captions, strict=True))
    assert all(picture.startswith("<svg") for _, picture in found)


def test_a_fault_is_shaded_in_every_chart_over_time() -> None:
    bands = [
        row("fault", "register", process="nemesis", host="n2", at="n2", key="pause", value=value,
            start_ns=at * MS, end_ns=(at + 1) * MS, outcome="ok")
        for value, at in (("inject", 500), ("heal", 900))
    ]  # fmt: skip
    rows = History.of([*history("register", 10).ops(), *bands])
    found = list(charts_of(rows, make_check("register", volume="data", workers_per_node=1)))
    assert len(found) == 4
    assert all("pause n2" in picture for _, picture in found)


@pytest.mark.parametrize(
    "kind",
    ["put", "get", "save", "load", "increment", "blit", "scan", "claim", "replace", "peek", "sync", "appear"],
)
def test_operations_on_files_are_drawn_as_rates_latencies_and_lanes(kind: str) -> None:
    rows = History.of([operation("c", w, kind, w << 32 | n, 10 * n) for w in (1, 2) for n in range(50)])
    clock = Clock.of(rows)
    lines, width = rates(rows, clock, kind)
    assert [line.name for line in lines] == ["edge.n1", "edge.n2"]
    assert sum(float(line.y.sum()) for line in lines) * width == pytest.approx(100, abs=4)
    middle, _ = latencies(rows, clock, kind, "such")
    assert middle.name == "such 50th percentile"
    assert np.allclose(middle.y, 1e-3)
    assert [lane.process for lane in lanes(rows, clock)] == ["w1", "w2"]
