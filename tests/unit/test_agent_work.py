"""Workers that run programs: every operation has its row, and what may have been done is never a phantom."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from harness.agent import cells, hand
from harness.model.history import NEVER, History, Op
from harness.transport.agent import Agent, AgentError, Job
from tests.agent_scene import Recorder, call, finish, started_agent, wait_until


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    with started_agent() as agent:
        yield agent


def params(folder: Path, *, workers: int = 2, program: str = "register", **other: Any) -> dict[str, Any]:
    entries = [
        {"process": f"w{n}", "at": "web.1", "pid": 0, "writer": n, "path": f"{folder}/cell"}
        for n in range(1, workers + 1)
    ]
    fixed = {"program": program, "workers": entries, "key": "shared", "seed": 7, "rate_per_s": 0, "block": 64,
             "keys": 3, "layout": "files", "block_bytes": 64, "writes": 0.5}  # fmt: skip
    return {**fixed, **other}


def begin(agent: Agent, recorder: Recorder, folder: Path, **other: Any) -> Job:
    return agent.open("work", params(folder, **other), recorder.on_batch, recorder.on_reserve)


def worked(agent: Agent, folder: Path, rows: int = 600, **other: Any) -> list[Op]:
    recorder = Recorder()
    job = begin(agent, recorder, folder, **other)
    wait_until(lambda: job.ended or sum(batch["n"] for batch in recorder.batches) >= rows)
    finish(job)
    return recorder.ops()


def final(agent: Agent, folder: Path, **other: Any) -> list[Op]:
    return call(agent, "work", **params(folder, workers=1, final=True, deadline_s=20, **other))


@pytest.mark.parametrize("layout", ["files", "blocks"])
@pytest.mark.parametrize(("program", "write", "read"), [("register", "put", "get"), ("sessions", "save", "load")])
def test_what_was_written_last_is_read_at_the_end(
    agent: Agent, tmp_path: Path, program: str, write: str, read: str, layout: str
) -> None:
    ops = worked(agent, tmp_path, workers=1, program=program, layout=layout)
    last = {op.key: op.value for op in ops if op.f == write}
    found = {op.key: op.value for op in final(agent, tmp_path, program=program, layout=layout) if op.f == read}

    assert {op.f for op in ops} == {write, read}
    assert {op.outcome for op in ops} == {"ok"}
    assert found == last == {f"shared|{n}": found[f"shared|{n}"] for n in range(3)}
    assert {op.offset for op in ops} == ({0, 64, 128} if layout == "blocks" else {0})


def test_a_single_worker_reads_what_it_wrote_and_operations_follow_each_other(
    agent: Agent, tmp_path: Path
) -> None:
    ops = worked(agent, tmp_path, workers=1)
    now = {f"shared|{n}": cells.NOTHING for n in range(3)}
    for op in ops:
        if op.f == "put":
            now[op.key] = int(op.value)
        assert op.value == now[op.key]
    assert all(first.end_ns <= second.start_ns for first, second in pairwise(ops))
    assert all(op.start_ns <= op.end_ns for op in ops)


def test_values_are_the_writers_own_and_unique_and_were_reserved(agent: Agent, tmp_path: Path) -> None:
    recorder = Recorder()
    job = begin(agent, recorder, tmp_path)
    wait_until(lambda: job.ended or sum(batch["n"] for batch in recorder.batches) >= 600)
    done = finish(job)

    puts = [op for op in recorder.ops() if op.f == "put"]
    assert len({op.value for op in puts}) == len(puts)
    assert all(int(op.value) >> 32 == int(op.process[1:]) for op in puts)
    reserved = {
        wanted["writer"] << 32 | number
        for wanted in recorder.reserved
        for number in range(wanted["first"], wanted["first"] + wanted["count"])
    }
    assert {op.value for op in puts} <= reserved
    assert {name: entry["end"] for name, entry in done["workers"].items()} == {"w1": "stopped", "w2": "stopped"}
    assert sum(entry["operations"] for entry in done["workers"].values()) == len(recorder.ops())


def test_the_same_seed_makes_the_same_choices(agent: Agent, tmp_path: Path) -> None:
    one, again, other = (
        [(op.f, op.key) for op in worked(agent, tmp_path, workers=1, seed=seed)][:200] for seed in (1, 1, 2)
    )
    assert one == again != other


def test_without_a_grant_nothing_is_written(tmp_path: Path) -> None:
    asked, answer = threading.Event(), threading.Event()

    def wait(_wanted: dict[str, Any]) -> None:
        asked.set()
        answer.wait(30)

    with started_agent() as slow:
        recorder = Recorder()
        job = slow.open("work", params(tmp_path, workers=1, writes=1.0), recorder.on_batch, wait)
        assert asked.wait(30)
        assert [path.stat().st_size for path in tmp_path.iterdir()] == [0] * 3
        answer.set()
        wait_until(lambda: job.ended or bool(recorder.batches))
        finish(job)


def test_a_worker_that_was_killed_leaves_the_others_and_its_reservations(agent: Agent, tmp_path: Path) -> None:
    recorder = Recorder()
    job = begin(agent, recorder, tmp_path, rate_per_s=2000)
    wait_until(lambda: len(recorder.batches) >= 2)
    os.kill(worker_pids()[0], signal.SIGKILL)
    before = len(recorder.batches)
    wait_until(lambda: job.ended or len(recorder.batches) > before + 2)
    ends = sorted(entry["end"] for entry in finish(job)["workers"].values())
    assert ends == ["its process ended", "stopped"]


def worker_pids() -> list[int]:
    """Processes below this one that work on a cell: forks of the nursery."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fds = [os.readlink(fd) for fd in (entry / "fd").iterdir()]
        except OSError:
            continue
        if any("/cell.0" in target for target in fds):
            found.append(int(entry.name))
    return found


def test_a_write_that_hangs_is_indeterminate(agent: Agent, tmp_path: Path) -> None:
    """A pipe that nobody reads is full at some time."""
    os.mkfifo(tmp_path / "cell")
    reader = os.open(tmp_path / "cell", os.O_RDONLY | os.O_NONBLOCK)
    try:
        recorder = Recorder()
        job = begin(agent, recorder, tmp_path, program="sessions", workers=1, layout="blocks", keys=1, writes=1.0)
        wait_until(lambda: job.ended or bool(recorder.batches))
        finish(job)
    finally:
        os.close(reader)
    assert {(op.outcome, op.end_ns) for op in recorder.ops()} == {("info", NEVER)}, "pwrite on a pipe is ESPIPE"
    lives = {op.process for op in recorder.ops()}
    assert "w1" in lives
    assert len(lives) == len(recorder.ops()), "after what nobody knows another process goes on"


def test_an_open_that_hangs_ends_with_its_deadline(agent: Agent, tmp_path: Path) -> None:
    """Opening a pipe that nobody writes to waits, as a mount does whose server is gone."""
    os.mkfifo(tmp_path / "cell.0")
    (op,) = call(agent, "work", **params(tmp_path, workers=1, keys=1, final=True, deadline_s=0.1))
    assert (op.f, op.outcome, op.end_ns) == ("get", "info", NEVER)


def test_a_read_that_fails_is_a_failure_with_its_errno(agent: Agent, tmp_path: Path) -> None:
    ops = final(agent, tmp_path)
    assert {(op.f, op.outcome, op.errno, op.value) for op in ops} == {("get", "fail", 2, cells.NOT_WHOLE)}
    assert len(ops) == 3


def test_who_cannot_begin_says_so(agent: Agent, tmp_path: Path) -> None:
    with pytest.raises(AgentError, match=r"w\d at web\.\d"):
        finish(begin(agent, Recorder(), tmp_path / "no-such-folder"))


def test_a_program_that_there_is_not_is_refused(agent: Agent, tmp_path: Path) -> None:
    with pytest.raises(AgentError, match=r"there is no program 'nonsense'; there are .*register"):
        finish(begin(agent, Recorder(), tmp_path, program="nonsense"))


@pytest.mark.parametrize("name", ["register", "sessions"])
def test_a_rate_is_kept_to(agent: Agent, tmp_path: Path, name: str) -> None:
    """No more than the rate allows since the first operation, whatever the machine does."""
    ops = worked(agent, tmp_path, rows=100, workers=1, program=name, rate_per_s=400)
    took_s = (ops[-1].end_ns - ops[0].start_ns) / 1e9
    assert len(ops) <= 400 * (took_s + 1) + 2


def test_a_block_that_is_no_record_is_told_apart_from_nothing(tmp_path: Path) -> None:
    values = cells.Values(3, 64)
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    try:
        assert values.get(fd, 0) == cells.NOTHING
        values.put(fd, 64, 5)
        assert (values.get(fd, 0), values.get(fd, 64)) == (cells.NOTHING, 3 << 32 | 5)
        os.pwrite(fd, b"x", 90)
        assert values.get(fd, 64) == cells.NOT_WHOLE
    finally:
        os.close(fd)


def test_rows_are_packed_where_that_pays() -> None:
    rows = [("w1", "put", "k", 1 << 32 | n, -1, 64, 0, 10 * n, 10 * n + 5, "ok") for n in range(20)]
    batch = hand.batch_of(rows)
    assert (batch["process"], batch["length"], batch["outcome"]) == ("w1", 64, "ok")
    assert set(batch["value"]) == {"i8"}
    ops = list(History.of_batches([batch]).ops())
    assert [(op.value, op.start_ns, op.end_ns) for op in ops] == [(row[3], row[7], row[8]) for row in rows]


@pytest.mark.parametrize("value", ["", "text", 7])
def test_values_of_any_type_travel(value: Any) -> None:
    rows = [("w1", "put", "k", value, -1, 64, 0, n, n, "ok") for n in range(20)]
    rows.append(("w1", "put", "k", "last", -1, 64, 0, 30, 31, "ok"))
    assert [op.value for op in History.of_batches([hand.batch_of(rows)]).ops()][-2:] == [value, "last"]
