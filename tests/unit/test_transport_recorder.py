"""The history on disk: written line by line, read back whole, cut, damaged, and as Parquet."""

from __future__ import annotations

import errno
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from harness.model.errors import EnvironmentBroken, UsageError
from harness.model.history import COLUMNS, NEVER, History, Op
from harness.transport import recorder
from harness.transport.recorder import Recorder, from_parquet, read_history, to_parquet

BATCH = {
    "process": "w1", "host": "n1", "at": "web.1", "check": "append", "f": "append", "key": "data",
    "value": [1 << 32, 1 << 32 | 1], "length": 128, "start_ns": [10, 30], "end_ns": [20, NEVER],
    "outcome": ["ok", "info"],
}  # fmt: skip
PROBE = {
    "process": "agent", "host": "n2", "at": "db", "check": "mesh", "f": "tcp", "key": "ip|app|4|web.1|10.0.0.1",
    "value": ["ok web.1"],
}  # fmt: skip
#: Rows that DuckDB puts into one group of a Parquet file.
ROW_GROUP = 122_880
DAMAGED = (
    "{oops",
    "[1]",
    '{"f": ["tcp"], "value": []}',
    '{"nonsense": [1]}',
    '{"f": "tcp"}',
    '{"f": ["x"], "length": "z"}',
)


def recorded(run: Path, *batches: dict[str, Any], **options: Any) -> None:
    writer = Recorder(run / "history", **options)
    for batch in batches:
        writer.write(batch)
    writer.close()


def rows(history: History) -> list[Op]:
    return list(history.ops())


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    recorded(tmp_path, BATCH, PROBE)
    history = read_history(tmp_path)
    assert rows(history) == rows(History.of_batches([BATCH, PROBE]))
    assert [type(value) for value in history["value"]] == [int, int, str]


def test_a_reservation_is_on_disk_when_the_call_returns(tmp_path: Path) -> None:
    writer = Recorder(tmp_path / "history")
    writer.write(PROBE)
    writer.write(BATCH, now=True)
    assert len(read_history(tmp_path)) == 3
    writer.close()


def test_the_rest_follows_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "FLUSH_S", 0.01)
    writer = Recorder(tmp_path / "history")
    writer.write(BATCH)
    for _ in range(1000):
        if list((tmp_path / "history").glob("*.jsonl")):
            break
        threading.Event().wait(0.01)
    assert len(read_history(tmp_path)) == 2
    writer.close()


def test_files_rotate_and_stay_in_order(tmp_path: Path) -> None:
    batches = [{**PROBE, "value": [f"ok {i}"]} for i in range(10)]
    recorded(tmp_path, *batches, rotate_bytes=300)
    assert len(list((tmp_path / "history").iterdir())) > 3
    assert read_history(tmp_path)["value"].tolist() == [f"ok {i}" for i in range(10)]


def test_a_second_recorder_goes_on_in_a_new_file(tmp_path: Path) -> None:
    recorded(tmp_path, BATCH)
    recorded(tmp_path, PROBE)
    assert sorted(path.name for path in (tmp_path / "history").iterdir()) == ["0001.jsonl", "0002.jsonl"]
    assert len(read_history(tmp_path)) == 3


def test_many_threads_lose_nothing(tmp_path: Path) -> None:
    writer = Recorder(tmp_path / "history", rotate_bytes=2_000)

    def work(number: int) -> None:
        for i in range(50):
            writer.write({**PROBE, "value": [f"ok {number}.{i}"]}, now=i % 7 == 0)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    assert sorted(read_history(tmp_path)["value"]) == sorted(f"ok {n}.{i}" for n in range(4) for i in range(50))


def test_closing_twice_is_harmless_and_writing_afterwards_is_not(tmp_path: Path) -> None:
    writer = Recorder(tmp_path / "history")
    writer.close()
    writer.close()
    with pytest.raises(ValueError, match="closed"):
        writer.write(BATCH)


def test_a_full_disk_is_named_at_once_and_ever_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = Recorder(tmp_path / "history")

    def full(_descriptor: int, _data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(EnvironmentBroken, match=r"history: No space left on device"):
        writer.write(BATCH, now=True)
    monkeypatch.undo()
    with pytest.raises(EnvironmentBroken, match=str(tmp_path)):
        writer.write(BATCH)
    with pytest.raises(EnvironmentBroken, match=str(tmp_path)):
        writer.close()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "history").write_text("in the way")
    with pytest.raises(EnvironmentBroken, match="history"):
        Recorder(tmp_path / "history")


def test_a_cut_last_line_is_dropped_with_a_note(tmp_path: Path) -> None:
    recorded(tmp_path, BATCH, PROBE)
    path = tmp_path / "history" / "0001.jsonl"
    path.write_bytes(path.read_bytes()[:-9])
    notes: list[str] = []
    assert len(read_history(tmp_path, notes.append)) == 2
    assert len(notes) == 1
    assert "0001.jsonl:2: the last line is cut" in notes[0]


@pytest.mark.parametrize("line", DAMAGED)
def test_other_damage_names_file_and_line(tmp_path: Path, line: str) -> None:
    recorded(tmp_path, BATCH)
    path = tmp_path / "history" / "0001.jsonl"
    path.write_text(f"{json.dumps(PROBE)}\n{line}\n{json.dumps(PROBE)}\n")
    with pytest.raises(UsageError, match=r"0001\.jsonl:2: not a batch"):
        read_history(tmp_path)


def test_a_run_without_a_history_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no history"):
        read_history(tmp_path)


def test_parquet_holds_every_column_in_order(tmp_path: Path) -> None:
    history = History.of_batches([BATCH, PROBE, {**BATCH, "f": "entry", "offset": [0, 128]}])
    to_parquet(history, tmp_path / "history.parquet")
    again = from_parquet(tmp_path / "history.parquet")
    assert rows(again) == rows(history)
    assert {name: again[name].dtype for name in COLUMNS} == {name: history[name].dtype for name in COLUMNS}
    assert [path.name for path in tmp_path.iterdir()] == ["history.parquet"]


def test_rows_of_many_row_groups_stay_together(tmp_path: Path) -> None:
    """Row groups are read in any order where a query names none: columns of two queries then do not fit."""
    half = ROW_GROUP // 2
    numbers = [1 << 32 | number for number in range(2 * ROW_GROUP)]
    texts = {**PROBE, "value": [f"ok {number}" for number in range(half)]}
    history = History.of_batches([texts, {"f": "append", "value": numbers, "start_ns": numbers, "end_ns": NEVER}])
    to_parquet(history, tmp_path / "history.parquet")

    again = from_parquet(tmp_path / "history.parquet")

    for name in COLUMNS:
        assert again[name].tolist() == history[name].tolist(), name


def test_parquet_is_preferred_to_lines(tmp_path: Path) -> None:
    recorded(tmp_path, BATCH)
    to_parquet(History.of_batches([PROBE]), tmp_path / "history.parquet")
    assert len(read_history(tmp_path)) == 1


def test_an_empty_history_survives_parquet(tmp_path: Path) -> None:
    to_parquet(History.of([]), tmp_path / "history.parquet")
    assert len(read_history(tmp_path)) == 0


def test_a_part_of_a_history_can_be_written(tmp_path: Path) -> None:
    part = History.of_batches([BATCH, PROBE]).only(check="mesh")
    to_parquet(part, tmp_path / "it's.parquet")
    assert rows(from_parquet(tmp_path / "it's.parquet")) == rows(part)


def test_a_damaged_parquet_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "history.parquet").write_bytes(b"PAR1 but not really")
    with pytest.raises(UsageError, match=r"history\.parquet is not a readable history"):
        read_history(tmp_path)


def test_parquet_that_cannot_be_written_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "history.parquet"
    target.mkdir()
    (target / "kept").write_text("")
    with pytest.raises(EnvironmentBroken, match=r"history\.parquet cannot be written"):
        to_parquet(History.of_batches([PROBE]), target)
    assert [path.name for path in tmp_path.iterdir()] == ["history.parquet"]
