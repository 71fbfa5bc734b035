"""The summary on a terminal: nothing lost without colour or width."""

from __future__ import annotations

import dataclasses
import io

import pytest
from rich.console import Console

from harness.model.history import History
from harness.model.run import Run, Tried
from harness.model.verdict import Failure, Verdict
from harness.report import RunView, print_run
from harness.report.text import headline
from tests.report_sample import sample_view

VIEW = sample_view()
FOLDER = "runs/overlay-7f3a"


def printed(view: RunView = VIEW, width: int = 80, *, colour: bool = False) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=colour, color_system="truecolor" if colour else None)
    print_run(view, console, FOLDER)
    return out.getvalue()


def only(verdict: Verdict) -> RunView:
    run = dataclasses.replace(VIEW.run, checks=(verdict,), skipped=(), faults=(), verdict=verdict.verdict)
    return dataclasses.replace(VIEW, run=run, history=History.of([]))


@pytest.mark.parametrize("width", [1, 20, 40, 80, 120])
def test_nothing_is_lost_at_any_width(width: int) -> None:
    squeezed = "".join(printed(width=width).split())
    for said in (
        "FAIL",
        "UNKNOWN",
        "partition",
        "and6more",
        "append-loses-nothing",
        "broken771of1,157",
        "harnessrun",
    ):
        assert said in squeezed


@pytest.mark.parametrize("width", [40, 80, 120])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    lines = [
        line
        for line in printed(width=width).splitlines()
        if not line.startswith(("report ", "again ", "re-judge "))
    ]
    assert [line for line in lines if len(line) > width] == []


def test_plain_output_has_no_escape_sequence_and_colour_adds_no_word() -> None:
    assert "\x1b" not in printed()
    assert "\x1b[" in printed(colour=True)


def test_matrix_names_the_class_by_protocol() -> None:
    lines = printed(width=120).splitlines()
    row = next(line for line in lines if line.startswith("edge.n3 ") and "timeout" in line)
    assert row.split()[1:3] == ["tcp", "timeout"]
    assert any("shut" in line for line in lines)


def test_pairs_are_capped() -> None:
    assert printed(width=200).count("expected ok, got") == 20
    assert "and 6 more, all in results.json" in printed()


def test_a_pair_that_fails_by_all_its_protocols_shows_the_class_alone() -> None:
    failed = tuple(Failure("a", "b", "ip", protocol, 4, "ok", "refused") for protocol in ("icmp", "tcp", "udp"))
    view = only(Verdict("mesh", "connectivity", "all", "fail", "", failures=failed))
    assert "refused" in printed(view)
    assert "tcp refused" not in printed(view).split("failing pairs")[0]


def test_what_was_skipped_names_the_feature() -> None:
    assert "connectivity, part vip: needs ipvs" in printed()


def test_last_lines_say_how_to_see_it_again() -> None:
    last = printed().splitlines()[-3:]
    assert last == [
        f"report    {FOLDER}/report.html",
        f"again     harness run {FOLDER}/topology.yaml --seed 20240917",
        f"re-judge  harness check {FOLDER}",
    ]


def test_fault_that_was_not_felt_is_said() -> None:
    faults = (dataclasses.replace(VIEW.run.faults[0], felt=False, healed=False),)
    view = dataclasses.replace(VIEW, run=dataclasses.replace(VIEW.run, faults=faults))
    assert "NOT FELT, NOT HEALED" in printed(view)


def test_names_are_shown_as_they_are() -> None:
    text = printed(only(Verdict("[red]a[/red]", "k", "t", "pass", "evil \x1b[2J and [bold]text[/bold]")))
    assert "[red]a[/red]" in text
    assert "[bold]text[/bold]" in text
    assert "\x1b" not in text


def test_empty_run() -> None:
    run = dataclasses.replace(VIEW.run, checks=(), skipped=(), faults=(), verdict="unknown")
    assert "UNKNOWN: No check ran" in printed(dataclasses.replace(VIEW, run=run, history=History.of([])))


def test_a_later_try_says_how_those_before_it_ended_and_what_is_flaky() -> None:
    checks = (Verdict("a", "mtu", "", "pass", "well"), Verdict("b", "mtu", "", "pass", "well"))
    before = (
        Tried("r1", "fail", None, {"a": "pass", "b": "fail"}),
        Tried("r2", "unknown", "the engine died"),
    )
    run = Run("r3", "lab", "docker", "swarm", 1, "pass", None, "", 1.0, checks, attempt=3, tries=before)
    assert headline(run) == "All 2 checks passed. Try 3; before: fail and broke. Flaky: b."
