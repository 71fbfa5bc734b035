"""Columns of a history, made for tens of millions of rows: texts are small integers, and what is the same in all
rows is kept once (numpy's broadcasting, read-only).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Objects = npt.NDArray[Any]

#: `Values.words` of a row whose value is a number.
NUMBER = -1


class Coded:
    """A text column as small integers: `texts[codes[i]]` is the text of row i. Texts are distinct.

    Codes are integers as small as the number of texts allows.
    """

    __slots__ = ("codes", "texts")

    def __init__(self, codes: npt.NDArray[Any], texts: Objects) -> None:
        self.codes = codes
        self.texts = texts

    @classmethod
    def of(cls, values: Iterable[Any]) -> Coded:
        column = GatheredTexts()
        column.add(list(values), 0)
        return column.done()

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, rows: Ints) -> Coded:
        return Coded(taken(self.codes, rows), self.texts)

    def decoded(self) -> Objects:
        texts: Objects = self.texts[self.codes]
        return texts

    def used(self) -> set[Any]:
        """The texts that occur in some row."""
        return set(self.texts[np.unique(self.codes)].tolist())

    def is_in(self, wanted: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Which rows hold one of the texts."""
        hits = [code for code, text in enumerate(self.texts.tolist()) if text in wanted]
        if is_constant(self.codes):
            return np.full(len(self.codes), int(self.codes[0]) in hits)
        if len(hits) == 1:
            same: npt.NDArray[np.bool_] = self.codes == hits[0]
            return same
        if not hits:
            return np.zeros(len(self.codes), dtype=bool)
        hit = np.zeros(len(self.texts), dtype=bool)
        hit[hits] = True
        found: npt.NDArray[np.bool_] = hit[self.codes]
        return found


class Values:
    """A column of integers and texts: row i is `numbers[i]` where `words.codes[i]` is NUMBER, else a text."""

    __slots__ = ("numbers", "words")

    def __init__(self, numbers: Ints, words: Coded) -> None:
        self.numbers = numbers
        self.words = words

    @classmethod
    def of(cls, values: Iterable[Any]) -> Values:
        column = GatheredValues()
        column.add(list(values), 0)
        return column.done()

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, rows: Ints) -> Values:
        return Values(taken(self.numbers, rows), self.words[rows])

    def decoded(self) -> Objects:
        """Python's own int and str."""
        found = np.empty(len(self.numbers), dtype=object)
        found[:] = self.numbers.tolist()
        texts = np.flatnonzero(self.words.codes != NUMBER)
        found[texts] = self.words.texts[self.words.codes[texts]]
        return found

    def integers(self) -> Ints:
        """Raises ValueError where a value is a text that is no number."""
        if is_constant(self.words.codes) and self.words.codes[0] == NUMBER:
            return self.numbers
        texts = np.flatnonzero(self.words.codes != NUMBER)
        if not len(texts):
            return self.numbers
        found = self.numbers.copy()
        found[texts] = self.words[texts].decoded().astype(np.int64)
        return found


def is_constant(column: npt.NDArray[Any]) -> bool:
    """Whether all rows are one value that is kept once."""
    return len(column) > 0 and column.strides == (0,)


def constant(value: Any, rows: int, dtype: Any) -> npt.NDArray[Any]:
    return np.broadcast_to(np.asarray(value, dtype=dtype), (rows,))


def taken(column: npt.NDArray[Any], rows: Ints) -> npt.NDArray[Any]:
    """These rows of a column."""
    return constant(column[0], len(rows), column.dtype) if is_constant(column) else column[rows]


def tight(column: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The same column, kept once where all rows are equal."""
    if len(column) and column[0] == column[-1] and bool((column == column[0]).all()):
        return constant(column[0], len(column), column.dtype)
    return column


def objects(values: Sequence[Any]) -> Objects:
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def smallest(count: int) -> Any:
    """The smallest type that numbers so many texts, and has room for NUMBER."""
    return next(t for t in (np.int8, np.int16, np.int32) if count <= np.iinfo(t).max)


class Gathered:
    """Integers, gathered from batches: each gives a list, an array, or one value for all its rows."""

    dtype: Any = np.int64

    def __init__(self) -> None:
        self._parts: list[npt.NDArray[Any]] = []

    def add(self, value: Any, rows: int) -> None:
        """`rows` counts where `value` is not a column. Raises TypeError, ValueError, OverflowError."""
        if isinstance(value, np.ndarray):
            self._parts.append(value)
        elif isinstance(value, list):
            self._parts.append(np.array(value, dtype=self.dtype))
        else:
            self._parts.append(constant(value, rows, self.dtype))

    def done(self) -> npt.NDArray[Any]:
        parts, self._parts = [part for part in self._parts if len(part)], []
        if not parts:
            return np.zeros(0, dtype=self.dtype)
        if all(is_constant(part) and part[0] == parts[0][0] for part in parts):
            return constant(parts[0][0], sum(map(len, parts)), parts[0].dtype)
        return tight(np.concatenate(parts))


class GatheredTexts:
    """Texts, numbered as they come."""

    def __init__(self) -> None:
        self._seen: dict[Any, int] = {}
        self._codes = Gathered()

    def add(self, value: Any, rows: int) -> None:
        if isinstance(value, np.ndarray):
            value = value.tolist()
        if isinstance(value, list):
            codes: list[int] | int = [self.code(each) for each in value]
        else:
            codes = self.code(value)
        self.add_codes(codes, rows)

    def add_codes(self, codes: list[int] | int, rows: int) -> None:
        dtype = smallest(len(self._seen))
        part = np.array(codes, dtype=dtype) if isinstance(codes, list) else constant(codes, rows, dtype)
        self._codes.add(part, rows)

    def code(self, value: Any) -> int:
        return self._seen.setdefault(value, len(self._seen))

    def done(self) -> Coded:
        return Coded(self._codes.done(), objects(list(self._seen)))


class GatheredValues:
    """Integers and texts. What is no integer of 64 bits is kept as it is, as a text is."""

    def __init__(self) -> None:
        self._numbers = Gathered()
        self._words = GatheredTexts()

    def add(self, value: Any, rows: int) -> None:
        if isinstance(value, np.ndarray) and value.dtype.kind == "i":
            self._add(value.astype(np.int64), NUMBER, len(value))
        elif isinstance(value, np.ndarray | list):
            self._add_mixed(list(value) if isinstance(value, list) else value.tolist())
        else:
            self._add(value if _is_number(value) else 0, self._code(value), rows)

    def _add_mixed(self, values: list[Any]) -> None:
        if set(map(type, values)) == {int}:
            try:
                return self._add(np.array(values, dtype=np.int64), NUMBER, len(values))
            except OverflowError:
                pass
        numbers = [value if _is_number(value) else 0 for value in values]
        return self._add(np.array(numbers, dtype=np.int64), [self._code(value) for value in values], len(values))

    def _code(self, value: Any) -> int:
        return NUMBER if _is_number(value) else self._words.code(value)

    def _add(self, numbers: Any, words: list[int] | int, rows: int) -> None:
        self._numbers.add(numbers, rows)
        self._words.add_codes(words, rows)

    def done(self) -> Values:
        return Values(self._numbers.done(), self._words.done())


def _is_number(value: Any) -> bool:
    return type(value) is int and -(1 << 63) <= value < 1 << 63
