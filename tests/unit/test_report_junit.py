"""junit.xml, as other programs read it."""

from __future__ import annotations

import dataclasses
import xml.etree.ElementTree as ET

from harness.model.run import Run, Tried, run_from_json
from harness.model.verdict import Outcome, Verdict
from harness.report.junit import junit_xml
from tests.report_sample import sample_view

RUN = sample_view().run


def cases(run: Run) -> dict[str, ET.Element]:
    return {case.attrib["name"]: case for case in ET.fromstring(junit_xml(run)).iter("testcase")}


def suite(run: Run) -> ET.Element:
    found = ET.fromstring(junit_xml(run)).find("testsuite")
    assert found is not None
    return found


def test_every_check_is_one_case_of_its_kind() -> None:
    kinds = {name: [child.tag for child in case] for name, case in cases(RUN).items()}
    expected = {"pass": [], "fail": ["failure"], "unknown": ["error"]}
    assert {check.id: expected[check.verdict] for check in RUN.checks}.items() <= kinds.items()


def test_counts_are_those_of_the_cases() -> None:
    counts = {name: int(suite(RUN).attrib[name]) for name in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": 14, "failures": 2, "errors": 1, "skipped": 4}


def test_failing_pairs_stand_in_the_body() -> None:
    failure = cases(RUN)["connectivity"].find("failure")
    assert failure is not None
    body = (failure.text or "").splitlines()
    assert body.count("web.3 -> web.1 via ip (tcp/ipv4): expected ok, got timeout") == 1
    assert len(body) == 1 + len(RUN.checks[0].failures)


def test_long_lists_are_cut_and_say_so() -> None:
    many = dataclasses.replace(RUN.checks[0], failures=RUN.checks[0].failures * 100)
    failure = cases(dataclasses.replace(RUN, checks=(many,)))["connectivity"].find("failure")
    assert failure is not None
    assert (failure.text or "").splitlines()[-1] == "and 1,600 more, all in results.json"


def test_skips_name_the_feature() -> None:
    found = {name: case.find("skipped") for name, case in cases(RUN).items()}
    said = {name: element.attrib["message"] for name, element in found.items() if element is not None}
    assert said == {
        "connectivity/vip": "needs ipvs",
        "connectivity/ingress": "needs ipvs",
        "mtu-encrypted": "needs esp",
        "mtu/ipvlan": "needs ipvlan",
    }


def test_broken_run_is_an_error_case() -> None:
    broken = dataclasses.replace(
        RUN, checks=(), skipped=(), error="the engine died\nits last words", verdict="unknown"
    )
    error = cases(broken)["run"].find("error")
    assert error is not None
    assert error.attrib["message"] == "the engine died"
    assert "its last words" in (error.text or "")


def test_control_characters_do_not_break_the_file() -> None:
    odd = Verdict("a<b>&\"'\x1b[31m", "k", "t", "fail", "bell \x07 and null \x00")
    assert list(cases(dataclasses.replace(RUN, checks=(odd,), skipped=()))) == ["a<b>&\"'\ufffd[31m"]


def test_what_the_environment_broke_is_an_error_of_its_own_and_no_failure() -> None:
    broke = dataclasses.replace(RUN.checks[0], verdict="unknown", reason="broke off: n2 does not answer")
    doubt = dataclasses.replace(RUN.checks[1], verdict="unknown", reason="nothing was measured")
    found = cases(dataclasses.replace(RUN, checks=(broke, doubt)))
    kinds = {name: (case[0].tag, case[0].attrib["type"]) for name, case in found.items() if len(case)}
    assert kinds[broke.id] == ("error", "broke")
    assert kinds[doubt.id] == ("error", "unknown")


def tried(run: str, error: str | None = None, **checks: Outcome) -> Tried:
    return Tried(run, "unknown" if error else "fail", error, dict(checks))


def properties(element: ET.Element) -> dict[str, str]:
    return {each.attrib["name"]: each.attrib["value"] for each in element.findall("properties/property")}


def test_a_check_that_passed_on_a_later_try_says_so_and_is_counted() -> None:
    ids = ("first", "second", "third")
    checks = tuple(Verdict(name, "mtu", "t", "pass", "all well") for name in ids)
    before = (
        tried("r1", first="pass", second="fail", third="pass"),
        tried("r2", error="the engine died", first="pass"),
    )
    run = dataclasses.replace(RUN, checks=checks, skipped=(), attempt=3, tries=before)
    found = cases(run)
    said = {name: case.findtext("system-out") for name, case in found.items()}
    assert said == {
        "first": "passed on try 3; before: pass, pass",
        "second": "passed on try 3; before: fail, broke",
        "third": "passed on try 3; before: pass, broke",
    }
    assert {name: properties(case)["flaky"] for name, case in found.items()} == {
        "first": "no",
        "second": "yes",
        "third": "no",
    }
    assert {"try": "3", "before": "fail, broke", "flaky": "1"}.items() <= properties(suite(run)).items()
    assert all(child.tag in ("properties", "system-out") for case in found.values() for child in case)


def test_a_run_of_one_try_says_nothing_of_tries() -> None:
    assert not any(case.find("system-out") is not None for case in cases(RUN).values())
    assert "try" not in properties(suite(RUN))


def test_tries_come_back_from_results() -> None:
    run = dataclasses.replace(RUN, attempt=2, tries=(tried("r1", mtu="fail"),))
    assert run_from_json(run.to_json()).tries == run.tries
    old = {key: value for key, value in run.to_json().items() if key != "tries"}
    assert run_from_json(old).tries == ()
