"""`harness run` more than once, and held where something did not pass."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Annotated

import typer

from harness import session
from harness.cli.output import errors
from harness.model.errors import HarnessError, UsageError
from harness.model.run import Run

Repeat = Annotated[int, typer.Option("--repeat", min=1, max=10_000, help="Run each topology so often.")]
UntilFail = Annotated[
    bool, typer.Option("--until-fail", help="With --repeat: end at the first that does not pass.")
]
Retries = Annotated[
    int, typer.Option("--retries", min=0, max=100, help="Run again what did not pass; it counts as flaky.")
]
PauseOnFail = Annotated[
    bool, typer.Option("--pause-on-fail", help="Hold after a check that did not pass, with shells on its nodes.")
]


def chosen(repeat: int, *, until_fail: bool, retries: int) -> session.Again:
    """Raises UsageError for what contradicts itself."""
    if until_fail and repeat == 1:
        raise UsageError("--until-fail goes with --repeat N: the most runs there may be")
    if retries and repeat > 1:
        raise UsageError(
            "--repeat and --retries are two things: so often in any case, or again where it did not pass"
        )
    return session.Again(repeat, until_fail, retries)


def told(ran: Sequence[Run], again: session.Again) -> Iterator[str]:
    """How often what was run again passed; nothing where it was run once."""
    for _, group in groupby([run for run in ran if run.series], key=lambda run: run.series):
        runs = list(group)
        passed = [run for run in runs if run.error is None and run.verdict == "pass"]
        if again.retries:
            yield _told_of_tries(runs, passed)
        else:
            others = [f"{run.id} ({_ended(run)})" for run in runs if run not in passed]
            rest = f"; not: {', '.join(others[:8])}{' ...' if len(others) > 8 else ''}" if others else ""
            yield f"{runs[0].topology}: {len(passed)} of {len(runs)} runs passed{rest}"


def _told_of_tries(runs: Sequence[Run], passed: Sequence[Run]) -> str:
    name, last = runs[0].topology, runs[-1]
    if not passed:
        return f"{name}: did not pass in {len(runs)} tries: {', '.join(_ended(run) for run in runs)}"
    if len(runs) == 1:
        return f"{name}: passed on the first try"
    before = ", ".join(_ended(run) for run in runs[:-1])
    return f"{name}: passed on try {last.attempt}, flaky; before: {before}"


def _ended(run: Run) -> str:
    return "broke" if run.error is not None else run.verdict


def pausing(wanted: bool) -> Callable[[session.Paused], None] | None:
    """Raises UsageError where nobody could answer."""
    if not wanted:
        return None
    if not sys.stdin.isatty():
        raise UsageError(
            "--pause-on-fail needs a terminal", hint="--keep leaves the cluster up: `harness shell CLUSTER n1`"
        )
    return _pause


def _pause(paused: session.Paused) -> None:
    errors.print(f"{paused.check}: {paused.verdict}: {paused.reason}", markup=False)
    errors.print(f"{paused.cluster} is held as the check left it, its faults healed")
    while True:
        try:
            answer = input("a node, or a node and a container, for a shell; nothing to go on: ").split()
        except EOFError:
            return
        if not answer:
            return
        _shell(paused.cluster, answer[0], answer[1] if len(answer) > 1 else None)


def _shell(cluster: str, node: str, container: str | None) -> None:
    """Without a deadline: somebody sits there. Ctrl-C is the shell's."""
    try:
        argv = session.shell_argv(cluster, node, container)
    except HarnessError as error:
        errors.print(f"{error.message}{f' ({error.hint})' if error.hint else ''}", markup=False)
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        subprocess.run(argv, check=False)
    finally:
        signal.signal(signal.SIGINT, before)
