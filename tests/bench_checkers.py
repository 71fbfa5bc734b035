"""How many appends a second the append checker judges, from the recorded columns to the verdict.

    python tests/bench_checkers.py [READERS]

A history of N appends by six writers on three hosts, each record read back by READERS readers (default 1): N
append rows and N * READERS entry rows. Prints the best of three; asserts nothing about time.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np

from harness.checkers import judge
from harness.model.history import History
from harness.model.plan import NodePlan, Plan, Target, VolumePlan
from harness.model.topology import Check, Topology

HOSTS, WRITERS_PER_HOST, RECORD_BYTES, BATCH_ROWS = 3, 2, 128, 20_000
CHECK = Check(kind="concurrent-append", id="append", params={"volume": "shared", "writers_per_node": 2})


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


def history(appends: int, readers: int) -> History:
    """A linearizable history: an append takes effect at its middle, and starts up to 5 us before it."""
    rng = np.random.default_rng(1)
    count = HOSTS * WRITERS_PER_HOST
    writer = rng.integers(0, count, appends)
    middle = np.cumsum(rng.integers(1, 2_000, appends)) + 10_000
    sequence = np.zeros(appends, dtype=np.int64)
    batches: list[dict[str, Any]] = []
    for number in range(count):
        mine = writer == number
        sequence[mine] = np.arange(np.count_nonzero(mine))
        batches += _appended(number, (number << 32) + sequence[mine], middle[mine], rng)
    ids = (writer << 32) + sequence
    for reader in range(readers):
        batches += _read(f"n{reader % HOSTS + 1}", f"r{reader}", ids, int(middle[-1]) + 1_000_000)
    return History.of_batches(batches)


def _appended(number: int, ids: Any, middle: Any, rng: np.random.Generator) -> list[dict[str, Any]]:
    before = np.minimum(rng.integers(1, 5_000, len(ids)), np.diff(middle, prepend=0) // 2)
    fixed = {
        "process": f"w{number}",
        "host": f"n{number % HOSTS + 1}",
        "at": "edge",
        "check": "append",
        "f": "append",
    }
    return [
        {**fixed, "value": ids[part].tolist(), "key": "shared", "length": RECORD_BYTES, "outcome": "ok",
         "start_ns": (middle - before)[part].tolist(), "end_ns": (middle + 1)[part].tolist()}
        for part in _parts(len(ids))
    ]  # fmt: skip


def _read(host: str, process: str, ids: Any, at_ns: int) -> list[dict[str, Any]]:
    fixed = {"process": process, "host": host, "at": "edge", "check": "append", "key": "shared",
             "start_ns": at_ns, "end_ns": at_ns + 1}  # fmt: skip
    offsets = np.arange(len(ids)) * RECORD_BYTES
    batches = [
        {
            **fixed,
            "f": "entry",
            "value": ids[part].tolist(),
            "offset": offsets[part].tolist(),
            "length": RECORD_BYTES,
        }
        for part in _parts(len(ids))
    ]
    return [*batches, {**fixed, "f": "read", "value": ["same"], "offset": 0, "length": len(ids) * RECORD_BYTES}]


def _parts(rows: int) -> list[slice]:
    return [slice(first, first + BATCH_ROWS) for first in range(0, rows, BATCH_ROWS)]


def main() -> None:
    readers = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    for appends in (10_000, 100_000, 1_000_000):
        rows = history(appends, readers)
        taken = []
        for _ in range(3):
            start = time.perf_counter()
            verdict = judge(rows, plan(), CHECK)
            taken.append(time.perf_counter() - start)
        rate = appends / min(taken) / 1e6
        print(
            f"{appends:>9} appends, {len(rows):>9} rows: {min(taken):8.4f} s  {rate:6.2f} M/s  {verdict.verdict}"
        )
        if verdict.verdict != "pass":
            print(verdict.reason)


if __name__ == "__main__":
    main()
