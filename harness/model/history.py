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


class Coded:
    """A text column as small integers: `texts[codes[i]]` is the text of row i. Texts are distinct."""

    __slots__ = ("codes", "texts")

    def __init__(self, codes: npt.NDArray[np.int32], texts: npt.NDArray[Any]) -> None:
        self.codes = codes
        self.texts = texts

    @classmethod
    def of(cls, values: Iterable[Any]) -> Coded:
        seen: dict[Any, int] = {}
        codes = np.array([seen.setdefault(value, len(seen)) for value in values], dtype=np.int32)
        return cls(codes, _objects(list(seen)))

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, rows: Any) -> Coded:
        return Coded(self.codes[rows], self.texts)

    def decoded(self) -> npt.NDArray[Any]:
        return self.texts[self.codes]

    def is_in(self, wanted: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Which rows hold one of the texts."""
        hits = [code for code, text in enumerate(self.texts.tolist()) if text in wanted]
        if len(hits) == 1:
            same: npt.NDArray[np.bool_] = self.codes == hits[0]
            return same
        hit = np.zeros(len(self.texts) + 1, dtype=bool)
        hit[hits] = True
        return hit[self.codes]


class History:
    """Operations in columns, all of one length. `value` is an object array of int or str by `f`.

    Immutable by convention: `where` returns a new one. Made for millions of rows: text columns are kept coded,
    so that selecting compares integers, and a selection copies a column only when it is asked for.
    """

    def __init__(self, columns: Mapping[str, npt.NDArray[Any] | Coded]) -> None:
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

    def _column(self, name: str) -> npt.NDArray[Any] | Coded:
        if name not in self._columns:
            whole = self._whole._columns[name]
            self._columns[name] = whole[self._chosen]
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
        A long column of integers may be packed: `{"i8": base64 of little-endian 64-bit integers}`, or
        `{"from": first}` for consecutive ones; starts may be `{"after": first}` where each row starts as the one
        before it ends.
        Raises ValueError where lists differ in length or a column is unknown; TypeError, OverflowError or
        ValueError where a value is not of its column's type.
        """
        gathered = {name: _Gathered(name) for name in COLUMNS}
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
        return column.decoded() if isinstance(column, Coded) else column

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

    def value_int(self) -> npt.NDArray[np.int64]:
        return self["value"].astype(np.int64)


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
    if value.keys() == {"from"} and "n" in batch:
        return np.arange(value["from"], value["from"] + batch["n"], dtype=np.int64)
    if value.keys() == {"after"} and "end_ns" in batch:
        ends = np.asarray(_unpacked(batch["end_ns"], {}), dtype=np.int64)
        return np.concatenate([np.array([value["after"]], dtype=np.int64), ends[:-1]])
    raise ValueError(f"a column is packed in a way that this version does not know: {sorted(value)}")


class _Gathered:
    """One column, gathered from batches."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._text = name in TEXT_COLUMNS
        self._seen: dict[Any, int] = {}
        self._parts: list[npt.NDArray[Any]] = []

    def add(self, value: Any, rows: int) -> None:
        if isinstance(value, np.ndarray):
            self._parts.append(value if self._name in INT_COLUMNS else _objects(value.tolist()))
        elif isinstance(value, list):
            self._parts.append(self._code(value) if self._text else _column(self._name, value))
        elif self._text:
            self._parts.append(np.full(rows, self._seen.setdefault(value, len(self._seen)), dtype=np.int32))
        else:
            dtype = np.int64 if self._name in INT_COLUMNS else object
            self._parts.append(np.full(rows, value, dtype=dtype))

    def _code(self, values: list[Any]) -> npt.NDArray[np.int32]:
        seen = self._seen
        return np.array([seen.setdefault(value, len(seen)) for value in values], dtype=np.int32)

    def done(self) -> npt.NDArray[Any] | Coded:
        if not self._parts:
            return _column(self._name, [])
        whole = np.concatenate(self._parts)
        return Coded(whole, _objects(list(self._seen))) if self._text else whole


def _placed(name: str, column: npt.NDArray[Any] | Coded) -> npt.NDArray[Any] | Coded:
    return Coded.of(column.tolist()) if name in TEXT_COLUMNS and not isinstance(column, Coded) else column


def _column(name: str, values: list[Any]) -> npt.NDArray[Any]:
    return np.array(values, dtype=np.int64) if name in INT_COLUMNS else _objects(values)


def _objects(values: list[Any]) -> npt.NDArray[Any]:
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column
