"""The table of measurements and its place in a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.model.errors import UsageError
from tests.bench.table import BEGIN, END, Goal, Row, replace_between_markers, table


def test_a_row_tells_median_spread_and_a_goal_that_is_met() -> None:
    row = Row("nodes Ready", [5.0, 4.0, 9.123], "s", Goal(6.0, most=True))
    assert row.markdown() == "| nodes Ready | 5 s | 4 to 9.12 (3) | at most 6 s |"


@pytest.mark.parametrize(("goal", "value"), [(Goal(20.0), 19.9), (Goal(6.0, most=True), 6.1)])
def test_a_missed_goal_is_said(goal: Goal, value: float) -> None:
    assert "**missed**" in Row("it", [value], "x", goal).markdown()


@pytest.mark.parametrize("goal", [Goal(20.0), Goal(20.0, most=True)])
def test_a_goal_that_is_just_reached_is_met(goal: Goal) -> None:
    assert "missed" not in Row("it", [20.0], "x", goal).markdown()


def test_a_single_measurement_has_no_spread() -> None:
    assert table([Row("all of it", [1234567.0], "/s")]).splitlines()[2:] == [
        "| all of it | 1,234,567 /s | once |  |"
    ]


def test_only_what_stands_between_the_markers_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "README.md"
    file.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    replace_between_markers(file, "new")
    assert file.read_text() == f"before\n{BEGIN}\nnew\n{END}\nafter\n"


@pytest.mark.parametrize(
    "text",
    ["none", f"{BEGIN} only", f"{END}{BEGIN}", f"{BEGIN}{BEGIN}{END}", f"{BEGIN}{END}{END}", f"{END}{BEGIN}{END}"],
)
def test_a_file_without_one_pair_of_markers_is_refused_and_left_alone(tmp_path: Path, text: str) -> None:
    file = tmp_path / "README.md"
    file.write_text(text)
    with pytest.raises(UsageError, match="each once"):
        replace_between_markers(file, "new")
    assert file.read_text() == text


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="absent"):
        replace_between_markers(tmp_path / "absent.md", "new")
