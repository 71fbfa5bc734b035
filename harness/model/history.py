"""Operations and histories: what was done, by whom, when, and what came back.

docs/history.md lists every kind of row (`f`) with the meaning of its key and value.
"""

from __future__ import annotations

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


class History:
    """Operations in columns, all of one length. `value` is an object array of int or str by `f`.

    Immutable by convention: `where` returns a new one.
    """

    def __init__(self, columns: Mapping[str, npt.NDArray[Any]]) -> None:
        missing = [name for name in COLUMNS if name not in columns]
        if missing:
            raise ValueError(f"a history lacks the columns {', '.join(missing)}")
        self._columns = {name: columns[name] for name in COLUMNS}
        lengths = {len(column) for column in self._columns.values()}
        if len(lengths) > 1:
            raise ValueError(f"the columns of a history differ in length: {sorted(lengths)}")

    @classmethod
    def of(cls, ops: Iterable[Op]) -> History:
        """Columns from single operations; for small histories and tests."""
        rows: Sequence[Op] = list(ops)
        return cls({name: _column(name, [getattr(op, name) for op in rows]) for name in COLUMNS})

    @classmethod
    def of_batches(cls, batches: Iterable[Mapping[str, Any]]) -> History:
        """Columns from batches: each maps a column to a list, or to one value that holds for the whole batch.

        A batch has an entry `n` (its number of rows) where no column is a list. Absent columns take Op's default.
        """
        parts: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in COLUMNS}
        for batch in batches:
            for name, column in spread(batch).items():
                parts[name].append(column)
        return cls({name: np.concatenate(p) if p else _column(name, []) for name, p in parts.items()})

    def __len__(self) -> int:
        return len(self._columns["f"])

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        return self._columns[name]

    def ops(self) -> Iterator[Op]:
        for row in zip(*(self._columns[name].tolist() for name in COLUMNS), strict=True):
            yield Op(*row)

    def where(self, mask: npt.NDArray[np.bool_]) -> History:
        return History({name: column[mask] for name, column in self._columns.items()})

    def only(self, **equal: str | Sequence[str]) -> History:
        """Rows whose columns equal the given values: `history.only(f="tcp", check=["a", "b"])`."""
        mask = np.ones(len(self), dtype=bool)
        for name, wanted in equal.items():
            values = [wanted] if isinstance(wanted, str) else list(wanted)
            mask &= np.logical_or.reduce([self._columns[name] == value for value in values])
        return self.where(mask)

    def value_int(self) -> npt.NDArray[np.int64]:
        return self._columns["value"].astype(np.int64)


_DEFAULTS: dict[str, Any] = {
    "process": "", "host": "", "at": "", "check": "", "f": "", "key": "", "value": "", "offset": ABSENT,
    "length": 0, "fd": ABSENT, "errno": 0, "start_ns": 0, "end_ns": 0, "err_ns": 0, "outcome": "ok",
}  # fmt: skip


def spread(batch: Mapping[str, Any]) -> dict[str, npt.NDArray[Any]]:
    """A batch as full columns. Raises ValueError where lists differ in length or a column is unknown."""
    unknown = set(batch) - set(COLUMNS) - {"n"}
    if unknown:
        raise ValueError(f"unknown columns in a batch: {', '.join(sorted(unknown))}")
    lengths = {len(v) for v in batch.values() if isinstance(v, list)}
    if "n" in batch:
        lengths.add(batch["n"])
    if len(lengths) != 1:
        raise ValueError(f"a batch must have one length, not {sorted(lengths)}")
    n = lengths.pop()
    full = {}
    for name in COLUMNS:
        value = batch.get(name, _DEFAULTS[name])
        full[name] = _column(name, value if isinstance(value, list) else [value] * n)
    return full


def _column(name: str, values: list[Any]) -> npt.NDArray[Any]:
    if name in INT_COLUMNS:
        return np.array(values, dtype=np.int64)
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column
