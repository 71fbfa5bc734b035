"""Runs the programs of a load on all agents at once and hands their rows to the journal."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from harness.model.errors import ChannelLost, DeadlineExceeded, EnvironmentBroken
from harness.ports import Assignment, Load
from harness.runner._journal import Journal
from harness.runner._seams import AgentLike, Batch, Clock, JobLike
from harness.runner._watch import Watch

#: How long a program that is told to stop early may take to hand over what it has.
DRAIN_S = 10.0
#: Lists among a program's parameters whose items say where in a container they work.
FILED = ("writers", "workers", "readers", "looks", "puts", "gets")
_TOLD = 2
_HANGS = "the volume does not answer there: do its servers run, and can that host reach them?"

Rows = list[Batch]


@dataclass
class _Running:
    assignment: Assignment
    job: JobLike
    done: bool = False


class LoadRunner:
    """Runs loads of one check, one at a time."""

    def __init__(
        self,
        agents: Mapping[str, AgentLike],
        journal: Journal,
        clock: Clock,
        *,
        fails: Callable[[list[Batch]], bool] | None = None,
        downed: Collection[str] = (),
    ) -> None:
        """`fails` takes new batches of rows, and says whether the check fails by now: then the load ends early.
        `downed` are, at any time, hosts that a fault took down: what ran there has ended, and that is no error.
        """
        self._fails = fails
        self._downed = downed
        self._agents = agents
        self._journal = journal
        self._clock = clock

    def run(
        self,
        load: Load,
        during: Callable[[float], None] | None = None,
        *,
        tail_s: float = 0.0,
        into: Rows | None = None,
    ) -> None:
        """Run `load` to its end; `during` (the faults) is called with its start in the clock's seconds, and the
        load goes on for `tail_s` after it.

        Rows go to the journal, and to `into` where it is given. Raises ChannelLost, after a `lost` row, where an
        agent is gone; EnvironmentBroken where an agent says that a program failed, or the history cannot be
        written. Whatever happens, no program that runs until stopped is left running on an agent that answers.
        """
        running: list[_Running] = []
        try:
            for assignment in load.assignments:
                running.append(_Running(assignment, self._open(assignment, into)))
            self._hold_watched(load, running, during, tail_s)
            self._collect(running)
        finally:
            self._drain([entry for entry in running if not entry.done])
        self._journal.raise_if_broken()

    def everywhere(
        self, method: str, params: Mapping[str, Any], *, timeout_s: float
    ) -> dict[str, EnvironmentBroken]:
        """Call `method` on every agent; the errors of those on which it failed."""
        failed: dict[str, EnvironmentBroken] = {}
        jobs = {}
        for host, agent in self._agents.items():
            try:
                jobs[host] = agent.open(method, params, partial(self._journal.batch, host))
            except EnvironmentBroken as error:
                failed[host] = error
        for host, job in jobs.items():
            try:
                job.wait(timeout_s)
            except EnvironmentBroken as error:
                failed[host] = error
        return failed

    def _open(self, assignment: Assignment, into: Rows | None) -> JobLike:
        host, program = assignment.host, assignment.program

        def on_batch(batch: Batch) -> None:
            self._journal.batch(host, batch)
            if into is not None:
                into.append({**batch, "host": host})

        grant = partial(self._journal.reserve, host, program.params)
        try:
            return self._agents[host].open(program.method, program.params, on_batch, grant)
        except ChannelLost as error:
            self._journal.lost(host, error.message)
            raise

    def _hold_watched(
        self, load: Load, running: Sequence[_Running], during: Callable[[float], None] | None, tail_s: float
    ) -> None:
        endless = [entry for entry in running if entry.assignment.program.until_stopped]
        fails = self._fails
        if fails is None or not endless:
            self._hold(load, during, tail_s, self._clock.sleep)
            return
        with Watch(lambda: fails(self._journal.news()), partial(_stop, endless)) as watch:
            self._hold(load, during, tail_s, watch.wait)

    def _hold(
        self, load: Load, during: Callable[[float], None] | None, tail_s: float, sleep: Callable[[float], None]
    ) -> None:
        """Faults run to their end, so that they are healed; `sleep` may be cut short."""
        start_s = self._clock.now_s()
        if during:
            during(start_s)
            sleep(tail_s)
        if any(assignment.program.until_stopped for assignment in load.assignments):
            sleep(max(0.0, start_s + load.hold_s - self._clock.now_s()))

    def _collect(self, running: Sequence[_Running]) -> None:
        """Wait for all of them, each by its own deadline. When all have been asked the first error is raised, or,
        where all that went wrong is that programs are late, one that names every host and what it was at.
        """
        errors: list[EnvironmentBroken] = []
        late: list[str] = []
        _stop([entry for entry in running if entry.assignment.program.until_stopped])
        start_s = self._clock.now_s()
        for entry in running:
            deadline_s = start_s + entry.assignment.program.timeout_s
            try:
                entry.job.wait(max(0.1, deadline_s - self._clock.now_s()))
                entry.done = True
            except EnvironmentBroken as error:
                if self._went_down(entry, error):
                    entry.done = True
                    continue
                self._note(entry, error)
                errors.append(error)
                late += [_late(entry.assignment)] if isinstance(error, DeadlineExceeded) else []
        if errors and len(late) == len(errors):
            raise DeadlineExceeded("; ".join(late), hint=_hint(running))
        if errors:
            raise errors[0]

    def _went_down(self, entry: _Running, error: EnvironmentBroken) -> bool:
        """Its reservations stand in the history: what it may have done is indeterminate."""
        return isinstance(error, ChannelLost) and entry.assignment.host in self._downed

    def _note(self, entry: _Running, error: EnvironmentBroken) -> None:
        """A program that is late goes on; one whose agent is gone stands in the history."""
        entry.done = not isinstance(error, DeadlineExceeded)
        if isinstance(error, ChannelLost):
            self._journal.lost(entry.assignment.host, error.message)

    def _drain(self, left: Sequence[_Running]) -> None:
        """Stop what was cut short. The error that did so is under way; what comes of stopping is not raised."""
        _stop(left)
        for entry in left:
            if entry.assignment.program.until_stopped:
                with suppress(EnvironmentBroken):
                    entry.job.wait(DRAIN_S)


def _files(assignment: Assignment) -> list[str]:
    """The files and folders of containers that a program works on; at most two are told."""
    params = assignment.program.params
    items = [item for name in FILED for item in params.get(name, ())]
    found = sorted({f"{item['path']} in {item['at']}" for item in items if "path" in item and "at" in item})
    return found if len(found) <= _TOLD else [*found[:_TOLD], f"{len(found) - _TOLD} more"]


def _late(assignment: Assignment) -> str:
    """By the program's own deadline: what is left of it when others were waited for says nothing."""
    host, program = assignment.host, assignment.program
    late = f"on {host}: the agent's {program.method} did not end within {program.timeout_s:g} s"
    found = _files(assignment)
    return f"{late} (it was at {', '.join(found)})" if found else late


def _hint(running: Sequence[_Running]) -> str | None:
    return _HANGS if any(_files(entry.assignment) for entry in running if not entry.done) else None


def _stop(running: Sequence[_Running]) -> None:
    """An agent that cannot be told is found out by waiting for it."""
    for entry in running:
        with suppress(ChannelLost):
            entry.job.stop()
