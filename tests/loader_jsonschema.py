"""As much of JSON schema (draft 2020-12) as the topology's schema uses; a keyword beyond that is an error."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any

Schema = dict[str, Any]

_TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "null": type(None),
    "integer": int,
    "number": (int, float),
}
_BOUNDS: dict[str, Callable[[float, float], bool]] = {
    "minimum": operator.ge,
    "maximum": operator.le,
    "exclusiveMinimum": operator.gt,
    "exclusiveMaximum": operator.lt,
}
_NOTES = {"$schema", "$defs", "title", "description", "default", "properties", "patternProperties"}


def accepts(schema: Schema, value: Any, root: Schema | None = None) -> bool:
    top = schema if root is None else root
    return all(_holds(word, schema, value, top) for word in schema if word not in _NOTES) and (
        not isinstance(value, dict) or _members(schema, value, top)
    )


def _members(schema: Schema, value: Schema, root: Schema) -> bool:
    properties, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    others = schema.get("additionalProperties", True)
    for name, member in value.items():
        fitting = [properties[name]] if name in properties else []
        fitting += [below for pattern, below in patterns.items() if re.search(pattern, name)]
        for below in fitting or [others]:
            if below is False or (isinstance(below, dict) and not accepts(below, member, root)):
                return False
    return True


def _holds(word: str, schema: Schema, value: Any, root: Schema) -> bool:
    limit = schema[word]
    number = isinstance(value, int | float) and not isinstance(value, bool)
    match word:
        case "additionalProperties":
            return True
        case "$ref":
            return accepts(root["$defs"][limit.removeprefix("#/$defs/")], value, root)
        case "type":
            return any(_is(value, each) for each in ([limit] if isinstance(limit, str) else limit))
        case "anyOf":
            return any(accepts(each, value, root) for each in limit)
        case "const":
            return bool(value == limit)
        case "enum":
            return value in limit
        case "items":
            return not isinstance(value, list) or all(accepts(limit, each, root) for each in value)
        case "required":
            return not isinstance(value, dict) or all(name in value for name in limit)
        case "pattern":
            return not isinstance(value, str) or re.search(limit, value) is not None
        case "uniqueItems":
            return not isinstance(value, list) or len(set(value)) == len(value)
        case "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum":
            return not number or _BOUNDS[word](value, limit)
        case "minItems" | "maxItems" | "minProperties" | "maxProperties":
            return not isinstance(value, list | dict) or (
                len(value) >= limit if word.startswith("min") else len(value) <= limit
            )
    raise AssertionError(f"the schema uses {word}, which this reader does not know")


def _is(value: Any, name: str) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    return isinstance(value, _TYPES[name])
