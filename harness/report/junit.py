"""junit.xml: one test case a check. A failed check is a failure, an unknown one an error, so neither is green."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from junitparser import Error, Failure, JUnitXml, Properties, Property, Skipped, TestCase, TestSuite

from harness.model.run import Run
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
        found = kind(clean(check.reason), check.verdict)
        found.text = _body(check)
        case.result = [found]
    return case


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
    properties: Any = _PROPERTIES()
    for name, value in {**facts, "verdict": run.verdict}.items():
        properties.add_property(Property(name, clean(value)))
    suite.append(properties)
