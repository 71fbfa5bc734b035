"""Collects mistakes, so that one reading of a file names all of them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import NoReturn

from harness.loader.tree import Place, Tree
from harness.model.errors import Problem, TopologyError

_LISTED = 12
_CLIP = 60


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like `name`; None where none is much like it."""
    close = difflib.get_close_matches(name.lower(), sorted(known), n=1, cutoff=0.6)
    return close[0] if close and close[0] != name else None


def clipped(text: str) -> str:
    """A text from a file, short enough for a message."""
    return text if len(text) <= _CLIP else f"{text[:_CLIP]}..."


def listed(known: Iterable[str]) -> str:
    """The known names for the end of a message: all of a few, the first of many."""
    names = sorted(known)
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more if names else "none"


class Problems:
    """Mistakes so far. `keys` are those that have one already: what follows from a mistake is not reported."""

    def __init__(self) -> None:
        self._found: set[Problem] = set()
        self.keys: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, place: Place, key: str, message: str, near: str | None = None) -> None:
        self._found.add(Problem(place.file, place.line, place.column, key, message, near))
        self.keys.add(key)

    def at(self, tree: Tree, message: str, near: str | None = None) -> None:
        """A mistake in the value of `tree`."""
        self.add(tree.place, tree.key, message, near)

    def unknown(self, tree: Tree, what: str, name: str, known: Iterable[str]) -> None:
        """A name that stands for nothing: says the nearest one that does, or which there are."""
        names = list(known)
        near = nearest(name, names)
        there = "" if near else f" (there is: {listed(names)})"
        self.at(tree, f"unknown {what} {clipped(name)!r}{there}", near)

    def below(self, key: str) -> bool:
        """Whether `key` or something below it has a mistake."""
        return any(found == key or found.startswith((f"{key}.", f"{key}[")) for found in self.keys)

    def sorted(self) -> list[Problem]:
        return sorted(self._found, key=lambda p: (p.file, p.line, p.column, p.key, p.message, p.nearest or ""))

    def fail(self) -> NoReturn:
        """Raise what was found."""
        raise TopologyError(self.sorted())
