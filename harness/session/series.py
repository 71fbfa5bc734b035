"""Several runs, one after another: a cluster goes from one to the next where the next one can have it."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.model.plan import cluster_key, cluster_name, serves
from harness.model.run import Tried
from harness.model.topology import Topology
from harness.ports import Progress
from harness.session import clusters
from harness.session.options import Options
from harness.session.planning import make_plan, new_run, topology_of
from harness.session.running import Ending, Pause, RunResult, run_on, run_topology


@dataclass(frozen=True)
class Job:
    """One run to come; `title` is how progress calls it."""

    topology: Topology
    options: Options
    title: str


@dataclass(frozen=True)
class Again:
    """How often each topology is run. `times` in any case, or, with `until_fail`, until one of all runs does not
    pass. `retries`: up to so many more runs after one that did not pass, until one does; every run is reported,
    and one that passed on a later try says so.
    """

    times: int = 1
    until_fail: bool = False
    retries: int = 0

    @property
    def most(self) -> int:
        return self.retries + 1 if self.retries else self.times


class Series:
    """Runs `paths`, or `jobs`, in order. With `--keep` or `--reuse` each is a run of its own.

    Raises TopologyError or UsageError when made: a mistake in the last file is told before the first one starts.
    """

    def __init__(
        self, paths: Sequence[Path], options: Options, again: Again | None = None, pause: Pause | None = None
    ) -> None:
        topologies = [topology_of(path, options) for path in paths]
        self._take([Job(topology, options, topology.name) for topology in topologies], again or Again(), pause)

    @classmethod
    def of(cls, jobs: Sequence[Job]) -> Series:
        series = cls.__new__(cls)
        series._take(jobs, Again(), None)
        return series

    def _take(self, jobs: Sequence[Job], again: Again, pause: Pause | None) -> None:
        for job in {id(job.topology): job for job in jobs}.values():
            make_plan(job.topology, job.options, run="RUN")
        self._jobs = list(jobs)
        self._again = again
        self._pause = pause
        self._standing: tuple[str, str] | None = None

    def results(self, progress: Progress) -> Generator[RunResult, None, None]:
        """A result for each run, as soon as it is there. A cluster that waits for the next run is taken down when
        the iterator is closed.
        """
        try:
            for number, job in enumerate(self._jobs, start=1):
                if len(self._jobs) > 1:
                    progress(f"topology {job.title}, {number} of {len(self._jobs)}")
                for result in self._runs(job, self._jobs[number : number + 1], progress):
                    yield result
                    if self._again.until_fail and not _passed(result):
                        return
        finally:
            self._remove()

    def _runs(self, job: Job, then: Sequence[Job], progress: Progress) -> Generator[RunResult, None, None]:
        most = self._again.most
        series = new_run() if most > 1 else job.options.series
        tries: tuple[Tried, ...] = ()
        for attempt in range(1, most + 1):
            options = job.options
            if most > 1:
                progress(f"{job.title}: {'try' if self._again.retries else 'run'} {attempt} of {most}")
                options = dataclasses.replace(options, series=series, attempt=attempt, tries=tries)
            result = self._run(job.topology, options, [job, *then] if attempt < most else then, progress)
            yield result
            if self._again.retries and _passed(result):
                return
            if self._again.retries:
                tries = (*tries, result.run.tried)

    def _run(self, topology: Topology, options: Options, then: Sequence[Job], progress: Progress) -> RunResult:
        """Run it, on the cluster that stands where that fits; leave it standing where one that may follow fits."""
        if options.keep or options.reuse:
            return run_topology(topology, options, progress, self._pause)
        if self._standing and not serves(self._standing[1], topology):
            self._remove()
        given, key = self._standing or (None, cluster_key(topology))
        self._standing = None
        handed_on = any(serves(key, job.topology) for job in then)
        ending: Ending = "hand on" if handed_on else "down"
        result = run_on(given, topology, options, progress, ending, self._pause)
        self._standing = (result.left, key) if result.left else None
        return result

    def _remove(self) -> None:
        if self._standing is not None:
            given, self._standing = self._standing, None
            clusters.down(cluster_name(given[0]))


def _passed(result: RunResult) -> bool:
    return result.error is None and result.run.verdict == "pass"
