"""A strict reader of EDN (github.com/edn-format/edn), with the line of every value.

Our own, since what is on PyPI keeps no places, and a history that is refused must say where. Vectors and lists are
tuples, sets frozensets; nil is None; integers are int; keywords, symbols, characters, decimals, true and false are
Word, so that no two different values of a file are equal (Python's True is 1).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

MAX_DEPTH = 64

_SKIPPED = re.compile(r"(?:[\s,]+|;[^\n]*)+")
_TOKEN = re.compile(r'[^\s,;"()\[\]{}]+')
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)N?")
_DECIMAL = re.compile(r"[-+]?(?:0|[1-9][0-9]*)(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?M?")
_NAME = re.compile(r"(?![-+.]?[0-9])[\w.*+!?$%&=<>/-][\w.*+!?$%&=<>/:'-]*")
_KEYWORD = re.compile(r":[\w.*+!?$%&=<>/'#-]+")
_PLAIN = re.compile(r'[^"\\]*')
_ESCAPES = {"t": "\t", "r": "\r", "n": "\n", "\\": "\\", '"': '"', "b": "\b", "f": "\f"}
_CLOSING = {"(": ")", "[": "]", "{": "}"}
#: More digits make no number of a history, and Python refuses to read them.
_MAX_DIGITS = 1000


class EdnError(ValueError):
    """`line` counts from 1."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True, slots=True)
class Word:
    """A value that stands for itself. `text` is as it is written: `:ok`, `true`, `1.5`."""

    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Tagged:
    tag: str
    value: Any


@dataclass(frozen=True, slots=True)
class Map:
    """A map and the line on which it begins. Not hashable by what it holds: no history has maps as values."""

    line: int
    items: dict[Any, Any] = field(hash=False)

    def get(self, name: str) -> Any:
        """The value of the keyword `:name`; None where there is none."""
        return self.items.get(Word(f":{name}"))

    def has(self, name: str) -> bool:
        return Word(f":{name}") in self.items


_END: Final = object()


def values(text: str) -> Iterator[tuple[int, Any]]:
    """The values at the top level of a file, each with its line. Raises EdnError."""
    reader = _Reader(text)
    while True:
        line = reader.here()
        found = reader.value(0)
        if found is _END:
            return
        yield line, found


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line = 1
        self._counted = 0

    def here(self) -> int:
        """The line of the next value."""
        self._skip()
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        return self._line

    def _refuse(self, message: str) -> EdnError:
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        return EdnError(self._line, message)

    def _skip(self) -> None:
        found = _SKIPPED.match(self._text, self._at)
        if found:
            self._at = found.end()

    def value(self, depth: int) -> Any:
        """The next value, or _END at the end of the file."""
        if depth > MAX_DEPTH:
            raise self._refuse(f"values are nested more than {MAX_DEPTH} deep")
        while True:
            self._skip()
            if not self._text.startswith("#_", self._at):
                break
            self._at += 2
            self._needed(depth + 1, "after #_")
        if self._at == len(self._text):
            return _END
        return self._one(self._text[self._at], depth)

    def _one(self, first: str, depth: int) -> Any:
        if first in "([{":
            return self._collection(first, depth)
        if first in ")]}":
            raise self._refuse(f"{first} closes nothing")
        if first == '"':
            return self._string()
        if first == "#":
            return self._dispatched(depth)
        return self._token()

    def _needed(self, depth: int, where: str) -> Any:
        found = self.value(depth)
        if found is _END:
            raise self._refuse(f"the file ends {where}: it is cut")
        return found

    def _collection(self, first: str, depth: int) -> Any:
        line = self.here()
        members = self._members(_CLOSING[first], line, depth)
        return self._map(line, members) if first == "{" else tuple(members)

    def _members(self, closing: str, line: int, depth: int) -> list[Any]:
        self._at += 1
        members: list[Any] = []
        while True:
            self._skip()
            if self._text.startswith(closing, self._at):
                self._at += 1
                return members
            if self._text.startswith("#_", self._at) and self._discarded(depth):
                continue
            members.append(self._needed(depth + 1, f"within what begins on line {line}"))

    def _discarded(self, depth: int) -> bool:
        self._at += 2
        self._needed(depth + 1, "after #_")
        return True

    def _map(self, line: int, members: list[Any]) -> Map:
        if len(members) % 2:
            raise EdnError(line, "a map has a key without a value")
        items: dict[Any, Any] = {}
        for key, value in zip(members[::2], members[1::2], strict=True):
            if key in items:
                raise EdnError(line, f"a map has {key} twice")
            items[key] = value
        return Map(line, items)

    def _string(self) -> str:
        parts = []
        self._at += 1
        while True:
            plain = _PLAIN.match(self._text, self._at)
            assert plain is not None
            parts.append(plain.group())
            self._at = plain.end()
            if self._at == len(self._text):
                raise self._refuse("the file ends within a string: it is cut")
            if self._text[self._at] == '"':
                self._at += 1
                return "".join(parts)
            parts.append(self._escaped())

    def _escaped(self) -> str:
        self._at += 1
        letter = self._text[self._at : self._at + 1]
        self._at += 1
        if letter in _ESCAPES:
            return _ESCAPES[letter]
        digits = self._text[self._at : self._at + 4]
        if letter != "u" or not re.fullmatch("[0-9a-fA-F]{4}", digits):
            raise self._refuse(f"a string has the escape \\{letter}, which EDN does not know")
        self._at += 4
        return chr(int(digits, 16))

    def _dispatched(self, depth: int) -> Any:
        if self._text.startswith("#{", self._at):
            line = self.here()
            self._at += 1
            return frozenset(self._members("}", line, depth))
        self._at += 1
        found = _TOKEN.match(self._text, self._at)
        if not found or not _NAME.fullmatch(found.group()):
            raise self._refuse("a # that EDN does not know")
        self._at = found.end()
        return Tagged(found.group(), self._needed(depth + 1, f"after #{found.group()}"))

    def _token(self) -> Any:
        found = _TOKEN.match(self._text, self._at)
        assert found is not None
        text = found.group()
        for readable, made in _TOKENS:
            if readable.fullmatch(text):
                if len(text) > _MAX_DIGITS:
                    raise self._refuse(f"a number or a name of {len(text)} characters")
                self._at = found.end()
                return made(text)
        raise self._refuse(f"{text[:40]!r} is no value of EDN")


def _integer(text: str) -> int:
    return int(text.rstrip("N"))


def _named(text: str) -> Word | None:
    return None if text == "nil" else Word(text)


_TOKENS: tuple[tuple[re.Pattern[str], Callable[[str], Any]], ...] = (
    (_INTEGER, _integer),
    (_DECIMAL, Word),
    (_KEYWORD, Word),
    (re.compile(r"\\\S+"), Word),
    (_NAME, _named),
)
