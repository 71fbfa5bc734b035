"""Items: one a check, reporting the verdict of the run of their topology."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from harness import session
from harness.model.errors import HarnessError
from harness.model.verdict import Verdict
from harness.plugin.options import options_of
from harness.plugin.state import state_of


class TopologyFile(pytest.File):
    def collect(self) -> Iterator[pytest.Item]:
        try:
            topology = session.topology_of(self.path, options_of(self.config))
        except HarnessError as error:
            raise self.CollectError(str(error)) from error
        for check in topology.checks:
            yield CheckItem.from_parent(self, name=check.id)


class VerdictError(Exception):
    """A verdict that is not green."""


class CheckItem(pytest.Item):
    def runtest(self) -> None:
        state = state_of(self.config)
        try:
            self._report(state.result_of(self.path, self._selected()))
        except BaseException as error:
            state.outcomes.append("skipped" if isinstance(error, pytest.skip.Exception) else "failed")
            raise
        state.outcomes.append("passed")

    def _selected(self) -> tuple[str, ...]:
        """All items of this file that pytest will run: they share one run."""
        return tuple(
            item.name for item in self.session.items if isinstance(item, CheckItem) and item.path == self.path
        )

    def _report(self, result: session.RunResult) -> None:
        verdict = next((check for check in result.run.checks if check.id == self.name), None)
        skips = [skip for skip in result.run.all_skipped if skip.check == self.name]
        if skips and self.config.getoption("--harness-no-skip"):
            raise VerdictError(f"skipped, and --harness-no-skip is on: needs {', '.join(s.needs for s in skips)}")
        if verdict is None and skips:
            pytest.skip(f"needs {', '.join(skip.needs for skip in skips)}")
        if verdict is None:
            raise VerdictError(f"unknown: the run broke off: {result.run.error or 'this check did not run'}")
        self.add_report_section("call", "harness", f"report: {result.folder / 'report.html'}")
        if verdict.verdict != "pass":
            raise VerdictError(describe(verdict))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, VerdictError):
            return str(excinfo.value)
        if isinstance(excinfo.value, HarnessError):
            hint = f"\nwhat to do: {excinfo.value.hint}" if excinfo.value.hint else ""
            return f"{excinfo.value.message}{hint}"
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Any, None, str]:
        return self.path, None, f"{self.path.name}: {self.name}"


def describe(verdict: Verdict) -> str:
    """The verdict, its reason and its failing pairs."""
    pairs = [f"  {failure}" for failure in verdict.failures[:20]]
    rest = len(verdict.failures) - len(pairs)
    more = [f"  and {rest} more, all in results.json"] if rest > 0 else []
    return "\n".join([f"{verdict.verdict}: {verdict.reason}", *pairs, *more])
