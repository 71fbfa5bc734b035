"""A run as Markdown: whole tables, whatever a text holds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from harness.model.run import Tried
from harness.model.verdict import Skip
from harness.report import RunView, markdown
from tests.report_sample import sample_view as sample


def table_rows(text: str, first: str) -> list[str]:
    lines = text.splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith(f"| {first} |"))
    end = next(index for index in range(start, len(lines)) if not lines[index])
    return lines[start:end]


def test_verdicts_promises_and_the_matrix_stand_in_it() -> None:
    view = sample()
    text = markdown(view, Path("runs/x"))
    checks = table_rows(text, "check")
    assert len(checks) == 2 + len(view.run.checks)
    assert text.startswith(f"## {view.run.topology}: ")
    assert "who reached whom" in text
    assert "<details>" in text
    assert text.count("<details>") == text.count("</details>")


def test_no_text_breaks_a_row() -> None:
    view = sample()
    odd = replace(view.run.checks[0], reason="a | b\n<script> c \\| d")
    run = replace(view.run, checks=(odd, *view.run.checks[1:]), skipped=(Skip("a|b", "", "x\ny"),))
    text = markdown(RunView(run, view.plan, view.history, view.env), Path("runs/x"))
    for line in text.splitlines():
        if line.startswith("| "):
            assert line.endswith(" |")
    assert "<script>" not in text
    assert "a \\| b &lt;script>" in text


def test_a_run_that_broke_off_says_so() -> None:
    view = sample()
    run = replace(view.run, error="the engine is gone", checks=())
    text = markdown(RunView(run, view.plan, view.history, view.env), Path("runs/x"))
    assert "**The run broke off:** the engine is gone" in text


def test_a_later_try_says_how_those_before_it_ended() -> None:
    view = sample()
    before = Tried("r1", "unknown", "the engine died")
    run = replace(view.run, attempt=2, tries=(before,))
    assert "**Try 2; before: broke.**" in markdown(replace(view, run=run), Path("runs/x"))
    assert "Try" not in markdown(view, Path("runs/x"))
