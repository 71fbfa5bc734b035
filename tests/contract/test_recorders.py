"""What everything that takes a history's batches keeps to: the recorder on disk and the one in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.model.history import NEVER, History, Op
from harness.runner._seams import RecorderLike
from harness.transport.recorder import LINES, Recorder, read_history
from tests.runner_fakes import MemoryRecorder


@dataclass
class Case:
    recorder: RecorderLike
    read: Callable[[], History]


def _memory(_folder: Path) -> Iterator[Case]:
    recorder = MemoryRecorder()
    yield Case(recorder, lambda: recorder.history)


def _disk(folder: Path) -> Iterator[Case]:
    recorder = Recorder(folder / LINES)

    def read() -> History:
        recorder.flush()
        return read_history(folder)

    yield Case(recorder, read)
    recorder.close()


CASES = {"memory": _memory, "disk": _disk}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
    yield from CASES[request.param](tmp_path)


BATCH = {"n": 2, "f": "tcp", "host": "n1", "check": "c", "key": ["a", "b"], "value": "ok", "start_ns": [1, 2]}


def test_batches_come_back_in_order_with_their_defaults(case: Case) -> None:
    case.recorder.write(BATCH)
    case.recorder.write(
        {"n": 1, "f": "act", "process": "nemesis", "value": "3", "end_ns": NEVER, "outcome": "info"}
    )
    assert list(case.read().ops()) == [
        Op("", "n1", "", "c", "tcp", "a", "ok", start_ns=1),
        Op("", "n1", "", "c", "tcp", "b", "ok", start_ns=2),
        Op("nemesis", "", "", "", "act", "", "3", end_ns=NEVER, outcome="info"),
    ]


def test_integers_stay_integers_and_texts_texts(case: Case) -> None:
    case.recorder.write({"n": 2, "f": ["append", "tcp"], "value": [(3 << 32) | 7, "7"]})
    assert [(op.f, op.value) for op in case.read().ops()] == [("append", (3 << 32) | 7), ("tcp", "7")]


def test_what_was_written_now_can_be_read_at_once(case: Case) -> None:
    case.recorder.write(BATCH, now=True)
    assert len(case.read()) == 2


def test_a_batch_may_be_changed_after_it_was_written(case: Case) -> None:
    batch = {"n": 1, "f": "tcp", "key": ["before"]}
    case.recorder.write(batch)
    batch["key"] = ["after"]
    assert case.read()["key"].tolist() == ["before"]
