"""Names: what they must mean at each phase, and what settles how fast."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.checkers import judge
from harness.model.history import History, Op
from harness.model.plan import NetworkPlan, Target
from harness.model.verdict import Verdict
from tests.checkers_scene import CONTAINERS, TARGETS, look, make_check, make_plan, probe

WEB = "10.1.0.1,10.1.0.2"


def lookup(name: str, value: str, phase: str = "start", at: str = "db", **fields: Any) -> Op:
    return probe("dns", "dns", at, f"{phase}|app|{name}", value, **fields)


def verdict_on(
    rows: list[Op], targets: tuple[Target, ...] = TARGETS, phases: bool = True, driver: str = "overlay"
) -> Verdict:
    scene = look("dns") if phases else []
    networks = tuple(NetworkPlan(name, driver, 1450, True) for name in ("app", "other"))
    return judge(History.of([*scene, *rows]), make_plan(targets=targets, networks=networks), make_check("dns"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tasks.web", WEB),
        ("web", WEB),
        ("www", WEB),
        ("www", WEB + ",10.1.0.77"),
        ("db", "10.1.0.3"),
        ("web.1", "10.1.0.1"),
    ],
)
def test_right_names_pass(name: str, value: str) -> None:
    verdict = verdict_on([lookup(name, value)])
    assert verdict.verdict == "pass", verdict.reason


@pytest.mark.parametrize("name", ["tasks.web", "web"])
@pytest.mark.parametrize("value", ["10.1.0.1", WEB + ",10.1.0.77", "10.1.0.8,10.1.0.9", "nxdomain", "timeout"])
def test_the_names_of_a_service_mean_its_tasks_exactly(name: str, value: str) -> None:
    verdict = verdict_on([lookup(name, value)])
    assert verdict.verdict == "fail"
    assert f"{value} instead of {WEB} on app in phase start" in verdict.reason
    assert verdict.failures[0].source == "db"


@pytest.mark.parametrize(
    ("value", "got"), [("nxdomain", "dns"), ("servfail", "dns"), ("timeout", "timeout"), ("10.9.9.9", "ok")]
)
def test_how_a_name_failed_is_said(value: str, got: str) -> None:
    assert verdict_on([lookup("db", value)]).failures[0].got == got


@pytest.mark.parametrize("value", ["10.1.0.1", "nxdomain"])
def test_an_alias_must_give_at_least_the_tasks(value: str) -> None:
    assert verdict_on([lookup("www", value)]).verdict == "fail"


def stopped(value: str) -> list[Op]:
    """`db` was stopped in the second phase and asked for by web.1."""
    left = {name: place for name, place in CONTAINERS.items() if name != "db"}
    return [
        lookup("web", WEB),
        *look("dns", "stop", left, at_ns=20_000),
        lookup("db", value, "stop", "web.1", start_ns=30_000, end_ns=31_000),
    ]


@pytest.mark.parametrize("value", ["nxdomain", "servfail"])
def test_the_name_of_a_stopped_container_means_nothing(value: str) -> None:
    verdict = verdict_on(stopped(value))
    assert verdict.verdict == "pass", verdict.reason


@pytest.mark.parametrize("value", ["10.1.0.3", "timeout"])
def test_a_stopped_container_that_is_still_named_fails(value: str) -> None:
    verdict = verdict_on(stopped(value))
    assert verdict.verdict == "fail"
    assert f"{value} instead of nxdomain on app in phase stop" in verdict.reason


@pytest.mark.parametrize("driver", ["macvlan", "ipvlan"])
def test_where_nobody_is_reached_further_up_silence_says_nothing_too(driver: str) -> None:
    silent = verdict_on(stopped("timeout"), driver=driver)
    assert silent.verdict == "pass"
    assert silent.figures["settle_stop_s"] == 0.0, "how long a question waited says nothing of the name"
    assert verdict_on(stopped("10.1.0.3"), driver=driver).verdict == "fail"
    alive = verdict_on([lookup("web", "timeout")], driver=driver)
    assert alive.verdict == "fail", "of a name that means something silence is no answer"


def again(*values: str) -> list[Op]:
    """One name asked every second."""
    starts = [(i + 1) * 10**9 for i in range(len(values))]
    return [lookup("web", value, start_ns=at, end_ns=at + 10**6) for at, value in zip(starts, values, strict=True)]


def test_of_repeated_lookups_the_last_counts_and_settling_is_measured() -> None:
    verdict = verdict_on(again("nxdomain", WEB, "10.1.0.1", WEB, WEB))
    assert verdict.verdict == "pass"
    assert verdict.figures == {"settle_max_s": 3.001, "settle_start_s": 3.001}


def test_a_name_that_was_right_once_and_is_wrong_at_the_end_fails() -> None:
    assert verdict_on(again(WEB, WEB, "10.1.0.1")).verdict == "fail"


def test_a_phase_without_a_lookup_is_unknown() -> None:
    verdict = verdict_on([lookup("web", WEB), *look("dns", "scale-up", at_ns=20_000)])
    assert verdict.verdict == "unknown"
    assert "no name was looked up in phase scale-up" in verdict.reason


def test_a_name_without_a_truth_is_unknown() -> None:
    assert verdict_on([lookup("web", WEB)], phases=False).verdict == "unknown"
    verdict = verdict_on([lookup("web", WEB), lookup("stranger", "10.1.0.1")])
    assert verdict.verdict == "unknown"
    assert "nobody knows what stranger means on app" in verdict.reason


def test_a_virtual_ip_is_not_held_against_the_tasks() -> None:
    virtual = tuple(replace(t, endpoint_mode="vip") if t.service == "web" else t for t in TARGETS)
    assert verdict_on([lookup("tasks.web", WEB)], virtual).verdict == "pass"
    assert verdict_on([lookup("web", "10.1.0.100")], virtual).verdict == "unknown"


def test_the_slowest_phase_is_named() -> None:
    later = [
        lookup("web", value, "scale-up", start_ns=at * 10**9, end_ns=at * 10**9 + 1_234_000)
        for at, value in ((10, "nxdomain"), (15, WEB))
    ]
    verdict = verdict_on([*again(WEB), *look("dns", "scale-up", at_ns=20_000), *later])
    assert verdict.figures == {"settle_max_s": 5.001234, "settle_start_s": 0.001, "settle_scale_up_s": 5.001234}
    assert verdict.verdict == "pass"


def test_an_alias_that_two_services_carry_means_the_tasks_of_both() -> None:
    both = tuple(replace(t, networks={"app": ("db", "www")}) if t.service == "db" else t for t in TARGETS)
    assert verdict_on([lookup("www", WEB + ",10.1.0.3")], both).verdict == "pass"
    assert verdict_on([lookup("www", WEB)], both).verdict == "fail"
