"""What recording costs: append writers beside the same Python writes without time stamps or rows.

Both append the same records to a new file in the same directory, in turn, as fast as they can: plain, recorded,
plain, recorded, ..., plain. A ratio is that of a recorded round to the mean of the plain ones before and after it.
Recorded rows go the whole way: reservations before use, rows to this machine, into a history on disk.
"""

from __future__ import annotations

import tempfile
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any

from harness.model.errors import EnvironmentBroken
from harness.model.history import History
from harness.ports import Host, Progress
from harness.runner._journal import Journal
from harness.runner._seams import SYSTEM_CLOCK
from harness.session import Live
from harness.transport.agent import Agent
from harness.transport.local import LocalHost
from harness.transport.recorder import Recorder
from tests.bench.table import Goal, Row

RECORD_BYTES, BLOCK = 128, 65536
ROUND_S = 1.0
WRITERS = (1, 2)
#: Short rounds, and more of them: what else a machine does comes and goes.
ROUNDS_EACH = 2
CALL_TIMEOUT_S = 30.0
KEPT = Goal(0.8)


@dataclass(frozen=True)
class Place:
    """Where records are appended: `folder` in the files of process `pid` of `host` (0: its own)."""

    title: str
    host: Host
    pid: int
    folder: str

    def seen(self, path: str) -> str:
        """`path` as a process of the host opens it, agent and plain writers alike."""
        return f"/proc/{self.pid}/root{path}" if self.pid else path


def on_this_machine(rounds: int, progress: Progress) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        return measure(Place("this machine", LocalHost(), 0, folder), rounds, progress)


def in_a_mount(live: Live, rounds: int, progress: Progress) -> list[Row]:
    """In the volume of a container of `live`."""
    container = live.orchestrator.containers(live.cluster, live.plan)[0]
    place = Place("a container's mount", live.cluster.hosts[container.node], container.pid, "/data")
    return measure(place, rounds, progress)


def measure(place: Place, rounds: int, progress: Progress) -> list[Row]:
    with closing(Agent.start(place.host, timeout_s=CALL_TIMEOUT_S)) as agent:
        return [row for writers in WRITERS for row in _compare(place, agent, writers, rounds, progress)]


def _compare(place: Place, agent: Agent, writers: int, rounds: int, progress: Progress) -> list[Row]:
    plains, recordeds = [_plain_rate(place, writers)], []
    for _ in range(ROUNDS_EACH * rounds):
        recordeds.append(_recorded_rate(place, agent, writers))
        plains.append(_plain_rate(place, writers))
        progress(f"{place.title}, {writers}: {plains[-1]:,.0f} plain, {recordeds[-1]:,.0f} recorded appends/s")
    title = f"{place.title}, {writers} writer{'s' if writers > 1 else ''}"
    around = [(before + after) / 2 for before, after in pairwise(plains)]
    ratios = [recorded / plain for recorded, plain in zip(recordeds, around, strict=True)]
    return [
        Row(f"{title}: plain writes", plains, "/s"),
        Row(f"{title}: recorded appends, numbers reserved by {BLOCK:,}", recordeds, "/s"),
        Row(f"{title}: recorded to plain", ratios, "", KEPT),
    ]


def _plain_rate(place: Place, writers: int) -> float:
    """Records a second of all writers, each by its own clock."""
    with _new_file(place) as path, ThreadPoolExecutor(writers) as pool:
        return sum(pool.map(partial(_plain_writer, place, path), range(1, writers + 1)))


def _plain_writer(place: Place, path: str, writer: int) -> float:
    argv = ["python3", "-I", "-S", "-", place.seen(path), str(writer), str(RECORD_BYTES), str(ROUND_S)]
    result = place.host.run(argv, timeout_s=CALL_TIMEOUT_S, stdin=_plain_program())
    if not result.ok:
        raise EnvironmentBroken(f"the plain writer failed: {result.output}")
    records, taken_s = result.stdout.split()
    return int(records) / float(taken_s)


def _plain_program() -> bytes:
    frames = resources.files("harness.agent") / "frames.py"
    return frames.read_bytes() + Path(__file__).with_name("plain_writer.py").read_bytes()


class _Journalled:
    """Rows on their way into a history; keeps them, to tell afterwards how fast each writer was."""

    def __init__(self, journal: Journal, host: str, params: dict[str, Any]) -> None:
        self._journal, self._host, self._params = journal, host, params
        self._batches: list[dict[str, Any]] = []

    def batch(self, batch: dict[str, Any]) -> None:
        self._journal.batch(self._host, batch)
        self._batches.append(batch)

    def reserve(self, wanted: dict[str, Any]) -> None:
        self._journal.reserve(self._host, self._params, wanted)

    def rate(self) -> float:
        """Records a second of all writers, each by its own clock, as the plain ones are counted: who begins a
        little later than the others is not idle meanwhile.
        """
        rows = History.of_batches(self._batches)
        appends = rows.only(f="append", outcome="ok")
        return sum(self._of(appends.only(process=name)) for name in appends.coded("process").used())

    def _of(self, mine: History) -> float:
        return float(len(mine) * 1e9 / (mine["end_ns"].max() - mine["start_ns"].min()))


def _recorded_rate(place: Place, agent: Agent, writers: int) -> float:
    with _new_file(place) as path, _journal() as journal:
        params = _append_params(place, path, writers)
        rows = _Journalled(journal, place.host.name, params)
        job = agent.open("append", params, rows.batch, rows.reserve)
        time.sleep(ROUND_S)
        job.stop()
        job.wait(CALL_TIMEOUT_S)
    return rows.rate()


def _append_params(place: Place, path: str, writers: int) -> dict[str, Any]:
    common = {"at": "bench", "pid": place.pid, "path": path}
    return {
        "writers": [{"process": f"w{n}", "writer": n, **common} for n in range(1, writers + 1)],
        "key": "bench", "record_bytes": RECORD_BYTES, "rate_per_s": 0, "block": BLOCK, "fsync": False,
    }  # fmt: skip


@contextmanager
def _journal() -> Iterator[Journal]:
    with tempfile.TemporaryDirectory() as folder, closing(Recorder(Path(folder) / "history")) as recorder:
        yield Journal(recorder, "bench", SYSTEM_CLOCK)


@contextmanager
def _new_file(place: Place) -> Iterator[str]:
    """The path of a file that is not there yet, and is removed in the end."""
    path = f"{place.folder}/bench-{uuid.uuid4().hex}"
    yield path
    result = place.host.run(["rm", "-f", place.seen(path)], timeout_s=CALL_TIMEOUT_S)
    if not result.ok:
        raise EnvironmentBroken(f"what was appended cannot be removed: {result.output}")
