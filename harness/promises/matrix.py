"""The shape of matrix.yaml. A cell without a source, an option that nobody explains: not loaded."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from harness.model.verdict import Expected

#: Safe, and in C where libyaml is there.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_BOOLEANS = (("yes", "no"), ("on", "off"), ("true", "false"), ("enable", "disable"), ("1", "0"))


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(_Part):
    """Who says so: a man page, a document, a maintainer, a measurement. Words of our own, not a quotation."""

    text: str = Field(..., min_length=10)
    url: str = Field("", pattern=r"^(https?://\S+)?$")

    def __str__(self) -> str:
        return f"{self.text} <{self.url}>" if self.url else self.text


class Meaning(_Part):
    means: str


class Client(_Part):
    title: str


class Option(_Part):
    """`values` empty: any. `spelled` maps a word to the value that it stands for; to "": another name."""

    means: str
    values: tuple[str, ...] = ()
    number: bool = False
    default: str = ""
    spelled: dict[str, str] = Field(default_factory=dict)

    def normal(self, given: str) -> str | None:
        """The value in the matrix's own spelling; None for one that it does not know."""
        if given == self.default:
            return given
        if self.number:
            return _number(given)
        if not self.values:
            return given
        return given if given in self.values else self._as_boolean(given.lower())

    def _as_boolean(self, given: str) -> str | None:
        for place in (0, 1):
            same = {pair[place] for pair in _BOOLEANS}
            ours = [value for value in self.values if value in same]
            if given in same and ours and len(self.values) == 2:
                return ours[0]
        return None


def _number(text: str) -> str | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return f"{value:g}" if math.isfinite(value) else None


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


class Rule(_Part):
    """Holds for `clients` (empty: all) whose options have one of the values of each key of `when`."""

    expected: Literal["holds", "may", "unproven"]
    sources: tuple[str, ...] = Field(..., min_length=1)
    clients: tuple[str, ...] = ()
    when: dict[str, Annotated[tuple[str, ...], BeforeValidator(_listed)]] = Field(default_factory=dict)

    @property
    def always(self) -> bool:
        return not self.clients and not self.when


class Driver(_Part):
    title: str
    clients: dict[str, Client]
    default_client: str
    options: dict[str, Option]
    cells: dict[str, tuple[Rule, ...]]

    def expected(self, promise: str, client: str) -> Expected:
        """As a reader sees the cell before any option is known: `opt` where options decide."""
        rules = [rule for rule in self.cells[promise] if not rule.clients or client in rule.clients]
        reached = rules[: next(place for place, rule in enumerate(rules) if not rule.when) + 1]
        outcomes = {rule.expected for rule in reached}
        return outcomes.pop() if len(outcomes) == 1 else "opt"


class Matrix(_Part):
    sources: dict[str, Source]
    promises: dict[str, Meaning]
    drivers: dict[str, Driver]

    @model_validator(mode="after")
    def _complete(self) -> Matrix:
        problems = [*self._unused(), *(text for name in self.drivers for text in self._problems(name))]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _unused(self) -> Iterator[str]:
        rules = [rule for driver in self.drivers.values() for cell in driver.cells.values() for rule in cell]
        used = {source for rule in rules for source in rule.sources}
        yield from (f"nothing rests on the source {name!r}" for name in self.sources if name not in used)
        yield from (f"there is no source {name!r}" for name in sorted(used) if name not in self.sources)

    def _problems(self, name: str) -> Iterator[str]:
        driver = self.drivers[name]
        if driver.default_client not in driver.clients:
            yield f"{name} has no client {driver.default_client!r}"
        for promise in [*self.promises, *driver.cells]:
            if promise not in driver.cells or promise not in self.promises:
                yield f"{name}, {promise}: stands on one side only"
        for promise, cell in driver.cells.items():
            if not cell or not cell[-1].always or any(rule.always for rule in cell[:-1]):
                yield f"{name}, {promise}: the last rule, and only that, fits always"
            for rule in cell:
                yield from (f"{name}, {promise}: {text}" for text in _rule_problems(driver, rule))
        yield from (f"{name}: {text}" for text in _spelling_problems(driver))


def _rule_problems(driver: Driver, rule: Rule) -> Iterator[str]:
    yield from (f"there is no client {client!r}" for client in rule.clients if client not in driver.clients)
    for key, values in rule.when.items():
        option = driver.options.get(key)
        if option is None:
            yield f"there is no option {key!r}"
            continue
        yield from (f"{key} is never {value!r}" for value in values if option.normal(value) != value)


def _spelling_problems(driver: Driver) -> Iterator[str]:
    owner: dict[str, str] = {}
    for name, option in driver.options.items():
        for word, value in option.spelled.items():
            if owner.setdefault(word, name) != name or (word in driver.options and word != name):
                yield f"{word!r} is spelled by two options"
            if value and option.normal(value) != value:
                yield f"{word!r} stands for {value!r}, which {name} never is"


def read(text: str) -> Matrix:
    """Raises ValueError (pydantic's words) for what is no complete matrix."""
    return Matrix.model_validate(yaml.load(text, Loader=_LOADER))  # noqa: S506


@cache
def load() -> Matrix:
    """The matrix that travels with the package."""
    return read((files("harness.promises") / "matrix.yaml").read_text(encoding="utf-8"))
