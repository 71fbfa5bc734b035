"""Trials of a scenario, each on a cluster of its own: the healthy control first, then the bug, N times."""

from __future__ import annotations

import json
import re
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Any, Literal

from harness.model.errors import EnvironmentBroken, Interrupted
from harness.model.topology import Topology
from harness.ports import Progress
from harness.providers.releases import release_of
from harness.reproduce.catalog import Scenario, Versions
from harness.reproduce.predicates import Told, ask
from harness.session import Options, RunResult, run_on
from harness.statistics import interval

Outcome = Literal["reproduced", "not-reproduced", "inconclusive"]
#: What a run on machines may take longer than its scenario says: emulated, they boot for minutes.
MACHINES_S = 1800.0


@dataclass(frozen=True)
class Trial:
    """One run. `settings` is what was laid over the scenario, `words` by what it was told."""

    outcome: Outcome
    words: str
    folder: Path | None
    settings: tuple[tuple[str, str], ...] = ()
    env: Mapping[str, Any] = field(default_factory=dict)
    verdicts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reproduction:
    """What all trials showed. `runs` are those that gave an answer; `why` is for people."""

    id: str
    outcome: Outcome
    why: str
    trials: tuple[Trial, ...]
    control: Trial | None

    @property
    def answers(self) -> list[Trial]:
        return [trial for trial in self.trials if trial.outcome != "inconclusive"]

    @property
    def ran(self) -> list[Trial]:
        return [*([self.control] if self.control else []), *self.trials]

    @property
    def hits(self) -> int:
        return sum(1 for trial in self.trials if trial.outcome == "reproduced")

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson, 95 %; everything where nothing answered."""
        return interval(self.hits, len(self.answers)) if self.answers else (0.0, 1.0)

    def to_json(self) -> dict[str, Any]:
        low, high = self.interval
        return {
            "id": self.id,
            "outcome": self.outcome,
            "runs": len(self.answers),
            "hits": self.hits,
            "interval": [round(low, 4), round(high, 4)],
            "control": self.control.outcome if self.control else "not-run",
        }


def reproduce(
    scenario: Scenario,
    options: Options,
    progress: Progress,
    *,
    repeat: int,
    until_reproduced: bool = False,
    control: bool = True,
    anyway: bool = False,
) -> Reproduction:
    """Run the control once and the scenario `repeat` times, or until it is reproduced.

    A control that is not healthy leaves all of it inconclusive: then the predicates tell nothing apart. An engine
    outside what the thread names is "not affected", which is not reproduced, unless it is tried `anyway`: known
    before anything is made where the harness makes the nodes.
    Raises TopologyError, UsageError, EnvironmentBroken, Interrupted.
    """
    affects = scenario.header.affects
    engine = engine_of(scenario.topology(options.overrides))
    outside = outside_of(affects, [engine] if engine else [])
    if outside and not anyway:
        return Reproduction(scenario.id, "not-reproduced", f"not affected: {outside}", (), None)
    first = _control(scenario, options, progress) if control else None
    if first is not None and first.outcome != "not-reproduced":
        why = f"the healthy control is {first.outcome}: {first.words}"
        return Reproduction(scenario.id, "inconclusive", why, (), first)
    outside = outside or (outside_of(affects, engines_in(first.env)) if first and not engine else "")
    if outside and not anyway:
        return Reproduction(scenario.id, "not-reproduced", f"not affected: {outside}", (), first)
    trials: list[Trial] = []
    for number in range(1, repeat + 1):
        progress(f"{scenario.id}: run {number} of {repeat}")
        trials.append(trial(scenario, (), options, progress))
        progress(f"{scenario.id}: {trials[-1].outcome}: {trials[-1].words}")
        if until_reproduced and trials[-1].outcome == "reproduced":
            break
    return _concluded(scenario.id, tuple(trials), first, outside)


def _control(scenario: Scenario, options: Options, progress: Progress) -> Trial:
    progress(f"{scenario.id}: the healthy control: {scenario.header.control.why}")
    settings = tuple((key, json.dumps(value)) for key, value in scenario.header.control.set.items())
    told = trial(scenario, settings, options, progress)
    progress(f"{scenario.id}: control {told.outcome}: {told.words}")
    return told


def _concluded(name: str, trials: tuple[Trial, ...], control: Trial | None, outside: str) -> Reproduction:
    outcomes = [trial.outcome for trial in trials]
    also = f" (outside what the thread names: {outside})" if outside else ""
    if "reproduced" in outcomes:
        hit = next(trial for trial in trials if trial.outcome == "reproduced")
        return Reproduction(name, "reproduced", hit.words + also, trials, control)
    if "inconclusive" in outcomes or not trials:
        why = next((trial.words for trial in trials if trial.outcome == "inconclusive"), "nothing ran")
        return Reproduction(name, "inconclusive", why, trials, control)
    return Reproduction(name, "not-reproduced", trials[-1].words + also, trials, control)


def trial(scenario: Scenario, settings: Sequence[tuple[str, str]], options: Options, progress: Progress) -> Trial:
    """One run of the scenario on a new cluster, which is gone afterwards. Raises Interrupted."""
    laid = (*options.overrides, *settings)
    topology = scenario.topology(laid)
    with _limited(limit_of(scenario, topology)) as limit:
        try:
            result = run_on(
                None, topology, replace(options, settings=laid, evidence=True, pcap=("*",)), progress, "down"
            )
        except KeyboardInterrupt:
            if not limit.passed:
                raise
            return Trial("inconclusive", limit.words, None, laid)
    if isinstance(result.error, Interrupted):
        if not limit.passed:
            raise result.error
        return Trial("inconclusive", limit.words, result.folder, laid, result.view.env)
    return replace(judge(scenario, result), settings=laid)


def limit_of(scenario: Scenario, topology: Topology) -> float:
    """How long one run may take, from nothing to nothing left."""
    return scenario.header.limit_s + (MACHINES_S if topology.cluster.provider == "vagrant" else 0.0)


def judge(scenario: Scenario, result: RunResult) -> Trial:
    """Sick, well, or neither: both predicates are asked, and must not agree."""
    run, env = result.run, result.view.env
    verdicts = tuple(f"{check.id}: {check.verdict}: {check.reason}" for check in run.checks)
    if result.error is not None:
        words = result.error.message
        return Trial("inconclusive", words, result.folder, env=env, verdicts=verdicts)
    if run.all_skipped and not run.checks:
        words = "skipped: needs " + ", ".join(sorted({skip.needs for skip in run.all_skipped}))
        return Trial("inconclusive", words, result.folder, env=env, verdicts=verdicts)
    unfelt = [fault.name for fault in run.faults if not fault.felt]
    by_id = {check.id: check for check in run.checks}
    sick, well = (
        next(ask(name, params, result.view.history, by_id) for name, params in asked.items())
        for asked in (scenario.header.reproduced_when, scenario.header.healthy_when)
    )
    outcome, words = _told(sick, well)
    if unfelt:
        outcome, words = "inconclusive", f"the fault {unfelt[0]} was not felt; {words}"
    return Trial(outcome, words, result.folder, env=env, verdicts=verdicts)


def _told(sick: Told, well: Told) -> tuple[Outcome, str]:
    if sick.holds is True and well.holds is not True:
        return "reproduced", sick.words
    if well.holds is True and sick.holds is not True:
        return "not-reproduced", well.words
    both = "both sick and well" if sick.holds else "neither sick nor well"
    return "inconclusive", f"{both}: {sick.words}" + (f"; {well.words}" if well.words != sick.words else "")


def engine_of(topology: Topology) -> str:
    """The version of the engine on nodes that the harness makes; empty where it is whatever the hosts have."""
    release = release_of(topology.cluster.engine) if topology.cluster.provider == "docker" else None
    return release.engine if release else ""


def engines_in(env: Mapping[str, Any]) -> list[str]:
    """Versions of the engines that a run met."""
    return sorted({str(node.get("engine", "")) for node in env.get("nodes", {}).values()})


def outside_of(versions: Versions, engines: Sequence[str]) -> str:
    """Why none of the engines is one that the thread names; empty where one is, or nobody knows."""
    known = [engine for engine in engines if _numbers(engine)]
    outside = [engine for engine in known if not _within(engine, versions)]
    if not known or len(outside) < len(known):
        return ""
    return f"engine {', '.join(outside)} is outside {versions.words}"


def _within(engine: str, versions: Versions) -> bool:
    number = _numbers(engine)
    after = versions.first is None or number >= _numbers(versions.first)
    return after and (versions.last is None or number <= _numbers(versions.last))


def _numbers(version: str) -> tuple[int, ...]:
    match = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in match[0].split(".")) if match else ()


@dataclass
class _Limit:
    limit_s: float
    passed: bool = False

    @property
    def words(self) -> str:
        return f"it did not end within {self.limit_s:g} s"


@contextmanager
def _limited(limit_s: float) -> Iterator[_Limit]:
    """Raises KeyboardInterrupt inside after `limit_s`, so that the run puts everything back as after Ctrl-C."""
    limit = _Limit(limit_s)
    if threading.current_thread() is not threading.main_thread():
        raise EnvironmentBroken("a scenario's time limit can be held in the main thread only")

    def over(_number: int, _frame: FrameType | None) -> None:
        limit.passed = True
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, limit_s)
    try:
        yield limit
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
