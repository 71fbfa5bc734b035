"""How fast the append checker judges, and how fast a history is read, by the number of appends.

A history of N appends by six writers on three hosts, the whole file read back on every host: N append
rows and 3 N entry rows. Operations are the appends alone.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.checkers import judge
from harness.checkers._watching import followed
from harness.model.history import History
from harness.model.plan import NodePlan, Plan, Target, VolumePlan
from harness.model.topology import Check, Topology
from harness.ports import Progress
from harness.transport.recorder import LINES, PARQUET, Recorder, read_history, to_parquet
from tests.bench.rig import timed
from tests.bench.table import Goal, Row

HOSTS, WRITERS_PER_HOST, RECORD_BYTES, BATCH_ROWS = 3, 2, 128, 20_000
SIZES = (10_000, 100_000, 1_000_000)
CHECK = Check(kind="concurrent-append", id="append", params={"volume": "shared", "writers_per_node": 2})
FAST = Goal(3e6)

Integers = npt.NDArray[np.int64]
Batch = dict[str, Any]


def plan() -> Plan:
    names = ("shared", "append-loses-nothing", "append-no-duplicates", "append-not-torn", "append-real-time-order")
    nodes = tuple(NodePlan(f"n{i + 1}", "worker" if i else "manager") for i in range(HOSTS))
    return Plan(
        run="bench",
        topology=Topology(name="bench"),
        provider="docker",
        orchestrator="swarm",
        seed=1,
        nodes=nodes,
        targets=(Target("edge", HOSTS, "global", {}, mounts={"shared": "/data"}),),
        volumes=(VolumePlan("shared", "local", True, dict.fromkeys(names, ("holds", "open(2)"))),),
        checks=(CHECK,),
    )


def batches(appends: int, readers: int = HOSTS) -> Iterator[Batch]:
    """A linearizable history: an append takes effect at its middle, and starts up to 5 us before it."""
    rng = np.random.default_rng(1)
    count = HOSTS * WRITERS_PER_HOST
    writer = rng.integers(0, count, appends)
    middle = np.cumsum(rng.integers(1, 2_000, appends)) + 10_000
    sequence = np.zeros(appends, dtype=np.int64)
    for number in range(count):
        mine = writer == number
        sequence[mine] = np.arange(np.count_nonzero(mine))
        yield from _appended(number, (number << 32) + sequence[mine], middle[mine], rng)
    for reader in range(readers):
        yield from _read(f"n{reader + 1}", (writer << 32) + sequence, int(middle[-1]) + 1_000_000)


def _appended(number: int, ids: Integers, middle: Integers, rng: np.random.Generator) -> Iterator[Batch]:
    before = np.minimum(rng.integers(1, 5_000, len(ids)), np.diff(middle, prepend=0) // 2)
    fixed = {"process": f"w{number}", "host": f"n{number % HOSTS + 1}", "at": "edge", "check": "append",
             "f": "append", "key": "shared", "length": RECORD_BYTES, "outcome": "ok"}  # fmt: skip
    for part in _parts(len(ids)):
        starts, ends = (middle - before)[part].tolist(), (middle + 1)[part].tolist()
        yield {**fixed, "value": ids[part].tolist(), "start_ns": starts, "end_ns": ends}


def _read(host: str, ids: Integers, at_ns: int) -> Iterator[Batch]:
    fixed = {"process": f"r{host}", "host": host, "at": "edge", "check": "append", "key": "shared",
             "start_ns": at_ns, "end_ns": at_ns + 1}  # fmt: skip
    offsets = np.arange(len(ids)) * RECORD_BYTES
    for part in _parts(len(ids)):
        found = {"value": ids[part].tolist(), "offset": offsets[part].tolist(), "length": RECORD_BYTES}
        yield {**fixed, "f": "entry", **found}
    yield {**fixed, "f": "read", "value": ["same"], "offset": 0, "length": len(ids) * RECORD_BYTES}


def _parts(rows: int) -> list[slice]:
    return [slice(first, first + BATCH_ROWS) for first in range(0, rows, BATCH_ROWS)]


def judging(rounds: int, progress: Progress) -> list[Row]:
    rows = []
    for appends in SIZES:
        history = History.of_batches(batches(appends))
        rates = [appends / timed(partial(judged, history)) for _ in range(rounds)]
        rows.append(Row(f"append checker, {appends:,} appends, read back on 3 hosts", rates, "/s", FAST))
        progress(f"append checker, {appends:,}: {rows[-1].median:,.0f}/s")
    return rows


def judged(history: History) -> None:
    verdict = judge(history, plan(), CHECK)
    if verdict.verdict != "pass":
        raise AssertionError(f"a history without a fault is judged {verdict.verdict}: {verdict.reason}")


def online(rounds: int, progress: Progress, appends: int = 1_000_000) -> list[Row]:
    """An append log that three hosts follow while it grows, fed in batches as they come from agents: by the wall
    clock, from a batch of rows to the answer whether the check fails by now.
    """
    pieces = list(_pieces(appends))
    rates = [appends / timed(partial(_followed, pieces)) for _ in range(rounds)]
    title = f"append checker online, {appends:,} appends in {len(pieces)} pieces, followed on 3 hosts"
    progress(f"{title}: {max(rates):,.0f}/s")
    return [Row(title, rates, "/s", Goal(0.3e6))]


def _pieces(appends: int) -> Iterator[list[Batch]]:
    rng = np.random.default_rng(1)
    writer = rng.integers(0, HOSTS * WRITERS_PER_HOST, appends)
    sequence = np.zeros(appends, dtype=np.int64)
    for number in range(HOSTS * WRITERS_PER_HOST):
        sequence[writer == number] = np.arange(np.count_nonzero(writer == number))
    ids, middle = (writer << 32) + sequence, np.cumsum(rng.integers(1, 2_000, appends)) + 10_000
    for part in _parts(appends):
        yield [*_told(writer[part], ids[part], middle[part]), *(_glimpsed(h, ids[part]) for h in range(HOSTS))]


def _told(writer: Integers, ids: Integers, middle: Integers) -> Iterator[Batch]:
    for number in np.unique(writer).tolist():
        mine = writer == number
        who = {"process": f"w{number}", "host": f"n{number % HOSTS + 1}", "f": "append", "outcome": "ok"}
        times = {"start_ns": middle[mine] - 1, "end_ns": middle[mine] + 1}
        yield {**who, **times, "n": int(np.count_nonzero(mine)), "value": ids[mine]}


def _glimpsed(host: int, ids: Integers) -> Batch:
    who = {"process": f"tail-n{host + 1}", "host": f"n{host + 1}", "at": "edge", "f": "glimpse"}
    return {**who, "n": len(ids), "value": ids, "length": RECORD_BYTES}


def _followed(pieces: list[list[Batch]]) -> None:
    fails = followed(plan(), CHECK)
    if any(fails(piece) for piece in pieces):
        raise AssertionError("a history without a fault is called broken")


def reading(rounds: int, progress: Progress) -> list[Row]:
    """A history of 1e6 rows from disk, as lines and as Parquet."""
    with tempfile.TemporaryDirectory() as folder:
        lines, parquet = Path(folder, "lines"), Path(folder, "parquet")
        parquet.mkdir()
        _write_lines(lines / LINES)
        history = read_history(lines)
        written = timed(lambda: to_parquet(history, parquet / PARQUET))
        from_lines = [timed(lambda: read_history(lines)) for _ in range(rounds)]
        from_parquet = [timed(lambda: read_history(parquet)) for _ in range(rounds)]
    progress(f"{len(history):,} rows: {from_lines[-1]:.2f} s from lines, {from_parquet[-1]:.2f} s from Parquet")
    title = f"history of {len(history):,} rows"
    return [
        Row(f"{title}: read from JSON lines", from_lines, "s"),
        Row(f"{title}: written as Parquet", [written], "s"),
        Row(f"{title}: read from Parquet", from_parquet, "s"),
    ]


def _write_lines(folder: Path) -> None:
    recorder = Recorder(folder)
    for batch in batches(500_000, readers=1):
        recorder.write(batch)
    recorder.close()
