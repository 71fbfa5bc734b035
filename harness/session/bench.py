"""Single checks on a cluster that is up: what tests of one's own stand on."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from pydantic import ValidationError

from harness import checkers, faults, workloads
from harness.model.errors import UsageError
from harness.model.topology import Check, Fault
from harness.model.verdict import Verdict
from harness.ports import Progress
from harness.runner import measured_clocks, run_checks
from harness.session.clusters import Live, agents_of, revive
from harness.session.folder import RunFolder
from harness.transport.recorder import LINES, Recorder, read_history


class Bench:
    """Runs checks one by one on a live cluster and judges each; their history is recorded as in a run.

    Use as a context manager: agents start with it and end with it.
    """

    def __init__(self, live: Live, folder: Path, progress: Progress) -> None:
        self.live = live
        self._folder = RunFolder(folder)
        self._progress = progress
        self._stack = ExitStack()
        self._count = 0

    def __enter__(self) -> Bench:
        self._recorder = Recorder(self._folder.path / LINES)
        self._stack.callback(self._recorder.close)
        self._agents = self._stack.enter_context(agents_of(self.live.cluster.hosts))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def folder(self) -> Path:
        """Where the history of all checks stands, as in a run's folder."""
        return self._folder.path

    def check(self, kind: str, *, inject: Sequence[Fault] = (), **params: Any) -> Verdict:
        """Run one check with these parameters and judge it. `inject`: faults during it.

        Raises UsageError for an unknown kind or parameter, and what stopped the check.
        """
        self._count += 1
        check = _check(f"{kind}-{self._count}", kind, params, inject)
        plan = dataclasses.replace(self.live.plan, checks=(check,))
        with ExitStack() as stack:
            if not self.live.cluster.shared_clock:
                stack.enter_context(measured_clocks(self._agents, self._recorder))
            done = run_checks(
                self.live.cluster,
                plan,
                self.live.orchestrator,
                faults=faults.REGISTRY,
                agents=self._agents,
                recorder=self._recorder,
                progress=self._progress,
                revive=partial(revive, self._agents, self.live.cluster.hosts),
            )
        if done[0].error is not None:
            raise done[0].error
        self._recorder.flush()
        return checkers.judge(read_history(self._folder.path), plan, check)

    def problems(self) -> list[str]:
        """What of the cluster is not as it must be; empty when it is healthy."""
        return list(self.live.orchestrator.state(self.live.cluster, self.live.plan).complaints)


def _check(name: str, kind: str, params: dict[str, Any], inject: Sequence[Fault]) -> Check:
    if kind not in workloads.REGISTRY:
        raise UsageError(f"no check is called {kind!r}; there are {', '.join(sorted(workloads.REGISTRY))}")
    try:
        full = workloads.REGISTRY[kind].params.model_validate(params).model_dump(mode="json")
    except ValidationError as error:
        raise UsageError(f"check {kind}: {error}") from error
    return Check(kind=kind, id=name, params=full, faults=list(inject))
