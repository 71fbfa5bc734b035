"""What the plugin keeps while a session goes on: runs of topologies, live clusters of own tests."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.plugin.options import options_of

if TYPE_CHECKING:
    from harness.session import Bench, RunResult


class State:
    key = pytest.StashKey["State"]()

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._runs: dict[Path, RunResult] = {}
        self._benches: dict[Path, Bench] = {}
        self.outcomes: list[str] = []

    # --- items

    def result_of(self, path: Path, checks: tuple[str, ...]) -> RunResult:
        """The run of a topology with the selected checks; made when it is first asked for."""
        if path not in self._runs:
            from dataclasses import replace  # noqa: PLC0415

            from harness import session  # noqa: PLC0415

            chosen = replace(options_of(self._config), only=checks)
            self._runs[path] = session.run(path, chosen, _say)
        return self._runs[path]

    @property
    def all_skipped(self) -> bool:
        return bool(self.outcomes) and set(self.outcomes) == {"skipped"}

    def closing_lines(self) -> list[str]:
        lines = [f"{result.run.verdict}: {result.folder / 'report.html'}" for result in self._runs.values()]
        lines += [f"{result.cluster} is kept" for result in self._runs.values() if result.cluster]
        if self.all_skipped:
            lines.append("every check was skipped: nothing was shown, so this session failed")
        return lines

    # --- live clusters

    def bench_of(self, path: Path) -> Bench:
        """The live cluster of a topology; made when it is first asked for."""
        if path not in self._benches:
            from harness import session  # noqa: PLC0415

            chosen = options_of(self._config)
            plan = session.make_plan(session.topology_of(path, chosen), chosen, run=session.new_run())
            live = session.up(plan, _say, snapshots=chosen.reuse)
            folder = Path(tempfile.mkdtemp(prefix="harness-"))
            self._benches[path] = session.Bench(live, folder, _say).__enter__()
        return self._benches[path]

    def remake(self, path: Path) -> None:
        """Remove a cluster; the next test that wants it gets a new one."""
        from harness import session  # noqa: PLC0415

        session.down(self._leave(path).live.cluster.name)

    def close(self) -> None:
        for path in list(self._benches):
            if self._config.getoption("--harness-keep"):
                self._leave(path)
            else:
                self.remake(path)

    def _leave(self, path: Path) -> Bench:
        """The cluster stays; agents end, and the history of what tests asked goes."""
        bench = self._benches.pop(path)
        bench.__exit__(None, None, None)
        shutil.rmtree(bench.folder, ignore_errors=True)
        return bench


def state_of(config: pytest.Config) -> State:
    return config.stash[State.key]


def _say(line: str) -> None:
    """Progress goes where pytest captures it: shown with -s, or with a failure."""
    print(line, file=sys.stderr)
