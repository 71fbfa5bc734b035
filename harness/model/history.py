"""Operations and histories: what was done, by whom, when, and what came back.

docs/history.md lists every kind of row (`f`) with the meaning of its key and value.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from harness.model.columns import Coded, Gathered, GatheredTexts, GatheredValues, Values, taken

Outcome = Literal["ok", "fail", "info"]

#: `end_ns` of an operation that was never answered: it stays concurrent to everything after it.
NEVER = np.iinfo(np.int64).max
#: `offset`, `fd` where the kind of row has none.
ABSENT = -1
#: What a command's row says where the command needs the wire and we have no right to it.
NO_WIRE = "right wire"

TEXT_COLUMNS = ("process", "host", "at", "check", "f", "key", "outcome")
INT_COLUMNS = ("offset", "length", "fd", "errno", "start_ns", "end_ns", "err_ns")


@dataclass(frozen=True, slots=True)
class Op:
    """One operation. Times are nanoseconds of `host`'s CLOCK_MONOTONIC; `err_ns` is the half-width by which
    they may be off against the other hosts' (0 where hosts share a kernel). `end_ns` is NEVER for `info`.
    """

    process: str
    host: str
    at: str
    check: str
    f: str
    key: str
    value: int | str
    offset: int = ABSENT
    length: int = 0
    fd: int = ABSENT
    errno: int = 0
    start_ns: int = 0
    end_ns: int = 0
    err_ns: int = 0
    outcome: Outcome = "ok"


COLUMNS = tuple(field.name for field in fields(Op))


Column = npt.NDArray[Any] | Coded | Values


class History:
    """Operations in columns, all of one length. `value` is an int or a str by `f`.

    Immutable by convention: `where` returns a new one. Made for tens of millions of rows: text columns are kept
    coded, so that selecting compares small integers, what is the same in all rows is kept once, and a selection
    copies a column only when it is asked for.
    """

    def __init__(self, columns: Mapping[str, Column]) -> None:
        missing = [name for name in COLUMNS if name not in columns]
        if missing:
            raise ValueError(f"a history lacks the columns {', '.join(missing)}")
        lengths = {len(columns[name]) for name in COLUMNS}
        if len(lengths) > 1:
            raise ValueError(f"the columns of a history differ in length: {sorted(lengths)}")
        self._columns = {name: _placed(name, columns[name]) for name in COLUMNS}
        self._rows = lengths.pop()
        self._whole: History = self
        self._chosen: npt.NDArray[np.int64] | None = None

    @classmethod
    def _part(cls, whole: History, chosen: npt.NDArray[np.int64]) -> History:
        part = cls.__new__(cls)
        part._columns = {}
        part._rows = len(chosen)
        part._whole = whole
        part._chosen = chosen
        return part

    def _column(self, name: str) -> Column:
        if name not in self._columns:
            assert self._chosen is not None
            whole = self._whole._columns[name]
            chosen = self._chosen
            self._columns[name] = taken(whole, chosen) if isinstance(whole, np.ndarray) else whole[chosen]
        return self._columns[name]

    @classmethod
    def of(cls, ops: Iterable[Op]) -> History:
        """Columns from single operations; for small histories and tests."""
        rows: Sequence[Op] = list(ops)
        return cls({name: _column(name, [getattr(op, name) for op in rows]) for name in COLUMNS})

    @classmethod
    def of_batches(cls, batches: Iterable[Mapping[str, Any]]) -> History:
        """Columns from batches: each maps a column to a list, or to one value that holds for the whole batch.

        A batch has an entry `n` (its number of rows) where no column is a list. Absent columns take Op's default.
        A long column of integers may be packed: `{"i8": base64 of little-endian 64-bit integers}`;
        `{"from": first, "u4": base64 of the lower 32 bits of each}` for such as are within 2^32 of the first;
        `{"from": first}` for consecutive ones; starts may be `{"after": first}` where each row starts as the one
        before it ends.
        Raises ValueError where lists differ in length or a column is unknown; TypeError, OverflowError or
        ValueError where a value is not of its column's type.
        """
        gathered = {name: _gathered(name) for name in COLUMNS}
        for sent in batches:
            batch = {name: _unpacked(value, sent) for name, value in sent.items()}
            rows = _rows(batch)
            for name in COLUMNS:
                gathered[name].add(batch.get(name, _DEFAULTS[name]), rows)
        return cls({name: column.done() for name, column in gathered.items()})

    def __len__(self) -> int:
        return self._rows

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        column = self._column(name)
        return column.decoded() if isinstance(column, Coded | Values) else column

    def coded(self, name: str) -> Coded:
        """A text column as integers, for grouping. Its `texts` are those of the whole history, so that codes of
        different selections can be compared; some may occur in no row. Raises KeyError for other columns.
        """
        column = self._column(name)
        if not isinstance(column, Coded):
            raise KeyError(f"{name} is not a text column")
        return column

    def ops(self) -> Iterator[Op]:
        for row in zip(*(self[name].tolist() for name in COLUMNS), strict=True):
            yield Op(*row)

    def where(self, mask: npt.NDArray[np.bool_]) -> History:
        if mask.all():
            return self
        chosen = np.flatnonzero(mask)
        return History._part(self._whole, chosen if self._chosen is None else self._chosen[chosen])

    def only(self, **equal: str | Sequence[str]) -> History:
        """Rows whose text columns equal the given values: `history.only(f="tcp", check=["a", "b"])`."""
        mask = np.ones(len(self), dtype=bool)
        for name, wanted in equal.items():
            mask &= self.coded(name).is_in([wanted] if isinstance(wanted, str) else list(wanted))
        return self.where(mask)

    def values(self) -> Values:
        """The column `value` as it is kept."""
        column = self._column("value")
        assert isinstance(column, Values)
        return column

    def value_int(self) -> npt.NDArray[np.int64]:
        """Raises ValueError where a value is a text that is no number."""
        return self.values().integers()


_DEFAULTS: dict[str, Any] = {field.name: field.default for field in fields(Op)} | dict.fromkeys(
    ("process", "host", "at", "check", "f", "key", "value"), ""
)


def _rows(batch: Mapping[str, Any]) -> int:
    """How many rows a batch has. Raises ValueError where its lists differ or it names an unknown column."""
    unknown = set(batch) - set(COLUMNS) - {"n"}
    if unknown:
        raise ValueError(f"unknown columns in a batch: {', '.join(sorted(unknown))}")
    lengths = {len(v) for v in batch.values() if isinstance(v, list | np.ndarray)}
    if "n" in batch:
        lengths.add(batch["n"])
    if len(lengths) != 1:
        raise ValueError(f"a batch must have one length, not {sorted(lengths)}")
    rows: int = lengths.pop()
    return rows


def _unpacked(value: Any, batch: Mapping[str, Any]) -> Any:
    """A packed column as an array, anything else as it is. Raises ValueError."""
    if not isinstance(value, dict):
        return value
    if value.keys() == {"i8"}:
        return np.frombuffer(base64.b64decode(value["i8"], validate=True), dtype="<i8").astype(np.int64)
    if value.keys() == {"from", "u4"}:
        lower = np.frombuffer(base64.b64decode(value["u4"], validate=True), dtype="<u4").astype(np.uint32)
        return int(value["from"]) + (lower - lower[:1]).astype(np.int64)
    if value.keys() == {"from"} and "n" in batch:
        return np.arange(value["from"], value["from"] + batch["n"], dtype=np.int64)
    if value.keys() == {"after"} and "end_ns" in batch:
        ends = np.asarray(_unpacked(batch["end_ns"], {}), dtype=np.int64)
        return np.concatenate([np.array([value["after"]], dtype=np.int64), ends[:-1]])
    raise ValueError(f"a column is packed in a way that this version does not know: {sorted(value)}")


def _gathered(name: str) -> Gathered | GatheredTexts | GatheredValues:
    if name in TEXT_COLUMNS:
        return GatheredTexts()
    return Gathered() if name in INT_COLUMNS else GatheredValues()


def _placed(name: str, column: Column) -> Column:
    if name in INT_COLUMNS or isinstance(column, Coded | Values):
        return column
    return Coded.of(column.tolist()) if name in TEXT_COLUMNS else Values.of(column.tolist())


def _column(name: str, values: list[Any]) -> Column:
    if name in INT_COLUMNS:
        return np.array(values, dtype=np.int64)
    return Coded.of(values) if name in TEXT_COLUMNS else Values.of(values)
