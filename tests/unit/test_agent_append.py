"""Writers and readers of the append log: what is acknowledged is there, what is not known is said to be so."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import os
import signal
import threading
from array import array
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from harness.agent import appends, frames, logs, rows, shims, writer
from harness.model.errors import ChannelLost
from harness.model.history import NEVER, History, Op
from harness.transport.agent import Agent, AgentError, Job
from tests.agent_scene import Recorder, call, finish, started_agent, wait_until

RECORD_BYTES = 64
#: Later than any clock says now.
FAR = 1 << 60


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    with started_agent() as agent:
        yield agent


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "append.log"


def one_writer(number: int, log: Path) -> dict[str, Any]:
    return {"process": f"w{number}", "at": "web.1", "pid": 0, "writer": number, "path": str(log)}


def begin(agent: Agent, recorder: Recorder, log: Path, *, writers: int = 1, **other: Any) -> Job:
    params = {
        "writers": [one_writer(number, log) for number in range(1, writers + 1)],
        "key": "shared", "record_bytes": RECORD_BYTES, "rate_per_s": 2000, "block": 100, "fsync": False, **other,
    }  # fmt: skip
    return agent.open("append", params, recorder.on_batch, recorder.on_reserve)


def append(agent: Agent, log: Path, rows: int = 300, **other: Any) -> Recorder:
    """Append until there are at least `rows` rows, then stop."""
    recorder = Recorder()
    job = begin(agent, recorder, log, **other)
    wait_until(lambda: job.ended or sum(batch["n"] for batch in recorder.batches) >= rows)
    finish(job)
    return recorder


def read(agent: Agent, log: Path) -> list[Op]:
    readers = [{"process": "reader-n1", "at": "web.2", "pid": 0, "path": str(log)}]
    return call(agent, "read_log", readers=readers, key="shared", record_bytes=RECORD_BYTES)


def found(ops: list[Op], f: str) -> list[Op]:
    return [op for op in ops if op.f == f]


def test_every_acknowledged_record_is_in_the_file_in_order(agent: Agent, log: Path) -> None:
    written = append(agent, log, writers=2).ops()
    entries = found(read(agent, log), "entry")

    assert {op.outcome for op in written} == {"ok"}
    assert {(op.process, op.at, op.f, op.key, op.length) for op in written} == {
        (process, "web.1", "append", "shared", RECORD_BYTES) for process in ("w1", "w2")
    }
    assert sorted(op.value for op in written) == sorted(op.value for op in entries)
    assert [op.offset for op in entries] == list(range(0, len(entries) * RECORD_BYTES, RECORD_BYTES))
    starts = {op.value: op.start_ns for op in written}
    ends = {op.value: op.end_ns for op in written}
    order = [op.value for op in entries]
    assert all(starts[first] < ends[second] for first, second in pairwise(order))


def test_a_read_is_told_by_its_digest(agent: Agent, log: Path) -> None:
    append(agent, log, rows=10)
    (op,) = found(read(agent, log), "read")

    data = log.read_bytes()
    assert (op.value, op.length, op.outcome) == (hashlib.sha256(data).hexdigest(), len(data), "ok")
    assert (op.process, op.at, op.key) == ("reader-n1", "web.2", "shared")


def test_numbers_are_reserved_before_they_are_used_and_one_block_ahead(agent: Agent, log: Path) -> None:
    held: list[int] = []
    recorder = Recorder()

    def hold(wanted: dict[str, Any]) -> None:
        """When a block is asked for, nothing of it may stand in the file."""
        held.append(_highest(log))
        recorder.on_reserve(wanted)
        assert held[-1] < wanted["first"]

    params = {
        "writers": [one_writer(1, log)],
        "key": "k", "record_bytes": RECORD_BYTES, "rate_per_s": 0, "block": 50, "fsync": False,
    }  # fmt: skip
    job = agent.open("append", params, recorder.on_batch, hold)
    wait_until(lambda: job.ended or len(held) > 20)
    finish(job)

    firsts = [wanted["first"] for wanted in recorder.reserved]
    assert firsts == list(range(0, 50 * len(firsts), 50))
    assert {(wanted["writer"], wanted["count"]) for wanted in recorder.reserved} == {(1, 50)}
    assert _highest(log) < firsts[-1] + 50


def _highest(log: Path) -> int:
    if not log.exists():
        return -1
    size = log.stat().st_size // RECORD_BYTES * RECORD_BYTES
    scan = logs.Scan(RECORD_BYTES)
    scan.feed(log.read_bytes()[:size])
    return max((number & 0xFFFFFFFF for number in scan.ids), default=-1)


def test_without_a_grant_nothing_is_written(agent: Agent, log: Path) -> None:
    asked, answer = threading.Event(), threading.Event()

    def wait(_wanted: dict[str, Any]) -> None:
        asked.set()
        answer.wait(30)

    with started_agent() as slow:
        params = {
            "writers": [one_writer(1, log)],
            "key": "k", "record_bytes": RECORD_BYTES, "rate_per_s": 0, "block": 50,
        }  # fmt: skip
        job = slow.open("append", params, lambda _batch: None, wait)
        assert asked.wait(30)
        read(agent, log)
        assert log.read_bytes() == b""
        answer.set()
        wait_until(lambda: log.stat().st_size > 0)
        finish(job)


def test_a_rate_is_kept_from_above(agent: Agent, log: Path) -> None:
    ops = append(agent, log, rows=40, rate_per_s=100).ops()

    span_s = (max(op.start_ns for op in ops) - min(op.start_ns for op in ops)) / 1e9
    assert len(ops) <= 100 * span_s + 2


def test_fsync_is_part_of_the_write(agent: Agent, log: Path) -> None:
    assert {op.outcome for op in append(agent, log, rows=5, rate_per_s=0, fsync=True).ops()} == {"ok"}


def test_a_full_device_is_indeterminate_and_ends_the_writer(agent: Agent) -> None:
    recorder = Recorder()
    told = begin(agent, recorder, Path("/dev/full")).wait(30)

    (op,) = recorder.ops()
    assert (op.outcome, op.errno, op.end_ns, op.value) == ("info", 28, NEVER, frames.record_id(1, 0))
    assert "No space left" in told["writers"]["w1"]["end"]


def test_a_file_that_cannot_be_opened_is_an_error(agent: Agent, tmp_path: Path) -> None:
    job = begin(agent, Recorder(), tmp_path / "missing" / "append.log")

    with pytest.raises(AgentError, match=r"w1 at web\.1.*No such file"):
        job.wait(30)


def test_a_shim_that_is_unknown_is_an_error(agent: Agent, log: Path) -> None:
    with pytest.raises(AgentError, match="no shim 'slow'"):
        begin(agent, Recorder(), log, shim="slow").wait(30)


def test_a_killed_writer_leaves_an_indeterminate_record(agent: Agent, log: Path) -> None:
    recorder = Recorder()
    job = begin(agent, recorder, log)
    wait_until(lambda: len(recorder.batches) > 1)
    os.kill(_writer_of(log), signal.SIGKILL)
    told = job.wait(30)

    (lost,) = [op for op in recorder.ops() if op.outcome == "info"]
    known = [int(op.value) for op in recorder.ops() if op.outcome == "ok"]
    assert lost.value == max(known) + 1
    assert lost.end_ns == NEVER
    assert told["writers"]["w1"]["end"] == "its process ended"


def test_a_write_that_hangs_is_indeterminate_after_a_stop(agent: Agent, tmp_path: Path) -> None:
    """A pipe that nobody empties stands for a store that does not answer."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    recorder = Recorder()
    job = begin(agent, recorder, pipe, rate_per_s=0, record_bytes=8192)
    wait_until(lambda: len(recorder.batches) > 0)
    told = finish(job)
    os.close(reader)

    (hung,) = [op for op in recorder.ops() if op.outcome == "info"]
    assert hung.value == 1 + max(int(op.value) for op in recorder.ops() if op.outcome == "ok")
    assert told["writers"]["w1"]["end"] == "it did not come back"


def test_an_agent_that_is_killed_loses_its_channel_and_takes_its_writers_along(log: Path) -> None:
    with started_agent() as agent:
        recorder = Recorder()
        job = begin(agent, recorder, log)
        wait_until(lambda: len(recorder.batches) > 0)
        process = _writer_of(log)
        os.kill(agent.hello["pid"], signal.SIGKILL)

        with pytest.raises(ChannelLost):
            job.wait(30)
        with pytest.raises(ChannelLost):
            agent.call("ping", {}, timeout_s=1)
        assert not agent.alive(1)
        wait_until(lambda: not Path(f"/proc/{process}").exists())


def _writer_of(log: Path) -> int:
    """The process that has `log` open."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if any(os.readlink(fd) == str(log) for fd in (folder / "fd").iterdir()):
                return int(folder.name)
    raise AssertionError(f"nobody has {log} open")


# --- bugs on purpose --------------------------------------------------------------------------------------------


def judged(agent: Agent, log: Path, shim: str) -> tuple[list[int], list[Op]]:
    """The acknowledged ids that a shim spoils, and what was read."""
    written = append(agent, log, rows=900, rate_per_s=0, block=500, shim=shim).ops()
    spoiled = [int(op.value) for op in written if shims.spoils(int(op.value) & 0xFFFFFFFF)]
    assert len(spoiled) >= 9
    return spoiled, read(agent, log)


def test_without_a_shim_nothing_is_spoiled(agent: Agent, log: Path) -> None:
    spoiled, ops = judged(agent, log, "none")

    assert set(spoiled) <= {op.value for op in found(ops, "entry")}
    assert found(ops, "garbage") == []


def test_lost_records_were_acknowledged_and_are_nowhere(agent: Agent, log: Path) -> None:
    spoiled, ops = judged(agent, log, "lost")

    assert not set(spoiled) & {op.value for op in found(ops, "entry")}


def test_duplicated_records_stand_there_twice(agent: Agent, log: Path) -> None:
    spoiled, ops = judged(agent, log, "duplicated")

    times = Counter(op.value for op in found(ops, "entry"))
    assert {number for number, count in times.items() if count == 2} == set(spoiled)


def test_torn_records_are_garbage(agent: Agent, log: Path) -> None:
    spoiled, ops = judged(agent, log, "torn")

    garbage = found(ops, "garbage")
    assert not set(spoiled) & {op.value for op in found(ops, "entry")}
    assert {str(op.value).split(" ")[0] for op in garbage} == {"torn"}
    data = log.read_bytes()
    heads = {op.offset: bytes.fromhex(str(op.value).partition(" ")[2]) for op in garbage}
    shown = {at: head for at, head in heads.items() if head}
    assert len(shown) == min(len(garbage), logs.SHOWN_SPANS)
    assert all(data[at : at + logs.SHOWN_BYTES].startswith(head) for at, head in shown.items())
    assert sum(op.length for op in garbage) == RECORD_BYTES * len(spoiled)
    assert {op.length for op in garbage} == {RECORD_BYTES, RECORD_BYTES // 2}


def test_reordered_records_stand_behind_later_ones(agent: Agent, log: Path) -> None:
    spoiled, ops = judged(agent, log, "reordered")

    place = {op.value: op.offset for op in found(ops, "entry")}
    later = {number: number + shims.LAG for number in spoiled if number + shims.LAG in place}
    assert later
    assert all(place[number] > place[behind] for number, behind in later.items())
    assert all(number in place for number in spoiled)


# --- reading -----------------------------------------------------------------------------------------------------


def record(writer_number: int, sequence: int) -> bytes:
    return frames.builder(writer_number, RECORD_BYTES)(sequence)


def scan(data: bytes, step: int = 1 << 20) -> logs.Scan:
    scan = logs.Scan(RECORD_BYTES)
    for at in range(0, len(data), step):
        scan.feed(data[at : at + step])
    scan.end()
    return scan


HOLE = bytes(99)
A, B, C = record(1, 0), record(2, 7), record(1, 1)
DAMAGED = {
    "empty": (b"", []),
    "whole": (A + B + C, []),
    "hole": (A + bytes(640) + B, [("hole", 64, 640)]),
    "only a hole": (bytes(7), [("hole", 0, 7)]),
    "cut at the end": (A + B[:40], [("torn", 64, 40)]),
    "cut in its header": (A + B[:10], [("torn", 64, 10)]),
    "cut in its magic": (A + b"HL", [("torn", 64, 2)]),
    "second half first": (A[30:] + B, [("torn", 0, 34)]),
    "a wrong byte": (A + B[:50] + b"#" + B[51:] + C, [("torn", 64, 64)]),
    "torn around another": (A[:20] + B + A[20:], [("torn", 0, 20), ("torn", 84, 44)]),
    "foreign": (A + b"somebody else was here\n" + B, [("foreign", 64, 23)]),
    "hole and foreign": (HOLE + b"!!" + HOLE + A, [("hole", 0, 99), ("foreign", 99, 2), ("hole", 101, 99)]),
    "another length": (frames.builder(1, 32)(0) + A, [("torn", 0, 32)]),
}  # fmt: skip


@pytest.mark.parametrize("step", [1 << 20, 1, 7, 64, 100])
@pytest.mark.parametrize(("data", "garbage"), DAMAGED.values(), ids=DAMAGED)
def test_damage_is_named_and_every_byte_is_accounted_for(
    data: bytes, garbage: list[tuple[str, int, int]], step: int
) -> None:
    found = scan(data, step)

    assert [tuple(span) for span in found.garbage] == garbage
    whole = [data[at : at + RECORD_BYTES] for at in found.offsets]
    names = {A: frames.record_id(1, 0), B: frames.record_id(2, 7), C: frames.record_id(1, 1)}
    assert [names[piece] for piece in whole] == list(found.ids)
    assert len(found.ids) * RECORD_BYTES + sum(span.length for span in found.garbage) == len(data)
    heads = {at: data[at : at + min(n, logs.SHOWN_BYTES)] for kind, at, n in garbage if kind != "hole"}
    assert found.shown == heads


def test_of_much_garbage_only_the_first_is_shown() -> None:
    found = scan(b"".join(b"#" + record(1, number) for number in range(logs.SHOWN_SPANS + 5)))
    assert len(found.garbage) == logs.SHOWN_SPANS + 5
    assert list(found.shown) == [span.offset for span in found.garbage[: logs.SHOWN_SPANS]]


def test_entries_come_in_batches_of_a_bounded_size(agent: Agent, log: Path) -> None:
    build = frames.builder(3, RECORD_BYTES)
    log.write_bytes(b"".join(map(build, range(2 * logs.BATCH_ROWS + 1))))
    recorder = Recorder()
    readers = [{"process": "r", "at": "a", "pid": 0, "path": str(log)}]
    params = {"readers": readers, "key": "k", "record_bytes": RECORD_BYTES}
    agent.call("read_log", params, timeout_s=30, on_batch=recorder.on_batch)

    assert [batch["n"] for batch in recorder.batches] == [1, logs.BATCH_ROWS, logs.BATCH_ROWS, 1]


def test_a_file_that_is_not_there_is_a_failed_read(agent: Agent, log: Path) -> None:
    (op,) = read(agent, log)

    assert (op.f, op.value, op.outcome, op.errno) == ("read", "", "fail", 2)


@pytest.mark.parametrize("size", [23, (1 << 20) + 1])
def test_a_record_has_a_least_and_a_largest_size(size: int) -> None:
    with pytest.raises(ValueError, match="record_bytes"):
        frames.builder(1, size)


@pytest.mark.parametrize("size", [24, 25, 4096])
def test_a_record_is_known_by_its_bytes(size: int) -> None:
    whole = frames.builder(0xFFFFFFFF, size)(0xFFFFFFFE)

    assert len(whole) == size
    assert frames.id_at(whole, 0, size) == 0xFFFFFFFF << 32 | 0xFFFFFFFE
    for at in range(size):
        assert frames.id_at(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :], 0, size) is None


@pytest.mark.parametrize("pauses", [[], [(1, 15)]])
def test_rows_survive_the_way_from_a_writer(pauses: list[tuple[int, int]]) -> None:
    taken = writer.Taken(5, 10, pauses, array("q", [11, 21]))
    assert writer.Taken.unpacked(taken.packed()) == taken


def test_a_record_begins_when_the_one_before_it_has_ended() -> None:
    stamps = writer.Stamps()
    stamps.enter(range(2))
    stamps.ends += [FAR, FAR + 1]
    stamps.leave()
    stamps.enter(range(2, 4))
    stamps.ends += [FAR + 2]
    taken = stamps.take()
    assert (taken.first, list(taken.ends), taken.pauses) == (0, [FAR, FAR + 1, FAR + 2], [])
    assert 0 < taken.begin_ns < FAR, "the clock's own time"
    stamps.ends += [FAR + 3]
    assert stamps.take() == (3, FAR + 2, [], array("q", [FAR + 3]))


def test_after_a_pause_a_record_begins_with_its_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    stamps = writer.Stamps()
    now = iter([10**9, 10**9 + 5, 2 * 10**9])
    monkeypatch.setattr("harness.agent.writer.time.monotonic_ns", lambda: next(now))
    stamps.enter(range(1))
    stamps.ends += [10**9 + 4]
    stamps.leave()
    stamps.enter(range(1, 3))
    stamps.ends += [2 * 10**9 + 7, 2 * 10**9 + 9]
    assert stamps.take() == (0, 10**9, [(1, 2 * 10**9)], array("q", [10**9 + 4, 2 * 10**9 + 7, 2 * 10**9 + 9]))


def test_rows_are_taken_once_and_none_are_none() -> None:
    stamps = writer.Stamps()
    assert stamps.take() == (0, 0, [], array("q"))
    stamps.enter(range(2))
    stamps.ends += [FAR, FAR + 1]
    assert stamps.take().first == 0
    assert stamps.take() == (2, FAR + 1, [], array("q"))


def test_the_record_under_way_is_the_first_that_was_entered_and_has_no_end() -> None:
    stamps = writer.Stamps()
    assert stamps.under_way() is None, "nothing was begun: the file may not even be open"
    stamps.enter(range(2))
    assert (stamps.under_way() or (None,))[0] == 0
    stamps.ends += [FAR]
    stamps.take()
    assert stamps.under_way() == (1, FAR)
    stamps.ends += [FAR + 1]
    stamps.take()
    assert stamps.under_way() is None, "between two chunks nothing is written"


def test_starts_that_follow_the_ends_travel_as_one_number() -> None:
    ends = array("q", [12, 15, 19])
    batch = {"n": 3, "f": "append", "value": {"from": 0}, "end_ns": rows.packed(ends)}
    for pauses, starts in (([], [10, 12, 15]), ([(1, 13)], [10, 13, 15])):
        sent = appends._starts(writer.Taken(0, 10, pauses, ends))
        assert (sent == {"after": 10}) == (not pauses)
        assert History.of_batches([{**batch, "start_ns": sent}])["start_ns"].tolist() == starts


@pytest.mark.parametrize(
    ("times", "way"),
    [
        ([FAR], "u4"),
        ([FAR, FAR, FAR + 1700], "u4"),
        ([(1 << 32) - 1, 1 << 32, (1 << 33) - 2], "u4"),  # the lower half begins anew twice
        ([5, (1 << 32) + 4], "u4"),
        ([5, (1 << 32) + 5], "i8"),  # a writer that was frozen
        ([0, 1 << 62], "i8"),
        ([], "i8"),
    ],
)
def test_times_travel_in_half_of_the_room_where_that_says_it_all(times: list[int], way: str) -> None:
    sent = rows.packed_times(array("q", times))
    assert way in sent
    told = History.of_batches([{"n": len(times), "f": "append", "value": {"from": 0}, "end_ns": sent}])
    assert told["end_ns"].tolist() == times


def test_the_agent_is_written_in_python_3_9() -> None:
    folder = Path(appends.__file__).parent
    for path in folder.glob("*.py"):
        ast.parse(path.read_text(), feature_version=(3, 9))
