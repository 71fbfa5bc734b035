"""Which keys a model knows at a place in its data."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel


def known_keys(annotation: Any, loc: Sequence[str | int]) -> list[str]:
    """Keys of the models that can stand at `loc` below data of type `annotation`; empty where none can."""
    found = [annotation]
    for part in loc:
        found = [below for alternative in found for below in _below(alternative, part)]
    models = [each for alternative in found for each in _alternatives(alternative) if _is_model(each)]
    return sorted({name for model in models for name in _fields(model)})


def _alternatives(annotation: Any) -> Iterator[Any]:
    """A union's members, without Annotated."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _alternatives(get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for member in get_args(annotation):
            yield from _alternatives(member)
    else:
        yield annotation


def _below(annotation: Any, part: str | int) -> Iterator[Any]:
    for each in _alternatives(annotation):
        origin, arguments = get_origin(each), get_args(each)
        if _is_model(each):
            yield from [_fields(each)[str(part)]] if str(part) in _fields(each) else []
        elif isinstance(origin, type) and issubclass(origin, Mapping):
            yield arguments[1]
        elif isinstance(origin, type) and issubclass(origin, Sequence):
            yield arguments[0]


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _fields(model: type[BaseModel]) -> dict[str, Any]:
    return {field.alias or name: field.annotation for name, field in model.model_fields.items()}
