"""Plain data in which every value knows its dotted key and its place in a file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from typing import Any

Scalar = str | int | float | bool | None
Part = str | int

#: Sections whose keys may hold dots: what follows one of them in a dotted key is a single key.
_DOTTED = frozenset({"driver_opts", "environment"})
_SEGMENT = re.compile(r"(?P<name>[^.\[\]]{1,200})(?P<indices>(?:\[\d{1,6}\])*)(?:\.(?=.)|$)")


@dataclass(frozen=True, order=True)
class Place:
    """Lines and columns count from 1."""

    file: str
    line: int
    column: int


@dataclass(eq=False)
class Tree:
    """A value of a topology file.

    `place` is where a person looks for it: a scalar itself, or the name in front of a mapping or list.
    `name_place` is the place of its name; the same as `place` where it has none. `text` is a scalar as written.
    """

    key: str
    place: Place
    name_place: Place
    value: Scalar | list[Tree] | dict[str, Tree]
    text: str = ""

    def plain(self) -> Any:
        """The value without places."""
        if isinstance(self.value, dict):
            return {name: tree.plain() for name, tree in self.value.items()}
        if isinstance(self.value, list):
            return [tree.plain() for tree in self.value]
        return self.value

    def child(self, part: Part) -> Tree | None:
        """The value below `part`. In a list a text finds its number, or the entry `app` or `NAME=value`."""
        if isinstance(self.value, dict):
            return self.value.get(str(part))
        if not isinstance(self.value, list):
            return None
        if isinstance(part, int) or part.isdecimal():
            return self.value[int(part)] if int(part) < len(self.value) else None
        return next((tree for tree in self.value if _is_entry(tree, part)), None)

    def walk(self, path: Sequence[Part]) -> list[Tree]:
        """The value itself and those below it along `path`, as far as they exist."""
        chain = [self]
        for part in path:
            below = chain[-1].child(part)
            if below is None:
                break
            chain.append(below)
        return chain

    def find(self, *path: Part) -> Tree:
        """The deepest value along `path` that exists."""
        return self.walk(path)[-1]

    def get(self, *path: Part) -> Tree | None:
        """The value at `path`; None where it does not exist."""
        chain = self.walk(path)
        return chain[-1] if len(chain) == len(path) + 1 else None

    def entries(self) -> dict[str, Tree]:
        """The values of a mapping by name; empty for anything else."""
        return self.value if isinstance(self.value, dict) else {}

    def items(self) -> list[Tree]:
        """The values of a list; empty for anything else."""
        return self.value if isinstance(self.value, list) else []

    def remove(self, children: Set[Tree]) -> None:
        """Take those of `children` out that are directly below."""
        if isinstance(self.value, dict):
            self.value = {name: tree for name, tree in self.value.items() if tree not in children}
        elif isinstance(self.value, list):
            self.value = [tree for tree in self.value if tree not in children]

    def key_of(self, part: Part) -> str:
        """The dotted key of a value below this one."""
        if isinstance(part, int):
            return f"{self.key}[{part}]"
        return f"{self.key}.{part}" if self.key else part


def _is_entry(tree: Tree, name: str) -> bool:
    return isinstance(tree.value, str) and (tree.value == name or tree.value.startswith(f"{name}="))


def split_key(key: str) -> list[Part]:
    """`services.web.ports[0].target` as its parts. Raises ValueError where it is not a dotted key."""
    parts: list[Part] = []
    position = 0
    while position < len(key):
        if parts and parts[-1] in _DOTTED:
            return [*parts, key[position:]]
        match = _SEGMENT.match(key, position)
        if not match:
            raise ValueError(f"{key!r} is not a dotted key such as cluster.nodes.worker")
        parts += _parts(match)
        position = match.end()
    if not parts:
        raise ValueError("the key is empty: write for example cluster.nodes.worker=4")
    return parts


def _parts(match: re.Match[str]) -> Iterator[Part]:
    yield match["name"]
    for index in re.findall(r"\d+", match["indices"]):
        yield int(index)
