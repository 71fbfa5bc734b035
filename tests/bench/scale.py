"""How time and memory grow with a history: each size in a process of its own, whose memory the kernel counts.

    python -m tests.bench.scale append|register|parquet OPERATIONS

prints one line of JSON: `seconds` from a history in memory to its verdict (the best of some), `peak_bytes` of the
whole process, history included, and `unit_s`: what one sort of so many integers (1e6 at most) takes numpy there.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from harness.model.history import History
from harness.ports import Progress
from harness.transport.recorder import from_parquet, to_parquet
from tests.bench import checkers, registers
from tests.bench.rig import timed
from tests.bench.table import Goal, Row

SIZES = (10_000, 100_000, 1_000_000, 10_000_000)
TIMEOUT_S = 1800.0
GB = 1e9
#: A size is judged so often that it takes about as long as the largest one, within reason.
_ROUNDS = {10_000: 20, 100_000: 10, 1_000_000: 5}


def growing(progress: Progress) -> list[Row]:
    rows: list[Row] = []
    for kind in ("register", "append"):
        found = {size: _told(measured(kind, size), kind, size, progress) for size in SIZES}
        rows += [_rate(kind, size, found[size]) for size in SIZES]
        rows += [_growth(kind, found), _against_numpy(kind, found[1_000_000]), _memory(kind, found[SIZES[-1]])]
    disk = measured("parquet", SIZES[-1])
    return [*rows, _through_parquet(disk)]


def measured(kind: str, operations: int) -> dict[str, float]:
    argv = [sys.executable, "-m", "tests.bench.scale", kind, str(operations)]
    done = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=TIMEOUT_S)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _told(found: dict[str, float], kind: str, size: int, progress: Progress) -> dict[str, float]:
    progress(f"{kind}, {size:,}: {found['seconds']:.3f} s, {found['peak_bytes'] / GB:.2f} GB")
    return found


def _rate(kind: str, size: int, found: Mapping[str, float]) -> Row:
    return _row(f"{kind} checker, growth: {size:,} operations", size / found["seconds"], "/s", None)


def _growth(kind: str, found: Mapping[int, Mapping[str, float]]) -> Row:
    """Time an operation at the largest size, against that at 1e5: 1 is linear."""
    first, last = (found[size]["seconds"] / size for size in (100_000, SIZES[-1]))
    return _row(f"{kind} checker: time an operation at 1e7, against 1e5", last / first, "x", Goal(4, most=True))


def _against_numpy(kind: str, found: Mapping[str, float]) -> Row:
    ratio = found["seconds"] / found["unit_s"]
    return _row(f"{kind} checker, 1e6: time, in sorts of 1e6 integers by numpy", ratio, "x", None)


def _memory(kind: str, found: Mapping[str, float]) -> Row:
    what = "read back on 3 hosts" if kind == "append" else f"{registers.PROCESSES} processes, one cell"
    title = f"{kind} checker, 1e7 operations, {what}: memory with its history"
    return _row(title, found["peak_bytes"] / GB, "GB", Goal(4, most=True))


def _through_parquet(found: Mapping[str, float]) -> Row:
    title = f"history of {2 * SIZES[-1] + 1:,} rows, to Parquet and back: memory"
    return _row(title, found["peak_bytes"] / GB, "GB", Goal(4, most=True))


def _row(what: str, value: float, unit: str, goal: Goal | None) -> Row:
    return Row(what, [value], unit, goal)


def _judging(kind: str, operations: int) -> Callable[[], None]:
    if kind == "append":
        return partial(checkers.judged, History.of_batches(checkers.batches(operations)))
    return partial(registers.judged, History.of_batches(registers.batches(operations, 1)))


def _through_disk(operations: int) -> None:
    """An append log that one host reads back."""
    history = History.of_batches(checkers.batches(operations, readers=1))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "history.parquet")
        to_parquet(history, path)
        del history
        if len(from_parquet(path)) != 2 * operations + 1:
            raise AssertionError("rows were lost on the way through Parquet")


def main(kind: str, operations: int) -> dict[str, Any]:
    if kind == "parquet":
        seconds = timed(partial(_through_disk, operations))
    else:
        work = _judging(kind, operations)
        seconds = min(timed(work) for _ in range(_ROUNDS.get(operations, 1)))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    numbers = np.random.default_rng(1).integers(0, 1 << 62, min(operations, 1_000_000))
    unit_s = min(timed(partial(np.sort, numbers)) for _ in range(5))
    return {"seconds": seconds, "peak_bytes": peak, "unit_s": unit_s}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]))))
