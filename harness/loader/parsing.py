"""From YAML text to a Tree, with bounds on everything and YAML's traps named.

YAML 1.1 as PyYAML reads it, less what surprises: dates stay text, and numbers that readers of YAML 1.1 and 1.2
take differently (`22:22`, `010`, `1_000`) are refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import yaml

from harness.loader.problems import Problems
from harness.loader.tree import Place, Scalar, Tree

MAX_DEPTH = 32
MAX_NODES = 20_000

_TAG = "tag:yaml.org,2002:"
_KINDS = {
    yaml.ScalarNode: {"str", "null", "bool", "int", "float", "merge"},
    yaml.MappingNode: {"map"},
    yaml.SequenceNode: {"seq"},
}
_READ_AS = {"bool": "a boolean", "int": "a number", "float": "a number", "null": "nothing"}
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})|0x[0-9a-fA-F]{1,15}")
_FLOAT = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
#: What YAML can escape into a text, and no name, command or file can hold.
_UNUSABLE = re.compile("[\x00\ud800-\udfff]")


class _Refused(Exception):
    """Reading cannot go on: the text is no YAML, or too much of it."""

    def __init__(self, line: int, column: int, message: str) -> None:
        super().__init__(message)
        self.line, self.column, self.message = line, column, message


class _Composer(yaml.SafeLoader):
    """Composes nodes up to a depth and a number."""

    yaml_implicit_resolvers = {  # noqa: RUF012  (PyYAML's own attribute, a plain dict there too)
        first: [pair for pair in pairs if pair[0].removeprefix(_TAG) not in ("timestamp", "value")]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    depth = 0
    count = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self.depth += 1
        self.count += 1
        _bound(self.depth, self.count // 2, self.line + 1, self.column + 1)
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


def _bound(depth: int, count: int, line: int, column: int) -> None:
    if depth > MAX_DEPTH + 1:
        raise _Refused(line, column, f"is nested deeper than {MAX_DEPTH} levels")
    if count > MAX_NODES:
        raise _Refused(line, column, f"holds more than {MAX_NODES:,} values, anchors and aliases expanded")


def parse(text: str, file: str, problems: Problems, *, key: str = "", line: int = 0) -> Tree | None:
    """The tree of one YAML document; None where there is none, with the reason in `problems`.

    `key` is the dotted key of the document's root. `line` > 0 stands for every line: for values that are not
    from a file.
    """
    builder = _Builder(file, problems, line)
    try:
        node = _compose(text)
        if node is None:
            return None
        return builder.build(node, key, builder.place(node.start_mark), 1)
    except _Refused as refused:
        problems.add(Place(file, line or refused.line, refused.column), key, refused.message)
        return None


def _compose(text: str) -> yaml.Node | None:
    """The root node; None for an empty text. Raises _Refused."""
    composer: Any = None
    try:
        composer = _Composer(text)
        node: yaml.Node | None = composer.get_single_node()
    except yaml.reader.ReaderError as error:
        raise _unprintable(text, error) from None
    except yaml.MarkedYAMLError as error:
        raise _syntax(error) from None
    except (ValueError, OverflowError):  # an escape or a directive with a number that Python refuses
        raise _Refused(
            composer.line + 1, composer.column + 1, "not valid YAML: a number is out of range"
        ) from None
    finally:
        if composer is not None:
            composer.dispose()
    return node


def _unprintable(text: str, error: yaml.reader.ReaderError) -> _Refused:
    before = text[: error.position]
    line, column = before.count("\n") + 1, error.position - (before.rfind("\n") + 1) + 1
    if error.character in (0, "\0"):
        return _Refused(line, column, "is a binary file: it holds NUL bytes")
    return _Refused(line, column, f"the character {error.character!r} cannot stand in YAML")


#: PyYAML's words, and better ones.
_SYNTAX = (
    (r"character '\\t' that cannot start", "a tab stands where YAML wants blanks: indent with blanks"),
    (r"mapping values are not allowed", "a colon stands where no key can be: a missing quote or indentation?"),
    (r"found another document", "the file holds several documents (---): write one topology a file"),
    (r"expected <block end>", "the indentation does not fit the lines above"),
    (r"could not find expected ':'", "a colon is missing after a key"),
    (r"end of stream|found '<stream end>'", "it ends inside a quote or bracket"),
    (r"expected ',' or '[\]}]'", "a comma or a closing bracket is missing"),
)


def _syntax(error: yaml.MarkedYAMLError) -> _Refused:
    said = " ".join(filter(None, (error.context, error.problem)))
    plain = next((words for pattern, words in _SYNTAX if re.search(pattern, said)), None)
    alias = re.search(r"undefined alias '(.*)'", said)
    if alias:
        plain = f"*{alias[1]} stands for nothing: no anchor &{alias[1]} comes before it"
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    return _Refused(line, column, f"not valid YAML: {plain or said}")


class _Builder:
    """Makes trees of nodes. Every alias is expanded, and counted."""

    def __init__(self, file: str, problems: Problems, line: int) -> None:
        self._file = file
        self._problems = problems
        self._line = line
        self._count = 0

    def place(self, mark: Any) -> Place:
        return Place(self._file, self._line or mark.line + 1, mark.column + 1)

    def build(self, node: yaml.Node, key: str, name: Place, depth: int) -> Tree:
        self._count += 1
        _bound(depth, self._count, name.line, name.column)
        self._check_tag(node, key)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, key, name)
        tree = Tree(key, name, name, {} if isinstance(node, yaml.MappingNode) else [])
        if isinstance(node, yaml.MappingNode):
            tree.value = self._mapping(node, tree, depth)
        else:
            tree.value = self._list(node, tree, depth)
        return tree

    def _check_tag(self, node: yaml.Node, key: str) -> None:
        if node.tag.removeprefix(_TAG) not in _KINDS[type(node)]:
            tag = "!!" + node.tag.removeprefix(_TAG) if node.tag.startswith(_TAG) else node.tag
            self._problems.add(self.place(node.start_mark), key, f"the tag {tag} is not known in a topology")

    def _list(self, node: yaml.Node, tree: Tree, depth: int) -> list[Tree]:
        return [
            self.build(item, tree.key_of(i), self.place(item.start_mark), depth + 1)
            for i, item in enumerate(node.value)
        ]

    def _mapping(self, node: yaml.MappingNode, tree: Tree, depth: int) -> dict[str, Tree]:
        """Own keys win over merged ones, and the first of two equal keys over the second."""
        values: dict[str, Tree] = {}
        seen: dict[str, Place] = {}
        for name_node, value in self._own_pairs(node, tree):
            place = self.place(name_node.start_mark)
            if name_node.value in seen:
                self._twice(tree.key_of(name_node.value), place, seen[name_node.value])
                continue
            seen[name_node.value] = place
            values[name_node.value] = self.build(value, tree.key_of(name_node.value), place, depth + 1)
        for name_node, value in self._merged_pairs(node, tree, depth):
            if name_node.value not in values:
                place = self.place(name_node.start_mark)
                values[name_node.value] = self.build(value, tree.key_of(name_node.value), place, depth + 1)
        return values

    def _own_pairs(self, node: yaml.MappingNode, tree: Tree) -> Iterator[tuple[yaml.ScalarNode, yaml.Node]]:
        for name, value in node.value:
            if self._is_name(name, tree) and name.tag != _TAG + "merge":
                yield name, value

    def _is_name(self, node: yaml.Node, tree: Tree) -> bool:
        """Whether a key can be one. One that YAML takes for something else is reported and used as text."""
        if not isinstance(node, yaml.ScalarNode):
            self._problems.add(self.place(node.start_mark), tree.key, "a list or mapping cannot be a key")
            return False
        read_as = _READ_AS.get(node.tag.removeprefix(_TAG))
        if _UNUSABLE.search(node.value):
            self._problems.add(self.place(node.start_mark), tree.key, f"the name {node.value!r} cannot be used")
            return False
        if read_as:
            message = f"the name {node.value} is read as {read_as} by YAML: put it in quotes or choose another"
            self._problems.add(self.place(node.start_mark), tree.key_of(node.value), message)
        elif node.tag not in (_TAG + "str", _TAG + "merge"):
            self._check_tag(node, tree.key_of(node.value))
        return True

    def _twice(self, key: str, place: Place, first: Place) -> None:
        message = f"stands twice: here and in line {first.line}, column {first.column}"
        self._problems.add(place, key, message)

    def _merged_pairs(
        self, node: yaml.MappingNode, tree: Tree, depth: int
    ) -> Iterator[tuple[yaml.ScalarNode, yaml.Node]]:
        """What `<<` brings in; of several mappings the earlier wins."""
        for name, value in node.value:
            if name.tag != _TAG + "merge":
                continue
            for source in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                yield from self._source_pairs(source, tree, depth)

    def _source_pairs(
        self, source: yaml.Node, tree: Tree, depth: int
    ) -> Iterator[tuple[yaml.ScalarNode, yaml.Node]]:
        self._count += 1 + len(source.value)
        _bound(depth, self._count, source.start_mark.line + 1, source.start_mark.column + 1)
        if not isinstance(source, yaml.MappingNode):
            self._problems.add(self.place(source.start_mark), tree.key_of("<<"), "<< merges mappings only")
            return
        yield from self._own_pairs(source, tree)
        yield from self._merged_pairs(source, tree, depth + 1)

    def _scalar(self, node: yaml.ScalarNode, key: str, name: Place) -> Tree:
        place = self.place(node.start_mark) if node.value else name
        tree = Tree(key, place, name, None, node.value)
        try:
            tree.value = _value(node)
        except ValueError as error:
            self._problems.at(tree, str(error))
            tree.value = node.value
        return tree


def _value(node: yaml.ScalarNode) -> Scalar:
    """Raises ValueError, in plain words, for a scalar that is no value of a topology."""
    text = node.value
    if _UNUSABLE.search(text):
        raise ValueError("holds a NUL or half a character (a surrogate), which no name or command can hold")
    match node.tag.removeprefix(_TAG):
        case "null":
            return None
        case "bool":
            return _boolean(text)
        case "int":
            return _integer(text)
        case "float":
            return _number(text)
    return str(text)


def _boolean(text: str) -> bool:
    values = yaml.SafeLoader.bool_values
    if text.lower() not in values:
        raise ValueError(f"{text!r} is neither true nor false")
    return values[text.lower()]


def _integer(text: str) -> int:
    if _INTEGER.fullmatch(text):
        return int(text, 0)
    if re.fullmatch(r"[-+]?[0-9_]+(:[0-9]+)+", text):
        raise ValueError(f'{text} is a number in base 60 to YAML 1.1: put it in quotes, "{text}"')
    if re.fullmatch(r"[-+]?[1-9][0-9]*", text):
        raise ValueError("is a number of more than 18 digits: put it in quotes if it is a text")
    raise ValueError(f'{text} is read as different numbers by readers of YAML: put it in quotes, "{text}"')


def _number(text: str) -> float:
    if not _FLOAT.fullmatch(text):
        raise ValueError(f'{text} is no plain number: put it in quotes, "{text}", if it is a text')
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is too large")
    return value
