"""junit.xml, as other programs read it."""

from __future__ import annotations

import dataclasses
import xml.etree.ElementTree as ET

from harness.model.run import Run
from harness.model.verdict import Verdict
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
