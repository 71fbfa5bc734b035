"""Runs the cells in turn: in every round each cell once, in an order that the seed draws."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from harness.compare.cells import Cell
from harness.compare.matrix import Matrix, matrix_of
from harness.compare.samples import Sample, baselines, sample
from harness.model.errors import HarnessError, Interrupted
from harness.ports import Progress
from harness.session import Job, RunResult, Series, new_run


class Comparing:
    """A comparison that goes on. `matrix` has whatever was measured so far, also after an interrupt; `errors` are
    those of the runs until then.

    What slows the machine for a while slows one round, and so a run of every cell; a round's runs have one seed.
    """

    def __init__(self, topology: str, cells: Sequence[Cell], *, repeat: int, seed: int, runs_dir: Path) -> None:
        self.name = f"compare-{new_run()}"
        self.folder = runs_dir / self.name
        self._topology = topology
        self._cells = cells
        self._seed = seed
        draw = random.Random(seed)  # noqa: S311 - an order, not a secret
        numbers = range(len(cells))
        self.order = [draw.sample(numbers, len(numbers)) for _ in range(repeat)]
        self._local = baselines(cell.topology for cell in cells)
        self._samples: list[Sample] = []
        self.errors: list[HarnessError] = []

    @property
    def matrix(self) -> Matrix:
        return matrix_of(self._topology, self._cells, self.order, self._seed, self._samples, self._local)

    def run(self, progress: Progress) -> None:
        """All runs. An interrupt ends it, cleaned up; after a run that broke the next one goes on."""
        progress(f"order (seed {self._seed}): {self._told_order()}")
        turns = [(number, turn) for turn, row in enumerate(self.order) for number in row]
        series = Series.of([self._job(number, turn) for number, turn in turns])
        try:
            with closing(series.results(progress)) as results:
                for (number, turn), result in zip(turns, results, strict=False):
                    self._take(number, turn, result)
                    if isinstance(result.error, Interrupted):
                        return
        except KeyboardInterrupt:
            self.errors.append(Interrupted("interrupted"))

    def _take(self, number: int, turn: int, result: RunResult) -> None:
        if result.error is not None:
            self.errors.append(result.error)
        if not isinstance(result.error, Interrupted):
            self._samples.append(sample(number, turn, result.view, result.folder.name, self._local))

    def _job(self, number: int, turn: int) -> Job:
        cell = self._cells[number]
        options = dataclasses.replace(
            cell.options,
            runs_dir=self.folder,
            seed=(self._seed + turn) % 2**31,
            series=self.name,
            attempt=turn + 1,
        )
        return Job(cell.topology, options, f"{self._topology}, {cell.name}, round {turn + 1} of {len(self.order)}")

    def _told_order(self) -> str:
        return " | ".join(", ".join(self._cells[number].name for number in row) for row in self.order)
