"""What people read is true: links lead somewhere, verbs and options are there, and what is built has its row."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from harness import faults, workloads
from harness.cli.main import app

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
VERBS: Any = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def links(page: Path) -> Iterator[tuple[str, str]]:
    """Those within the repository: (path, heading), either may be empty."""
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" not in target:
            path, _, heading = target.partition("#")
            yield path, heading


def headings(page: Path) -> set[str]:
    """As GitHub and GitLab call them in links."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for path, heading in links(page):
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), path
        assert not heading or heading in headings(target), f"{path}#{heading}"


def test_there_are_links_to_look_at() -> None:
    assert {("", "verbs"), ("docs/faults.md", "")} <= set(links(ROOT / "README.md"))


def calls() -> list[str]:
    """Every call of a verb that stands between backquotes, in an indented block, or in $(...)."""
    pattern = re.compile(r"(?:`|^    |\()harness ([a-z][^`\n)]*)", re.MULTILINE)
    return sorted({call.strip() for page in PAGES for call in pattern.findall(page.read_text())})


def test_there_are_calls_to_look_at() -> None:
    assert {"init", "run overlay", "fault inject CLUSTER FAULT TARGET..."} <= set(calls())


@pytest.mark.parametrize("call", calls())
def test_every_verb_and_option_is_one_of_this_version(call: str) -> None:
    before, *_ = call.split(" -- ")
    verb: Any = VERBS[before.split()[0]]
    if before.startswith("fault "):
        verb = verb.commands[before.split()[1]]
    known = {option for parameter in verb.params for option in parameter.opts}
    assert set(re.findall(r"(?<=\s)--[a-z-]+", before)) <= known


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "topologies").glob("*.yaml")))
def test_every_topology_has_its_row(name: str) -> None:
    assert f"`{name}`" in (ROOT / "docs" / "topologies.md").read_text()


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "topologies" / "reproduce").glob("*.yaml")))
def test_what_every_scenario_came_to_is_told(name: str) -> None:
    assert f"`{name}`" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("name", sorted(workloads.REGISTRY))
def test_every_check_has_its_row(name: str) -> None:
    assert f"`{name}`" in (ROOT / "docs" / "topologies.md").read_text()


@pytest.mark.parametrize("name", sorted(faults.REGISTRY))
def test_every_fault_has_its_row(name: str) -> None:
    assert f"`{name}`" in (ROOT / "docs" / "faults.md").read_text()


def test_files_stay_as_short_as_contributing_says() -> None:
    most = int(re.findall(r"files stay below (\d+) lines", (ROOT / "CONTRIBUTING.md").read_text())[0])
    lines = {
        path: path.read_text().count("\n")
        for room in ("harness", "tests", "ci")
        for path in ROOT.glob(f"{room}/**/*.py")
    }
    assert len(lines) > 100
    assert {path: count for path, count in lines.items() if count >= most} == {}
