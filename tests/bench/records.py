"""How long `harness record` takes over 1,000 runs: the whole command, and its work without the start of Python."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from harness import record
from harness.ports import Progress
from tests.bench.rig import timed
from tests.bench.table import Goal, Row
from tests.record_runs import nights, write

RUNS = 1000
DEADLINE_S = 120.0


def over_a_thousand(rounds: int, progress: Progress) -> list[Row]:
    """Two topologies over 500 nights; results of five and three checks with their operations and promises."""
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder), nights(RUNS // 2)[:RUNS])
        progress(f"record: {RUNS} runs")
        command = [timed(lambda: _command(path)) for _ in range(rounds)]
        work = [timed(lambda: record.write_page(record.record(record.read(path)))) for _ in range(rounds)]
    what = f"`harness record` over {RUNS:,} runs"
    return [
        Row(what, command, "s", Goal(2.0, most=True)),
        Row(f"{what}: without the start of Python", work, "s"),
    ]


def _command(path: Path) -> None:
    argv = [sys.executable, "-m", "harness.cli.main", "record", str(path)]
    subprocess.run(argv, timeout=DEADLINE_S, check=False, capture_output=True)
