"""`--set cluster.nodes.worker=4`: values that replace those of the file before anything is checked."""

from __future__ import annotations

from collections.abc import Sequence

from harness.loader.messages import shown
from harness.loader.parsing import MAX_DEPTH, parse
from harness.loader.problems import Problems
from harness.loader.tree import Part, Place, Tree, split_key

#: Stands for the file's name in problems with an overridden value. The line counts the overrides.
FILE = "--set"


class _Refused(Exception):
    """An override cannot be applied."""


def override(root: Tree, overrides: Sequence[tuple[str, str]], problems: Problems) -> None:
    """Apply pairs of dotted key and YAML text to `root`, in their order."""
    for number, (key, text) in enumerate(overrides, 1):
        place = Place(FILE, number, 1)
        try:
            _set(root, key, text, place, problems)
        except (_Refused, ValueError) as error:
            problems.add(place, key, str(error))


def _set(root: Tree, key: str, text: str, place: Place, problems: Problems) -> None:
    *path, last = split_key(key)
    if len(path) >= MAX_DEPTH:
        raise _Refused(f"is nested deeper than {MAX_DEPTH} levels")
    target = root
    if _names_a_check([*path, last]):
        target, path, last = _into_check(root, [*path, last])
    for part in path:
        target = _descend(target, part, place)
    value = parse(text, FILE, problems, key=target.key_of(last), line=place.line)
    _put(target, last, value or _nothing(target.key_of(last), place))


def _names_a_check(path: Sequence[Part]) -> bool:
    return len(path) > 1 and path[0] == "checks" and isinstance(path[1], str) and not path[1].isdecimal()


def _nothing(key: str, place: Place) -> Tree:
    return Tree(key, place, place, None)


def _descend(tree: Tree, part: Part, place: Place) -> Tree:
    """The value below `part`; a missing section is made."""
    _make_room(tree, part)
    below = tree.child(part)
    if below is None:
        below = _nothing(tree.key_of(part), place)
        _put(tree, part, below)
    return below


def _make_room(tree: Tree, part: Part) -> None:
    """Let an empty value become a section. Raises _Refused where `tree` cannot hold `part`."""
    where = tree.key or "the file"
    if isinstance(part, int) or isinstance(tree.value, list):
        if tree.child(part) is None or not str(part).isdecimal():
            raise _Refused(f"{where} is no list with an entry {part}: entries are named by number, {where}[0]")
        return
    if tree.value is None:
        tree.value = {}
    if not isinstance(tree.value, dict):
        raise _Refused(f"nothing can be set below {where}: it is {shown(tree)}")


def _put(tree: Tree, part: Part, value: Tree) -> None:
    _make_room(tree, part)
    if isinstance(tree.value, list):
        tree.value[int(part)] = value
    else:
        tree.entries()[str(part)] = value


def _into_check(root: Tree, path: list[Part]) -> tuple[Tree, list[Part], Part]:
    """From `checks.<id or kind>.<rest>` to the entry of that check, and the rest of the path."""
    entry = _entry(root.find("checks").items(), str(path[1]))
    if isinstance(entry.value, str):
        entry.value = {entry.value: Tree(entry.key_of(entry.value), entry.place, entry.place, None)}
    (kind,) = entry.entries()
    _, _, *rest = path
    below: list[Part] = [kind, *rest]
    return entry, below[:-1], below[-1]


def _entry(entries: Sequence[Tree], name: str) -> Tree:
    named = [(tree, *_kind_and_id(tree)) for tree in entries]
    by_id = [tree for tree, _, identity in named if identity == name]
    found = by_id or [tree for tree, kind, _ in named if kind == name]
    if len(found) == 1:
        return found[0]
    if found:
        raise _Refused(f"{len(found)} checks are called {name!r}: name one by its id")
    there = ", ".join(sorted({identity for _, _, identity in named if identity})) or "none"
    raise _Refused(f"no check has the id or kind {name!r} (there is: {there})")


def _kind_and_id(entry: Tree) -> tuple[str, str]:
    """Empty for an entry that is no check."""
    if isinstance(entry.value, str):
        return entry.value, entry.value
    if len(entry.entries()) != 1:
        return "", ""
    ((kind, params),) = entry.entries().items()
    identity = params.get("id")
    return kind, str(identity.value) if identity and identity.value is not None else kind
