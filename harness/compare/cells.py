"""From `--vary KEY=a,b` to cells: a topology for each choice of values, all read before anything starts."""

from __future__ import annotations

import dataclasses
import difflib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from harness.model.errors import Problem, TopologyError, UsageError
from harness.model.topology import Topology
from harness.session import Options, make_plan, topology_of

#: More cells than this are a mistake: a value that was meant as one, with commas in it.
MOST_CELLS = 24
_OPENING, _CLOSING = "[{(", "]})"
_NAMED = ("networks", "volumes", "services", "stores")


@dataclass(frozen=True)
class Vary:
    key: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Cell:
    """One choice. `name` is short and its own; `settings` are laid over the file."""

    name: str
    settings: tuple[tuple[str, str], ...]
    topology: Topology
    options: Options


def parse_vary(text: str) -> Vary:
    """`networks.app.driver=overlay,macvlan`; commas within brackets or quotes part nothing. Raises UsageError."""
    key, separator, rest = text.partition("=")
    values = tuple(value.strip() for value in _parted(rest))
    if not separator or not key.strip() or not all(values):
        raise UsageError(
            f"--vary takes KEY=VALUE,VALUE..., such as networks.app.driver=overlay,macvlan, not {text!r}"
        )
    if len(set(values)) < len(values):
        twice = next(value for value in values if values.count(value) > 1)
        raise UsageError(
            f"--vary {key}: the value {twice!r} stands there twice", hint="--repeat N runs it N times"
        )
    return Vary(key.strip(), values)


def _parted(text: str) -> Iterator[str]:
    depth, quote, begin = 0, "", 0
    for place, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character in _OPENING:
            depth += 1
        elif character in _CLOSING:
            depth -= 1
        elif character == "," and depth <= 0:
            yield text[begin:place]
            begin = place + 1
    yield text[begin:]


def cells_of(path: Path, varies: Sequence[Vary], options: Options) -> list[Cell]:
    """The grid of all values.

    Raises TopologyError with everything that is wrong with any cell, each with the value that it is wrong with,
    and UsageError where there is nothing to compare.
    """
    _distinct(varies)
    _check_names(topology_of(path, options), varies)
    names = [_names(vary) for vary in varies]
    cells: list[Cell] = []
    problems: dict[tuple[str, str], Problem] = {}
    for chosen in itertools.product(*(range(len(vary.values)) for vary in varies)):
        settings = tuple((vary.key, vary.values[i]) for vary, i in zip(varies, chosen, strict=True))
        name = ", ".join(names[place][i] for place, i in enumerate(chosen))
        try:
            cells.append(_cell(path, name, settings, options))
        except TopologyError as error:
            for problem in error.problems:
                told = _told(problem, settings, len(options.settings), name)
                problems.setdefault((problem.key, problem.message), told)
    if problems:
        raise TopologyError(list(problems.values()))
    return cells


def _distinct(varies: Sequence[Vary]) -> None:
    keys = [vary.key for vary in varies]
    if len(set(keys)) < len(keys):
        raise UsageError("--vary names one key twice", hint="give all its values at once: KEY=a,b,c")
    count = 1
    for vary in varies:
        count *= len(vary.values)
    if count < 2:
        raise UsageError(
            "there is nothing to compare", hint="--vary KEY=a,b gives a key two values; it can be said again"
        )
    if count > MOST_CELLS:
        raise UsageError(f"{count} cells are more than the {MOST_CELLS} that one comparison may have")


def _check_names(base: Topology, varies: Sequence[Vary]) -> None:
    """A section's entry that is not in the file would be made anew, and change nothing: told as a mistake."""
    problems = []
    for number, vary in enumerate(varies, 1):
        section, _, rest = vary.key.partition(".")
        name = rest.partition(".")[0]
        known = list(getattr(base, section)) if section in _NAMED else []
        if section in _NAMED and name not in known:
            near = next(iter(difflib.get_close_matches(name, known, 1)), None)
            there = "" if near else f" (there is: {', '.join(known) or 'none'})"
            message = f"the topology has no {section.removesuffix('s')} {name!r}{there}"
            problems.append(Problem("--vary", number, 1, vary.key, message, near))
    if problems:
        raise TopologyError(problems)


def _cell(path: Path, name: str, settings: tuple[tuple[str, str], ...], options: Options) -> Cell:
    chosen = dataclasses.replace(
        options, settings=(*options.settings, *settings), **_taken_over(settings, options)
    )
    topology = _without_idle_stores(topology_of(path, chosen))
    make_plan(topology, chosen, run="RUN")
    return Cell(name, settings, topology, chosen)


def _taken_over(settings: tuple[tuple[str, str], ...], options: Options) -> dict[str, Any]:
    """`--provider` and `--orchestrator` come last among overrides; a key that varies comes after them."""
    varied = dict(settings)
    return {name: varied.get(f"cluster.{name}", getattr(options, name)) for name in ("provider", "orchestrator")}


def _without_idle_stores(topology: Topology) -> Topology:
    """A store that no volume of this cell names would cost time, and disturb what is measured."""
    used = {volume.store for volume in topology.volumes.values()}
    stores = {name: store for name, store in topology.stores.items() if name in used}
    return topology.model_copy(update={"stores": stores})


def _told(problem: Problem, settings: Sequence[tuple[str, str]], laid_over: int, name: str) -> Problem:
    """A problem of an overridden value is of this value; another one of the file, with this value."""
    place = problem.line - laid_over - 1
    if problem.file == "--set" and 0 <= place < len(settings):
        key, value = settings[place]
        return dataclasses.replace(problem, file=f"--vary {key}={value}", line=1)
    return dataclasses.replace(problem, message=f"{problem.message} (with {name})")


def _names(vary: Vary) -> list[str]:
    """The driver or kind of a whole section where that tells values apart; else the values, cut where long."""
    drivers = [_driver(value) for value in vary.values]
    if all(drivers) and len(set(drivers)) == len(drivers):
        return drivers
    short = [value if len(value) <= 32 else f"{value[:31]}…" for value in vary.values]
    return short if len(set(short)) == len(short) else [f"{vary.key} {n}" for n in range(1, len(short) + 1)]


def _driver(value: str) -> str:
    try:
        read = yaml.safe_load(value)
    except yaml.YAMLError:
        return ""
    return str(read.get("driver") or read.get("kind") or "") if isinstance(read, Mapping) else ""
