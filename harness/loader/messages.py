"""pydantic's errors in plain words."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Any

from harness.loader.problems import clipped, nearest
from harness.loader.tree import Tree
from harness.model.topology import NAME

_NAME_RULE = "names are a-z, 0-9 and -, begin with a letter and have 31 characters at most"
#: Patterns of the models, and what they ask for.
_PATTERNS = {
    NAME: f"is not a name: {_NAME_RULE}",
    r"^/": "is not an absolute path: begin with /",
    r"^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$": "is not a host name: letters, digits, -, _ and . only, 63 at most",
}


def describe(error: Mapping[str, Any], tree: Tree) -> tuple[str, str | None]:
    """Message and nearest known value for one of `ValidationError.errors()`; `tree` is the value at its place."""
    context = error.get("ctx") or {}
    words = _BY_TYPE.get(error["type"])
    message = words(context, tree) if words else _own_words(error)
    return message, _nearest(error, context, tree)


def _own_words(error: Mapping[str, Any]) -> str:
    text = str(error["msg"]).removeprefix("Value error, ")
    return text[:1].lower() + text[1:] if text[:2].istitle() else text


def shown(tree: Tree) -> str:
    """What stands there, for the end of a message."""
    if isinstance(tree.value, dict):
        return "a mapping"
    if isinstance(tree.value, list):
        return "a list"
    return "nothing" if tree.value is None else clipped(tree.text or repr(tree.value))


def _text(_context: Mapping[str, Any], tree: Tree) -> str:
    if isinstance(tree.value, bool):
        return f'{tree.text} is read as a boolean by YAML: put it in quotes, "{tree.text}"'
    if isinstance(tree.value, int | float):
        return f'{tree.text} is read as a number by YAML: put it in quotes, "{tree.text}"'
    return f"must be a text, not {shown(tree)}"


def _mapping(_context: Mapping[str, Any], tree: Tree) -> str:
    if tree.value is None:
        return "is empty: give it values (key: value below it) or leave it out"
    return f"must be a mapping (key: value), not {shown(tree)}"


def _list(_context: Mapping[str, Any], tree: Tree) -> str:
    if tree.value is None:
        return "is empty: give it entries (- value below it) or leave it out"
    return f"must be a list (- value), not {shown(tree)}"


def _kind(what: str) -> Callable[[Mapping[str, Any], Tree], str]:
    return lambda _context, tree: f"must be {what}, not {shown(tree)}"


def _limit(words: str, name: str) -> Callable[[Mapping[str, Any], Tree], str]:
    return lambda context, tree: f"must be {words} {context[name]}, not {shown(tree)}"


def _literal(context: Mapping[str, Any], tree: Tree) -> str:
    return f"must be {str(context['expected']).replace(chr(39), '')}, not {shown(tree)}"


def _pattern(context: Mapping[str, Any], tree: Tree) -> str:
    pattern = str(context["pattern"])
    return _PATTERNS.get(pattern, f"{shown(tree)} does not have the form {pattern}")


def _too_long(context: Mapping[str, Any], tree: Tree) -> str:
    entries = len(tree.entries()) or len(tree.items())
    return f"has {entries} entries: at most {context['max_length']} are allowed"


def _value(context: Mapping[str, Any], _tree: Tree) -> str:
    return str(context["error"]).replace("does not appear to be", "is not")


#: A mistake that pydantic reports for the whole list: an entry of `environment` that is no pair.
PAIR = "pair"
_INTEGER = _kind("a whole number")
_NUMBER = _kind("a number")
_BOOLEAN = _kind("true or false")
_BY_TYPE: dict[str, Callable[[Mapping[str, Any], Tree], str]] = {
    PAIR: _kind("NAME=value"),
    "missing": lambda _context, _tree: "is missing",
    "string_type": _text,
    "string_pattern_mismatch": _pattern,
    "int_type": _INTEGER,
    "int_parsing": _INTEGER,
    "int_from_float": _INTEGER,
    "int_parsing_size": _INTEGER,
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "bool_type": _BOOLEAN,
    "bool_parsing": _BOOLEAN,
    "greater_than": _limit("more than", "gt"),
    "greater_than_equal": _limit("at least", "ge"),
    "less_than": _limit("less than", "lt"),
    "less_than_equal": _limit("at most", "le"),
    "literal_error": _literal,
    "enum": _literal,
    "dict_type": _mapping,
    "model_type": _mapping,
    "model_attributes_type": _mapping,
    "list_type": _list,
    "tuple_type": _list,
    "too_long": _too_long,
    "too_short": lambda context, _tree: f"needs at least {context['min_length']} entries",
    "value_error": _value,
}


def _nearest(error: Mapping[str, Any], context: Mapping[str, Any], tree: Tree) -> str | None:
    if error["type"] in ("literal_error", "enum"):
        return nearest(str(tree.value), re.findall(r"'([^']*)'", str(context["expected"])))
    if error["type"] == "value_error" and "has host bits set" in str(context["error"]):
        return str(ipaddress.ip_network(str(tree.value), strict=False))
    return None
