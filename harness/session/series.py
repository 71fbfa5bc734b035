"""Several topologies, one after another: a cluster goes from one to the next where both want the same one."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path

from harness.model.plan import cluster_key, cluster_name
from harness.model.topology import Topology
from harness.ports import Progress
from harness.session import clusters
from harness.session.options import Options
from harness.session.planning import make_plan, topology_of
from harness.session.running import RunResult, run, run_on


class Series:
    """Runs `paths` in order. With `--keep` or `--reuse` each is a run of its own.

    Raises TopologyError or UsageError when made: a mistake in the last file is told before the first one starts.
    """

    def __init__(self, paths: Sequence[Path], options: Options) -> None:
        self._paths = list(paths)
        self._options = options
        self._topologies = [topology_of(path, options) for path in paths]
        for topology in self._topologies:
            make_plan(topology, options, run="RUN")
        self._standing: str | None = None

    def results(self, progress: Progress) -> Generator[RunResult, None, None]:
        """A result for each topology, as soon as it is there. A cluster that waits for the next topology is taken
        down when the iterator is closed.
        """
        count = len(self._paths)
        try:
            for number, (path, topology) in enumerate(zip(self._paths, self._topologies, strict=True), start=1):
                if count > 1:
                    progress(f"topology {topology.name}, {number} of {count}")
                yield self._run(path, topology, number < count and self._fits(number), progress)
        finally:
            if self._standing is not None:
                clusters.down(cluster_name(self._standing))

    def _fits(self, number: int) -> bool:
        """Whether the topology at `number` can have the cluster of the one before it."""
        return cluster_key(self._topologies[number]) == cluster_key(self._topologies[number - 1])

    def _run(self, path: Path, topology: Topology, fits: bool, progress: Progress) -> RunResult:
        if self._options.keep or self._options.reuse:
            return run(path, self._options, progress)
        given, self._standing = self._standing, None
        result = run_on(given, topology, self._options, progress, "hand on" if fits else "down")
        self._standing = result.left
        return result
