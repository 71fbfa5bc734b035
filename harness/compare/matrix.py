"""From samples to one matrix: cells in columns, what was asked in rows, and differences that can be called."""

from __future__ import annotations

import itertools
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from harness.compare.cells import Cell
from harness.compare.samples import Measure, Reached, Sample
from harness.model.verdict import Promise
from harness.statistics import Comparison, call, compare

Key = tuple[str, str]


@dataclass(frozen=True)
class Figure:
    """A figure of a check in every cell, by cell and in the order of rounds; empty where a cell has none."""

    check: str
    name: str
    measures: tuple[tuple[Measure, ...], ...]

    @cached_property
    def relative(self) -> bool:
        """Whether every run has its baseline: then ratios to it are compared, and not the figures themselves."""
        every = [measure for cell in self.measures for measure in cell]
        return bool(every) and all(measure.ratio is not None for measure in every)

    @property
    def is_base(self) -> bool:
        """Whether it is a baseline itself: shown, and not compared."""
        return any(measure.is_base for cell in self.measures for measure in cell)

    def compared(self, cell: int) -> list[float]:
        return [float((m.ratio if self.relative else m.value) or 0.0) for m in self.measures[cell]]

    def median(self, cell: int) -> float | None:
        values = [measure.value for measure in self.measures[cell]]
        return statistics.median(values) if values else None


@dataclass(frozen=True)
class Difference:
    """`second` against `first`, both numbers of cells. `called`: the spread allows to say that they differ."""

    figure: Figure
    first: int
    second: int
    comparison: Comparison
    called: bool


@dataclass(frozen=True)
class Promised:
    """One promise in one cell over its runs. `expected` is what the driver says with this cell's options."""

    expected: str
    kept: int = 0
    broken: int = 0
    unmeasured: int = 0
    count: int = 0
    of: int = 0
    source: str = ""
    witness: str = ""

    @property
    def state(self) -> str:
        """Broken once is `broken`, or, where it is not promised, `allowed`; promised and not measured, `missing`;
        else `kept` or `unmeasured`.
        """
        if self.broken:
            return "broken" if self.expected == "holds" else "allowed"
        if self.kept:
            return "kept"
        return "missing" if self.expected == "holds" else "unmeasured"


@dataclass(frozen=True)
class Matrix:
    """`planned` is how many runs a cell was to have; fewer in any of them makes the matrix partial."""

    topology: str
    cells: tuple[Cell, ...]
    planned: int
    seed: int
    order: tuple[tuple[int, ...], ...]
    samples: tuple[Sample, ...]
    baselines: frozenset[str] = field(default=frozenset())

    def of(self, cell: int) -> list[Sample]:
        return sorted((s for s in self.samples if s.cell == cell), key=lambda s: s.round)

    @property
    def partial(self) -> bool:
        return len(self.samples) < self.planned * len(self.cells)

    def states(self, cell: int) -> Counter[str]:
        return Counter(sample.state for sample in self.of(cell))

    def _keys(self, what: Callable[[Sample], Iterable[Key]]) -> list[Key]:
        """In the order in which runs name them, each once."""
        return list(dict.fromkeys(key for sample in self.samples for key in what(sample)))

    # --- verdicts, promises, ways

    @cached_property
    def checks(self) -> dict[str, list[Counter[str]]]:
        """How each check ended, by cell."""
        names = dict.fromkeys(name for sample in self.samples for name in sample.checks)
        return {
            name: [Counter(s.checks[name][0] for s in self.of(cell) if name in s.checks) for cell in self._numbers]
            for name in names
        }

    def reason(self, cell: int, check: str) -> str:
        """Why a check did not pass, by the first run that says so."""
        found = (s.checks[check] for s in self.of(cell) if check in s.checks)
        return next((reason for state, reason in found if state != "pass"), "")

    @cached_property
    def promises(self) -> dict[Key, list[Promised | None]]:
        keys = self._keys(lambda sample: sample.promises)
        return {
            key: [_promised([s.promises[key] for s in self.of(c) if key in s.promises]) for c in self._numbers]
            for key in keys
        }

    @cached_property
    def reached(self) -> dict[Key, list[list[Reached]]]:
        keys = self._keys(lambda sample: sample.reached)
        return {
            key: [[s.reached[key] for s in self.of(c) if key in s.reached] for c in self._numbers] for key in keys
        }

    @property
    def _numbers(self) -> range:
        return range(len(self.cells))

    # --- figures

    @cached_property
    def figures(self) -> list[Figure]:
        keys = self._keys(lambda sample: sample.measures)
        return [
            Figure(
                *key, tuple(tuple(s.measures[key] for s in self.of(c) if key in s.measures) for c in self._numbers)
            )
            for key in keys
        ]

    @cached_property
    def differences(self) -> list[Difference]:
        """Every pair of cells in every figure that both have; what is called is called in view of all of them."""
        pairs = [
            (figure, first, second, compare(figure.compared(first), figure.compared(second)))
            for figure in self.figures
            if not figure.is_base
            for first, second in itertools.combinations(self._numbers, 2)
            if figure.measures[first] and figure.measures[second]
        ]
        called = call([comparison for *_, comparison in pairs])
        return [Difference(*pair, said) for pair, said in zip(pairs, called, strict=True)]

    @property
    def too_few(self) -> bool:
        """Whether no two cells have enough runs for any difference to be called."""
        return bool(self.differences) and all(each.comparison.too_few for each in self.differences)


def _promised(promises: Sequence[Promise]) -> Promised | None:
    if not promises:
        return None
    seen = Counter(promise.observed for promise in promises)
    broken = next((promise for promise in promises if promise.observed == "broken"), promises[0])
    return Promised(
        broken.expected,
        seen["kept"],
        seen["broken"],
        seen["unmeasured"],
        sum(promise.count for promise in promises),
        sum(promise.of for promise in promises),
        broken.source,
        broken.witness,
    )


def matrix_of(
    topology: str,
    cells: Sequence[Cell],
    order: Sequence[Sequence[int]],
    seed: int,
    samples: Sequence[Sample],
    local: frozenset[str],
) -> Matrix:
    """`order` has a row a round."""
    rounds = tuple(tuple(row) for row in order)
    return Matrix(topology, tuple(cells), len(rounds), seed, rounds, tuple(samples), local)
