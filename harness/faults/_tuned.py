"""Faults with keys of their own in YAML, beside target and times: a dataclass whose fields they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict

Self = TypeVar("Self", bound="Tuned")


class Params(BaseModel):
    """Base of all parameters of faults: what a fault does not know is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Tuned:
    """A ports.Tunable by its fields: a subclass is a frozen dataclass that has one for each parameter."""

    params: type[BaseModel] = Params

    def given(self: Self, params: Mapping[str, Any]) -> Self:
        whole = self.params.model_validate(dict(params)).model_dump()
        names = {field.name for field in fields(self)}  # type: ignore[arg-type]
        return replace(self, **{key: value for key, value in whole.items() if key in names})  # type: ignore[type-var]
