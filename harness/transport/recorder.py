# ruff: noqa: S608 - every name that is put into SQL here is a constant of this package; paths are quoted.
"""The history on disk: JSON lines while a run goes on, one Parquet file at its end.

A line is a batch of rows in columns (docs/history.md). What `kill -9` of the recording process can take is what
was written in the last `FLUSH_S` seconds, and at most one line is cut.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt

from harness.model.clocks import aligned
from harness.model.columns import NUMBER, Coded, Values, objects, smallest, tight
from harness.model.errors import EnvironmentBroken, UsageError
from harness.model.history import COLUMNS, INT_COLUMNS, TEXT_COLUMNS, History

FLUSH_S = 0.4
ROTATE_BYTES = 64 * 1024 * 1024
PARQUET = "history.parquet"
LINES = "history"

#: Kinds of rows whose `value` is an integer; Parquet holds it in decimal.
INTEGER_KINDS = ("append", "reserve", "entry", "glimpse", "put", "get", "save", "load")

_MORE_SPACE = "free space there, or choose another folder with --runs-dir"

Note = Callable[[str], None]


class Recorder:
    """Appends batches to `folder/NNNN.jsonl`; files of an earlier recorder in that folder are left alone.

    Thread-safe. Once the disk has refused a write, every later call raises the same EnvironmentBroken: a history
    with a hole in it must not look whole.
    """

    def __init__(self, folder: Path, *, rotate_bytes: int = ROTATE_BYTES) -> None:
        self._folder = folder
        self._rotate_bytes = rotate_bytes
        self._lock = threading.Lock()
        self._waiting: list[bytes] = []
        self._broken: EnvironmentBroken | None = None
        self._descriptor = -1
        self._size = 0
        self._closing = threading.Event()
        self._make_folder()
        self._flusher = threading.Thread(target=self._flush_often, name="history-flush", daemon=True)
        self._flusher.start()

    def write(self, batch: Mapping[str, Any], *, now: bool = False) -> None:
        """Append one batch. With `now` it has left this process when the call returns, else within FLUSH_S.

        Raises EnvironmentBroken, naming the folder, where the disk is full or gone; ValueError after `close`.
        """
        line = json.dumps(batch, separators=(",", ":")).encode() + b"\n"
        with self._lock:
            self._refuse_if_broken()
            if self._closing.is_set():
                raise ValueError("the history is closed")
            self._waiting.append(line)
            if now:
                self._flush()

    def flush(self) -> None:
        """What was written has left this process when the call returns. Raises EnvironmentBroken."""
        with self._lock:
            self._refuse_if_broken()
            self._flush()

    def close(self) -> None:
        """Flush and close. Idempotent. Raises EnvironmentBroken where something could not be written."""
        self._closing.set()
        self._flusher.join()
        with self._lock:
            try:
                self._refuse_if_broken()
                self._flush()
            finally:
                self._close_file()

    def _make_folder(self) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._refused(error) from error
        numbers = [int(path.stem) for path in self._folder.glob("*.jsonl") if path.stem.isdigit()]
        self._next = max(numbers, default=0) + 1

    def _flush_often(self) -> None:
        while not self._closing.wait(FLUSH_S):
            with self._lock:
                if self._broken is None:
                    self._flush_or_remember()

    def _flush_or_remember(self) -> None:
        try:
            self._flush()
        except EnvironmentBroken as error:
            self._broken = error  # raised by the next call of `write` or `close`

    def _refuse_if_broken(self) -> None:
        if self._broken is not None:
            raise self._broken

    def _flush(self) -> None:
        lines, self._waiting = self._waiting, []
        try:
            for line in lines:
                self._put(line)
        except OSError as error:
            self._broken = self._refused(error)
            raise self._broken from error

    def _put(self, line: bytes) -> None:
        if self._descriptor >= 0 and self._size + len(line) > self._rotate_bytes:
            self._close_file()
        if self._descriptor < 0:
            self._open_next()
        rest = memoryview(line)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]
        self._size += len(line)

    def _open_next(self) -> None:
        path = self._folder / f"{self._next:04d}.jsonl"
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._next += 1
        self._size = 0

    def _close_file(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _refused(self, error: OSError) -> EnvironmentBroken:
        return EnvironmentBroken(
            f"the history cannot be written to {self._folder}: {error.strerror}",
            hint=_MORE_SPACE,
        )


def read_history(run_folder: Path, note: Note = lambda _text: None) -> History:
    """The history of a run, finished or not: history.parquet where there is one, else history/*.jsonl.

    The last line of a file may be cut (its writer was killed); it is dropped and `note` is told. Raises UsageError
    where there is no history, or one that is damaged, with file and line.
    """
    parquet = run_folder / PARQUET
    if parquet.exists():
        return from_parquet(parquet)
    files = sorted((run_folder / LINES).glob("*.jsonl"), key=lambda path: (len(path.stem), path.stem))
    if not files:
        raise UsageError(f"{run_folder} holds no history: neither {PARQUET} nor {LINES}/*.jsonl")
    return from_lines(files, note)


def from_lines(files: Sequence[Path], note: Note = lambda _text: None) -> History:
    """The history in JSON lines, all times on the controller's clock (model/clocks.py).

    A cut last line of a file is dropped and told; other damage is a UsageError.
    """
    return aligned(History.of_batches(batch for path in files for batch in _batches(path, note)))


def _batches(path: Path, note: Note) -> Iterator[Mapping[str, Any]]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.endswith(b"\n"):
                yield _batch(path, number, line)
            else:
                note(f"{path}:{number}: the last line is cut and was dropped ({len(line)} bytes)")


def _batch(path: Path, number: int, line: bytes) -> Mapping[str, Any]:
    """One line as a batch, tried on its own so that damage is reported with its place."""
    try:
        batch = json.loads(line)
        if not isinstance(batch, dict):
            raise ValueError(f"a batch is an object, not {type(batch).__name__}")
        History.of_batches([batch])
    except (ValueError, TypeError, OverflowError) as error:
        raise UsageError(f"{path}:{number}: not a batch of a history: {error}") from error
    return batch


def to_parquet(history: History, path: Path) -> None:
    """Write `path` at once or not at all. Raises EnvironmentBroken where the disk refuses."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        _copy(history, temporary)
        os.replace(temporary, path)
    except (OSError, duckdb.Error) as error:
        raise EnvironmentBroken(f"{path} cannot be written: {error}", hint=_MORE_SPACE) from error
    finally:
        temporary.unlink(missing_ok=True)


def _copy(history: History, path: Path) -> None:
    values = history.values()
    rows = {name: history[name] for name in INT_COLUMNS}
    rows |= {name: history.coded(name).codes for name in TEXT_COLUMNS}
    rows |= {"number": values.numbers, "word": values.words.codes, "text": _texts(values)}
    texts = {name: history.coded(name).texts.tolist() for name in TEXT_COLUMNS}
    with duckdb.connect() as connection:
        connection.execute("SET threads = 1")  # in the order of the rows, without sorting them
        connection.register("rows", rows)
        columns = ", ".join(_as_text(name) for name in COLUMNS)
        target = f"{_quoted(path)} (FORMAT parquet, COMPRESSION zstd)"
        connection.execute(f"COPY (SELECT {columns} FROM rows) TO {target}", texts)


def _texts(values: Values) -> npt.NDArray[Any]:
    """The text of each row, any where its value is a number. Texts are not copied."""
    texts = objects([*map(str, values.words.texts.tolist()), ""])
    return texts[values.words.codes] if len(values) else np.array([], dtype=str)


def _as_text(name: str) -> str:
    if name in TEXT_COLUMNS:
        return f'list_extract(${name}::VARCHAR[], "{name}" + 1) AS "{name}"'
    if name == "value":
        return f'CASE WHEN word = {NUMBER} THEN number::VARCHAR ELSE "text" END AS "value"'
    return f'"{name}"::BIGINT AS "{name}"'


def from_parquet(path: Path) -> History:
    """The history that `to_parquet` wrote. Raises UsageError where the file is another or damaged."""
    try:
        with duckdb.connect() as connection:
            connection.execute(
                f"CREATE VIEW rows AS SELECT * FROM read_parquet({_quoted(path)}, file_row_number = true)"
            )
            _refuse_unknown(connection, path)
            return _read(connection)
    except (duckdb.Error, ValueError) as error:
        raise UsageError(f"{path} is not a readable history: {str(error).splitlines()[0]}") from error


def _refuse_unknown(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """A column that we do not know is of a later version, in which rows may mean something else."""
    found = [str(row[0]) for row in connection.execute("DESCRIBE rows").fetchall()]
    unknown = sorted(set(found) - set(COLUMNS) - {"file_row_number"})
    if unknown:
        raise UsageError(f"{path} has columns that this version does not know: {', '.join(unknown)}")


def _read(connection: duckdb.DuckDBPyConnection) -> History:
    """Column by column, each with the numbers of its rows: unless an order is asked for, DuckDB 2.0 returns row
    groups in any, and another for each query; to sort all columns at once takes several times their memory.
    """
    rows = int(connection.execute("SELECT count(*) FROM rows").fetchall()[0][0])
    read: dict[str, Any] = {name: tight(_column(connection, f'"{name}"', np.int64, rows)) for name in INT_COLUMNS}
    for name in TEXT_COLUMNS:
        texts = _enumerated(connection, name)
        code = f'enum_code("{name}"::"{_label(name)}")'
        read[name] = Coded(tight(_column(connection, code, smallest(len(texts)), rows)), texts)
    return History(read | {"value": _values(connection, rows)})


def _values(connection: duckdb.DuckDBPyConnection, rows: int) -> Values:
    kinds = ", ".join(f"'{kind}'" for kind in INTEGER_KINDS)
    numbers, words = np.zeros(rows, dtype=np.int64), np.full(rows, NUMBER, dtype=np.int32)
    places, found = _fetched(connection, "value::BIGINT", f"f IN ({kinds})")
    numbers[places] = found
    places, found = _fetched(connection, "value", f"f NOT IN ({kinds})")
    coded = Coded.of(found.tolist())
    words[places] = coded.codes
    return Values(tight(numbers), Coded(tight(words.astype(smallest(len(coded.texts)), copy=False)), coded.texts))


def _column(connection: duckdb.DuckDBPyConnection, expression: str, dtype: Any, rows: int) -> Any:
    """One column in the order of the file."""
    places, found = _fetched(connection, expression)
    column = np.empty(rows, dtype=dtype)
    column[places] = found
    return column


def _fetched(connection: duckdb.DuckDBPyConnection, expression: str, where: str = "true") -> tuple[Any, Any]:
    """An expression of each row, and the row's number in the file. Raises ValueError where one is missing."""
    query = f"SELECT file_row_number AS place, {expression} AS x FROM rows WHERE {where}"
    found = connection.execute(query).fetchnumpy()
    if np.ma.is_masked(found["x"]):
        raise ValueError(f"{expression} is missing in some rows")
    return np.asarray(found["place"]), np.asarray(found["x"])


def _enumerated(connection: duckdb.DuckDBPyConnection, name: str) -> Any:
    """The texts of a column, which DuckDB's ENUM numbers: a million rows do not become a million strings here."""
    label = _label(name)
    connection.execute(f'CREATE TYPE "{label}" AS ENUM (SELECT DISTINCT "{name}" FROM rows)')
    return objects(connection.execute(f'SELECT enum_range(NULL::"{label}")').fetchall()[0][0])


def _label(name: str) -> str:
    return f"label_{name}"


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"
