"""How fast the register checker judges, by the number of operations: 64 processes on three hosts, half are reads.

Measured from a history in memory to its verdict. Operations are puts and gets.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from harness.checkers import judge
from harness.model.history import History
from harness.model.plan import NodePlan, Plan, Target, VolumePlan
from harness.model.topology import Check, Topology
from harness.ports import Progress
from tests.bench.checkers import Integers
from tests.bench.rig import timed
from tests.bench.table import Goal, Row

HOSTS, PROCESSES, LONGEST_NS = 3, 64, 50_000
#: (operations, cells)
SIZES = ((10_000, 1), (100_000, 1), (1_000_000, 1), (1_000_000, 1000))
CHECK = Check(kind="register", id="register", params={"volume": "shared", "workers_per_node": 21})
FAST = Goal(5e6)


def plan() -> Plan:
    promises = dict.fromkeys(("shared", "read-after-write"), ("holds", "read(2)"))
    return Plan(
        run="bench",
        topology=Topology(name="bench"),
        provider="docker",
        orchestrator="swarm",
        seed=1,
        nodes=tuple(NodePlan(f"n{i + 1}", "worker" if i else "manager") for i in range(HOSTS)),
        targets=(Target("edge", HOSTS, "global", {}, mounts={"shared": "/data"}),),
        volumes=(VolumePlan("shared", "local", True, promises),),
        checks=(CHECK,),
    )


def batches(operations: int, cells: int) -> Iterator[dict[str, Any]]:
    """A linearizable history: an operation takes effect at its middle; one batch a process and kind."""
    rng = np.random.default_rng(1)
    middle = np.cumsum(rng.integers(1, 2_000, operations)) + LONGEST_NS
    process = rng.integers(0, PROCESSES, operations)
    cell = rng.integers(0, cells, operations)
    write = rng.random(operations) < 0.5
    value = _values(process, cell, write)
    starts, ends = (middle + sign * rng.integers(1, LONGEST_NS, operations) for sign in (-1, 1))
    for number in range(PROCESSES):
        for f, rows in (("put", write), ("get", ~write)):
            mine = np.flatnonzero((process == number) & rows)
            yield {
                "n": len(mine), "process": f"w{number + 1}", "host": f"n{number % HOSTS + 1}", "at": "edge",
                "check": "register", "f": f, "key": [f"shared|{c}" for c in cell[mine].tolist()], "length": 64,
                "value": value[mine].tolist(), "start_ns": starts[mine].tolist(), "end_ns": ends[mine].tolist(),
            }  # fmt: skip


def _values(process: Integers, cell: Integers, write: Any) -> Integers:
    """What each operation writes or reads, in the order of effects."""
    own = (process + 1 << 32) | _sequence(process)
    order = np.argsort(cell, kind="stable")
    places = np.where(write[order], np.arange(len(order)), -1)
    latest = np.maximum.accumulate(places)
    known = latest >= np.searchsorted(cell[order], cell[order], side="left")
    value = np.zeros(len(order), dtype=np.int64)
    value[order] = np.where(known, own[order][np.maximum(latest, 0)], 0)
    return value


def _sequence(process: Integers) -> Integers:
    """Each process counts its own operations."""
    sequence = np.zeros(len(process), dtype=np.int64)
    for number in range(PROCESSES):
        mine = process == number
        sequence[mine] = np.arange(np.count_nonzero(mine))
    return sequence


def judging(rounds: int, progress: Progress) -> list[Row]:
    rows = []
    for operations, cells in SIZES:
        history = History.of_batches(batches(operations, cells))
        rates = [operations / timed(partial(judged, history)) for _ in range(rounds)]
        where = "one cell" if cells == 1 else f"{cells:,} cells"
        title = f"register checker, {operations:,} operations, {PROCESSES} processes, {where}"
        goal = FAST if (operations, cells) == (1_000_000, 1) else None
        rows.append(Row(title, rates, "/s", goal))
        progress(f"{title}: {rows[-1].median:,.0f}/s")
    return rows


def judged(history: History) -> None:
    verdict = judge(history, plan(), CHECK)
    if verdict.verdict != "pass":
        raise AssertionError(f"a history without a fault is judged {verdict.verdict}: {verdict.reason}")
