"""What users copy into their CI: it parses, says what this version understands, and keeps its artifacts."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from harness.cli.main import app

CI = Path(__file__).resolve().parents[2] / "ci"
GITHUB = (CI / "github" / "harness.yml", CI / "github" / "action.yml")
GITLAB = CI / "gitlab" / "harness.gitlab-ci.yml"


def read(path: Path) -> Any:
    """YAML 1.1 reads the key `on` as true."""
    return yaml.safe_load(path.read_text().replace("\non:", "\n'on':"))


def scripts() -> list[str]:
    """Every line of shell in all of them."""
    steps = read(GITHUB[1])["runs"]["steps"]
    job = read(GITLAB)["harness"]
    return [
        *(line for step in steps for line in step.get("run", "").splitlines()),
        *(line for part in ("before_script", "script", "after_script") for line in job[part]),
    ]


def harness_calls() -> list[list[str]]:
    calls = [re.split(r"\s(?:\|\||>>|&&)\s", match[0])[0] for line in scripts() for match in
             [re.search(r"harness (?:run|report|down|doctor).*", line)] if match]  # fmt: skip
    return [shlex.split(call)[1:] for call in calls]


def test_there_are_calls_to_look_at() -> None:
    assert {call[0] for call in harness_calls()} == {"run", "report", "down", "doctor"}


@pytest.mark.parametrize("call", harness_calls(), ids=" ".join)
def test_every_option_is_one_of_this_version(call: list[str]) -> None:
    group = typer.main.get_command(app)
    verb = group.commands[call[0]]  # type: ignore[attr-defined]
    known = {option for parameter in verb.params for option in parameter.opts}
    options = {word for word in call[1:] if word.startswith("--")}
    assert options <= known


def test_the_record_over_nights_is_kept_from_one_to_the_next_whatever_the_verdict() -> None:
    steps = [step for step in read(GITHUB[1])["runs"]["steps"] if "record" in json.dumps(step)]
    restore, show, save = steps[:3]
    assert [step["if"] for step in (restore, show, save)] == ["always()"] * 3
    assert restore["with"]["path"] == save["with"]["path"]
    assert save["with"]["key"].startswith(restore["with"]["restore-keys"])
    job = read(GITLAB)["harness"]
    [kept] = [cache for cache in job["cache"] if cache["key"] == "harness-record"]
    assert kept["when"] == "always"
    assert any(line.startswith("ci/record.sh runs harness-record") for line in job["after_script"])


@pytest.fixture
def nights(tmp_path: Path) -> Path:
    """A folder of runs, with the link that leads to the last one, and a harness that says what it was asked."""
    for number in range(3):
        folder = tmp_path / "runs" / f"2026010{number + 1}-000000-aaaaaa"
        (folder / "logs").mkdir(parents=True)
        (folder / "results.json").write_text("{}")
        (folder / "report.html").write_text("report")
    (tmp_path / "runs" / "latest").symlink_to("20260103-000000-aaaaaa")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "harness").write_text('#!/bin/sh\necho "$@"; exit "${CODE:-0}"\n')
    (tmp_path / "bin" / "harness").chmod(0o755)
    return tmp_path


def recorded(nights: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    env = {"PATH": f"{nights / 'bin'}:{os.environ['PATH']}", "CODE": str(code)}
    argv = [str(CI / "record.sh"), "runs", "record"]
    return subprocess.run(argv, cwd=nights, env=env, capture_output=True, text=True, timeout=60, check=False)


def test_results_and_reports_of_every_run_are_added_once_and_the_oldest_leave(nights: Path) -> None:
    for number in range(299):
        (nights / "record" / f"20250101-{number:06d}-aaaaaa").mkdir(parents=True)
    told = recorded(nights)
    assert (told.returncode, told.stdout) == (0, "record record\n"), told.stderr
    kept = sorted(path.name for path in (nights / "record").iterdir())
    assert len(kept) == 300
    assert kept[0] == "20250101-000002-aaaaaa"
    assert {path.name for path in (nights / "record" / kept[-1]).iterdir()} == {"results.json", "report.html"}


@pytest.mark.parametrize(("code", "ends"), [(1, 0), (2, 0), (70, 1), (64, 1)])
def test_what_runs_came_to_is_no_error_of_the_record_and_what_breaks_is(
    nights: Path, code: int, ends: int
) -> None:
    assert recorded(nights, code).returncode == ends


def test_a_nightly_run_and_one_by_hand_with_a_topology() -> None:
    workflow = read(GITHUB[0])
    assert workflow["on"]["schedule"][0]["cron"]
    assert "topologies" in workflow["on"]["workflow_dispatch"]["inputs"]
    rules = [rule["if"] for rule in read(GITLAB)["harness"]["rules"]]
    assert any("schedule" in rule for rule in rules)


def test_topologies_that_are_named_are_there() -> None:
    text = "".join(path.read_text() for path in (*GITHUB, GITLAB))
    for name in set(re.findall(r"topologies/[a-z-]+\.yaml", text)):
        assert (CI.parent / name).exists(), name


def test_artifacts_are_kept_and_everything_is_removed_whatever_the_verdict() -> None:
    steps = {step.get("name", ""): step for step in read(GITHUB[1])["runs"]["steps"]}
    for name in ("Summary", "Clean up", "Artifact"):
        assert steps[name]["if"] == "always()"
    assert "upload-artifact" in steps["Artifact"]["uses"]
    assert "GITHUB_STEP_SUMMARY" in steps["Summary"]["run"]
    job = read(GITLAB)["harness"]
    assert job["artifacts"]["when"] == "always"
    assert job["artifacts"]["reports"]["junit"]
    assert "harness down --all" in job["after_script"]


def test_the_workflow_uses_the_action_beside_it() -> None:
    steps = read(GITHUB[0])["jobs"]["check"]["steps"]
    used = next(step for step in steps if step["uses"] == "./ci/github")
    assert set(used["with"]) <= set(read(GITHUB[1])["inputs"])
