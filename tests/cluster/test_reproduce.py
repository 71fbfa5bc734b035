"""Scenarios for real: what is reproduced here is, its healthy control is not, and the evidence can be pasted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.providers.releases import RELEASES, Release
from harness.reproduce import Listed, catalog, listed
from tests.cluster_cli import HARNESS, Process

TIMEOUT_S = 900.0
#: Bugs that are in every engine, or limits by design: they show each time.
CERTAIN = ["wrong-mount", "macvlan-host"]
#: All others: what they answer is a finding, that they answer is the test.
OTHERS = sorted(set(catalog()) - set(CERTAIN))


def runnable(name: str) -> Listed:
    found = next(row for row in listed() if row.scenario.id == name)
    if found.misses:
        pytest.skip(f"needs {', '.join(found.misses)}")
    return found


@pytest.mark.parametrize("name", CERTAIN)
def test_what_is_in_every_engine_is_reproduced_and_its_control_is_not(name: str, tmp_path: Path) -> None:
    runnable(name)
    ended = Process([*HARNESS, "reproduce", name, "--json", "--runs-dir", str(tmp_path)]).end(TIMEOUT_S)

    assert ended.code == 1, ended.told
    told = json.loads(ended.stdout)
    assert (told["outcome"], told["runs"], told["hits"], told["control"]) == ("reproduced", 1, 1, "not-reproduced")
    [bundle] = tmp_path.glob(f"*-{name}.md")
    text = bundle.read_text()
    assert "**reproduced**" in text
    assert "SWMTKN-1" not in text
    assert "engine 2" in text  # its version
    run = (tmp_path / "latest").resolve()
    assert "eth0" in (run / "evidence" / "n1" / "links.txt").read_text()
    networks = json.loads((run / "plan.json").read_text())["topology"]["networks"]
    assert all((run / "evidence" / "n1" / f"{name}.packets.txt").exists() for name in networks)


@pytest.mark.nightly
@pytest.mark.parametrize("name", OTHERS)
def test_every_scenario_that_can_run_here_answers(name: str, tmp_path: Path) -> None:
    found = runnable(name)
    argv = [*HARNESS, "reproduce", name, "--json", "--runs-dir", str(tmp_path)]
    ended = Process(argv).end(3 * found.scenario.header.limit_s)

    assert ended.code in (0, 1), ended.told
    assert json.loads(ended.stdout)["control"] == "not-reproduced"


@pytest.mark.nightly
@pytest.mark.parametrize("release", RELEASES, ids=lambda each: each.suite)
def test_what_every_engine_does_is_reproduced_on_each_that_nodes_can_have(
    release: Release, tmp_path: Path
) -> None:
    """`docker rename` of a running container never reaches the resolver; the evidence names the engine."""
    argv = [*HARNESS, "reproduce", "rename-resolver", "--json", "--runs-dir", str(tmp_path)]
    ended = Process([*argv, "--set", f"cluster.engine={release.engine}"]).end(2 * TIMEOUT_S)
    assert ended.code == 1, ended.told
    assert json.loads(ended.stdout)["control"] == "not-reproduced"
    [bundle] = tmp_path.glob("*-rename-resolver.md")
    assert f"engine {release.engine}" in bundle.read_text()
