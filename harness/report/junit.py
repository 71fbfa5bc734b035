"""junit.xml: one test case a check. A failed check is a failure, an unknown one an error, so neither is green.

What the environment broke off is an error of the type `broke`, so that nobody takes it for the driver's failure. A
check that passed on a later try says so in its properties and output, and the suite counts such ones as `flaky`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from junitparser import Error, Failure, JUnitXml, Properties, Property, Skipped, SystemOut, TestCase, TestSuite

from harness.model.run import BROKE_OFF, Run, Tried
from harness.model.verdict import Skip, Verdict
from harness.report.text import clean, write_text

_MAX_PAIRS = 1000
_PROPERTIES: Any = Properties


def junit_xml(run: Run) -> str:
    """The document as text. A check that was skipped whole is a skipped case; skipped parts of a check that ran
    are cases of their own, `check/part`.
    """
    suite = TestSuite(clean(run.topology))
    suite.timestamp = clean(run.started)
    for check in run.checks:
        suite.add_testcase(_case(run, check))
    for skip in run.all_skipped:
        suite.add_testcase(_skipped(run, skip))
    if run.error is not None:
        suite.add_testcase(_broken(run, run.error))
    suite.time = run.duration_s
    _describe(suite, run)
    document: Any = JUnitXml("harness")  # the library is typed in part
    document.add_testsuite(suite)
    document.update_statistics()
    text: str = document.tostring().decode("utf-8")
    return text


def write_junit(run: Run, path: Path) -> None:
    """Raises EnvironmentBroken."""
    write_text(path, junit_xml(run))


def _case(run: Run, check: Verdict) -> TestCase:
    case = TestCase(clean(check.id), classname=_class(run, check.name), time=check.duration_s)
    kind = {"fail": Failure, "unknown": Error}.get(check.verdict)
    if kind is not None:
        broke = check.verdict == "unknown" and check.reason.startswith(BROKE_OFF)
        found = kind(clean(check.reason), "broke" if broke else check.verdict)
        found.text = _body(check)
        case.result = [found]
    if run.tries:
        _say_tries(case, run, check)
    return case


def _say_tries(case: Any, run: Run, check: Verdict) -> None:
    """`passed on try 3; before: fail, broke`"""
    before = ", ".join(_before(each, check.id) for each in run.tries)
    ended = {"pass": "passed", "fail": "failed"}.get(check.verdict, check.verdict)
    _properties(case, {"try": run.attempt, "before": before, "flaky": "yes" if run.is_flaky(check) else "no"})
    case.append(SystemOut(clean(f"{ended} on try {run.attempt}; before: {before}")))


def _before(tried: Tried, check: str) -> str:
    """A check that an earlier try never came to is what became of that try."""
    return tried.checks.get(check, tried.ended if tried.error is not None else "not run")


def _body(check: Verdict) -> str:
    pairs = [clean(failure) for failure in check.failures[:_MAX_PAIRS]]
    rest = len(check.failures) - len(pairs)
    more = [f"and {rest:,} more, all in results.json"] if rest else []
    broken = [p for p in check.promises if p.observed == "broken"]
    promises = [
        clean(f"promise {p.name} ({p.expected}): broken, {p.count} of {p.of}: {p.witness}") for p in broken
    ]
    return "\n".join([clean(check.reason), *pairs, *more, *promises])


def _skipped(run: Run, skip: Skip) -> TestCase:
    name = f"{skip.check}/{skip.part}" if skip.part else skip.check
    case = TestCase(clean(name), classname=_class(run, "skipped"), time=0.0)
    case.result = [Skipped(clean(f"needs {skip.needs}"), "skipped")]
    return case


def _broken(run: Run, error: str) -> TestCase:
    case = TestCase("run", classname=_class(run, "run"), time=run.duration_s)
    found = Error(clean(error.partition("\n")[0]), "broken")
    found.text = clean(error)
    case.result = [found]
    return case


def _class(run: Run, kind: str) -> str:
    return clean(f"harness.{run.topology}.{kind}")


def _describe(suite: Any, run: Run) -> None:
    facts = {"run": run.id, "provider": run.provider, "orchestrator": run.orchestrator, "seed": run.seed}
    tries: dict[str, object] = {}
    if run.tries:
        before = ", ".join(each.ended for each in run.tries)
        flaky = sum(run.is_flaky(check) for check in run.checks)
        tries = {"try": run.attempt, "before": before, "flaky": flaky}
    _properties(suite, {**facts, "verdict": run.verdict, **tries})


def _properties(of: Any, named: Mapping[str, object]) -> None:
    properties: Any = _PROPERTIES()
    for name, value in named.items():
        properties.add_property(Property(name, clean(value)))
    of.append(properties)
