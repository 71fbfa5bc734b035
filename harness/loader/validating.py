"""Holds a tree against a model, reports what does not fit, and goes on with what does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from harness.loader.known import known_keys
from harness.loader.messages import PAIR, describe
from harness.loader.problems import Problems, clipped, listed, nearest
from harness.loader.tree import Place, Tree

T = TypeVar("T")
_NAME = "[key]"  # pydantic's mark for an error in the key of a mapping


def validated(
    tree: Tree,
    annotation: type[T],
    problems: Problems,
    *,
    stand_ins: Mapping[str, Any] | None = None,
    also_known: Sequence[str] = (),
) -> T | None:
    """Data of type `annotation` from what is right in `tree`; None where nothing can be made of it.

    What is wrong is reported and **taken out of `tree`**. `stand_ins` are values for required keys of the root,
    so that one that is missing does not hide the rest. `also_known` are keys of the root that others read.
    """
    adapter: TypeAdapter[T] = TypeAdapter(annotation)
    while True:
        try:
            return adapter.validate_python(tree.plain())
        except ValidationError as error:
            errors = [_Mistake(tree, each, also_known) for each in error.errors(include_url=False)]
        for mistake in errors:
            mistake.report(annotation, problems)
        if not _take_out(errors, stand_ins or {}):
            return None


class _Mistake:
    """One pydantic error at its place in a tree."""

    def __init__(self, root: Tree, error: Mapping[str, Any], also_known: Sequence[str]) -> None:
        loc: Sequence[str | int] = error["loc"]
        self._also_known = also_known if len(loc) == 1 else ()
        self._error, self._chain = _in_short_form(error, root.walk(loc))
        self._loc = loc
        self._rest = [str(part) for part in loc[len(self._chain) - 1 :]]

    @property
    def tree(self) -> Tree:
        """What is wrong, as deep as the file goes."""
        return self._chain[-1]

    @property
    def parent(self) -> Tree | None:
        return self._chain[-2] if len(self._chain) > 1 else None

    def report(self, annotation: Any, problems: Problems) -> None:
        """Says nothing about a value that has a problem already: one mistake, one report."""
        key, place = self._where()
        if key in problems.keys:
            return
        message, near = describe(self._error, self.tree)
        if self._error["type"] == "extra_forbidden":
            message, near = self._unknown_key(annotation)
        elif self._rest and self._error["type"] != "missing" and self._rest != [_NAME]:
            message = f"{self._rest[-1]} {message}"
        problems.add(place, key, message, near)

    def _where(self) -> tuple[str, Place]:
        if self._error["type"] == "missing":
            return self.tree.key_of(self._rest[0] if self._rest else ""), self.tree.place
        if self._error["type"] == "extra_forbidden" or self._rest == [_NAME]:
            return self.tree.key, self.tree.name_place
        return self.tree.key, self.tree.place

    def _unknown_key(self, annotation: Any) -> tuple[str, str | None]:
        known = [*known_keys(annotation, self._loc[:-1]), *self._also_known]
        name = str(self._loc[-1])
        near = nearest(name, known)
        there = "" if near else f" (known: {listed(known)})"
        return f"unknown key {clipped(name)!r}{there}", near

    def missing_in_root(self) -> str:
        """The required key that the root lacks; empty for any other mistake."""
        at_root = len(self._chain) == 1 and self._error["type"] == "missing"
        return self._rest[0] if at_root and self._rest else ""


def _take_out(mistakes: Sequence[_Mistake], stand_ins: Mapping[str, Any]) -> bool:
    """Whether the tree is without these mistakes afterwards."""
    wrong = {mistake.tree for mistake in mistakes}
    for parent in {mistake.parent for mistake in mistakes if mistake.parent}:
        parent.remove(wrong)
    roots = [mistake for mistake in mistakes if mistake.parent is None]
    if any(mistake.missing_in_root() not in stand_ins for mistake in roots):
        return False
    for mistake in roots:
        name, place = mistake.missing_in_root(), mistake.tree.place
        mistake.tree.entries()[name] = Tree(name, place, place, stand_ins[name])
    return True


def _in_short_form(error: Mapping[str, Any], chain: list[Tree]) -> tuple[Mapping[str, Any], list[Tree]]:
    """Where a list may stand for a mapping, the mistake is the entry that is wrong, not the list."""
    tree = chain[-1]
    if error["type"] != "dict_type":
        return error, chain
    for item in tree.items():
        if not isinstance(item.value, str) and tree.key.endswith((".networks", ".environment")):
            return {**error, "type": "string_type"}, [*chain, item]
        if isinstance(item.value, str) and "=" not in item.value and tree.key.endswith(".environment"):
            return {**error, "type": PAIR}, [*chain, item]
    return error, chain
