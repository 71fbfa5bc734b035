"""From rows to what matters: by check and night, what fails newly, what is flaky, what has moved. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from typing import Literal

from harness.model.verdict import Outcome, merge
from harness.record.reading import Folder, LeftOut, Row, numbers
from harness.statistics import Drift, drift, interval

#: What became of a check in a run. `broke`: the environment failed, which says nothing about what was checked.
State = Literal["pass", "fail", "unknown", "broke", "skip"]
STATES: tuple[State, ...] = ("pass", "fail", "unknown", "broke", "skip")
#: Worst last; what a night shows where there were several runs.
_RANK = {state: rank for rank, state in enumerate(("skip", "pass", "broke", "unknown", "fail"))}
_BROKE_OFF = "broke off: "

#: Flakiness is looked for in this many runs; a stretch of at most so many runs between others is a flake.
WINDOW, SHORT = 30, 2


@dataclass(frozen=True)
class Setup:
    """What is run again and again: a topology, where, and what was laid over it."""

    topology: str
    provider: str
    orchestrator: str
    settings: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, row: Row) -> Setup:
        return cls(row.topology, row.provider, row.orchestrator, tuple(sorted(row.settings.items())))

    @property
    def detail(self) -> str:
        """What tells it from the usual: empty for Swarm on containers with nothing laid over the file."""
        where = (
            () if (self.provider, self.orchestrator) == ("docker", "swarm") else (self.provider, self.orchestrator)
        )
        return ", ".join([*where, *(f"{key}={value}" for key, value in self.settings if not _is_where(key))])


def _is_where(key: str) -> bool:
    return key in ("cluster.provider", "cluster.orchestrator")


@dataclass(frozen=True)
class Seen:
    """One check in one run. `folder` has the run's report."""

    state: State
    night: str
    folder: str
    run: str
    started: str
    reason: str
    series: str
    attempt: int
    figures: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Flaky:
    """`rate` is the share of the last runs with a verdict that did not pass, `low` to `high` its 95 % interval.
    `flakes` counts short stretches between others; `retried` names runs that passed on a later try.
    """

    not_passed: int
    of: int
    low: float
    high: float
    flakes: int
    retried: tuple[str, ...]

    @property
    def rate(self) -> float:
        return self.not_passed / self.of


@dataclass(frozen=True)
class Moved:
    """A figure of a check that drifts; `since` is the first run after the change, `values` in order of time."""

    tested: Tested
    figure: str
    drift: Drift
    since: Seen
    values: tuple[float, ...]

    @property
    def worse(self) -> bool | None:
        """None where a name does not say which way is good."""
        up = self.drift.now > self.drift.before
        if self.figure.endswith(("bit_s", "mib_s", "per_s")):
            return not up
        return up if self.figure.endswith(("_us", "_ms", "_s", "_missed")) else None


@dataclass(frozen=True)
class Tested:
    """A check of a setup over all runs, in order of time."""

    setup: Setup
    check: str
    kind: str
    seen: tuple[Seen, ...]

    @cached_property
    def counts(self) -> Counter[str]:
        return Counter(each.state for each in self.seen)

    @cached_property
    def decided(self) -> list[Seen]:
        """Runs that say something of what was checked."""
        return [each for each in self.seen if each.state in ("pass", "fail", "unknown")]

    @property
    def latest(self) -> Seen:
        return self.seen[-1]

    @property
    def now(self) -> Seen | None:
        """The last run with a verdict: one that broke, or was skipped, changes nothing about it."""
        return self.decided[-1] if self.decided else None

    @cached_property
    def last_good(self) -> Seen | None:
        return next((each for each in reversed(self.decided) if each.state == "pass"), None)

    @cached_property
    def bad_since(self) -> Seen | None:
        """The first run of those at the end that did not pass; None where the last one passed."""
        bad = None
        for each in reversed(self.decided):
            if each.state == "pass":
                break
            bad = each
        return bad

    @cached_property
    def flaky(self) -> Flaky | None:
        last = self.decided[-WINDOW:]
        flakes, retried = _flakes(last), tuple(_retried(last))
        if not flakes and not retried and not _disagree(last):
            return None
        bad = sum(each.state != "pass" for each in last)
        return Flaky(bad, len(last), *interval(bad, len(last)), flakes, retried)

    def by_night(self) -> dict[str, Counter[str]]:
        return {night: Counter(e.state for e in group) for night, group in groupby(self.seen, lambda e: e.night)}


def _flakes(runs: Sequence[Seen]) -> int:
    """Short stretches of one kind (passed, or not) with others before and after."""
    stretches = [len(list(group)) for _, group in groupby(runs, lambda each: each.state == "pass")]
    return sum(length <= SHORT for length in stretches[1:-1])


def _retried(runs: Sequence[Seen]) -> Iterator[str]:
    """Runs that passed where an earlier try of the same series did not."""
    bad = set()
    for each in runs:
        if each.state != "pass":
            bad.add(each.series)
        elif each.series and each.series in bad:
            yield f"{each.run} passed on try {each.attempt}"


def _disagree(runs: Sequence[Seen]) -> bool:
    """Whether runs of one series, asked for at once, ended differently."""
    ends: dict[str, set[bool]] = {}
    for each in runs:
        ends.setdefault(each.series, set()).add(each.state == "pass")
    return any(len(found) > 1 for series, found in ends.items() if series)


@dataclass(frozen=True)
class Record:
    """All of a folder. Checks stand in the order of their topologies' names and, there, of their first run."""

    folder: Folder
    checks: tuple[Tested, ...]
    moved: tuple[Moved, ...] = field(default=())

    @property
    def runs(self) -> list[tuple[str, Row]]:
        return self.folder.runs

    @property
    def left_out(self) -> list[LeftOut]:
        return self.folder.left_out

    @cached_property
    def nights(self) -> dict[str, Counter[str]]:
        """Runs by day (UTC) and verdict, those that broke apart."""
        found: dict[str, Counter[str]] = {}
        for _, row in self.runs:
            found.setdefault(night_of(row), Counter())[run_state(row)] += 1
        return found

    @property
    def failing(self) -> list[Tested]:
        """Checks that fail now and have passed before: since their last good run."""
        return [each for each in self.checks if _is(each, "fail") and each.last_good]

    @property
    def never_passed(self) -> list[Tested]:
        return [each for each in self.checks if _is(each, "fail") and not each.last_good]

    @property
    def unknown(self) -> list[Tested]:
        return [each for each in self.checks if _is(each, "unknown")]

    @property
    def flaky(self) -> list[Tested]:
        found = [each for each in self.checks if each.flaky]
        return sorted(found, key=lambda each: -each.flaky.rate if each.flaky else 0.0)

    @cached_property
    def verdict(self) -> Outcome:
        """The worst of the last run of each setup; unknown where there is none."""
        last = {Setup.of(row): row.verdict for _, row in self.runs}
        return merge(last.values())


def _is(tested: Tested, state: State) -> bool:
    return tested.now is not None and tested.now.state == state


def night_of(row: Row) -> str:
    return row.started.date().isoformat()


def run_state(row: Row) -> State:
    """A run that broke off is kept apart, unless a check of it failed all the same."""
    return "broke" if row.error is not None and row.verdict != "fail" else row.verdict


def worst(counts: Counter[str]) -> str:
    return max(counts, key=lambda state: _RANK[state])


def record(folder: Folder) -> Record:
    """Everything that the runs of `folder` show."""
    seen: dict[Setup, dict[str, list[Seen]]] = {}
    kinds: dict[tuple[Setup, str], str] = {}
    for name, row in folder.runs:
        setup = Setup.of(row)
        known = seen.setdefault(setup, {})
        for check, kind, each in _seen(name, row, known):
            known.setdefault(check, []).append(each)
            kinds[setup, check] = kind or kinds.get((setup, check), "")
    checks = [
        Tested(setup, check, kinds[setup, check], tuple(found))
        for setup, known in seen.items()
        for check, found in known.items()
    ]
    checks.sort(key=lambda each: (each.setup.topology, each.setup.detail))
    return Record(folder, tuple(checks), tuple(_moved(checks)))


def _seen(folder: str, row: Row, known: Iterable[str]) -> Iterator[tuple[str, str, Seen]]:
    """(check, kind, what became of it) for all that the run says something of; a run that broke off says of the
    checks that earlier runs had, and it has not, that they broke.
    """

    def seen(state: State, reason: str, figures: Iterable[tuple[str, float]] = ()) -> Seen:
        started = f"{row.started:%Y-%m-%d %H:%M}"
        return Seen(
            state, night_of(row), folder, row.run, started, reason, row.series, row.attempt, tuple(figures)
        )

    for check in row.checks:
        broke = check.verdict == "unknown" and check.reason.startswith(_BROKE_OFF)
        figures = [*numbers(check.figures), ("took_s", check.duration_s)]
        yield check.id, check.name, seen("broke" if broke else check.verdict, check.reason, figures)
    ran = {check.id for check in row.checks}
    skips = {skip.check: skip.needs for skip in row.skipped if not skip.part and skip.check not in ran}
    for name, needs in skips.items():
        yield name, "", seen("skip", f"needs {needs}")
    for name in [name for name in known if row.error is not None and name not in ran and name not in skips]:
        yield name, "", seen("broke", row.error or "")


def _moved(checks: Iterable[Tested]) -> Iterator[Moved]:
    """Figures of runs in which the check passed or failed: an unknown one measured too little."""
    for tested in checks:
        series: dict[str, list[tuple[Seen, float]]] = {}
        for each in (each for each in tested.decided if each.state != "unknown"):
            for name, value in each.figures:
                series.setdefault(name, []).append((each, value))
        for name, found in series.items():
            values = [value for _, value in found]
            moved = drift(values)
            if moved is not None:
                yield Moved(tested, name, moved, found[moved.since][0], tuple(values))
