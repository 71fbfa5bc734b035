"""What the verbs print: JSON for programs on standard output, words for people, nothing between the two."""

from __future__ import annotations

import io
import json
import os
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness import __version__, session
from harness.cli import main as cli
from harness.cli.output import Progress
from harness.model.places import data_dir
from harness.ports import Result
from tests.fakes import FakeHost
from tests.loader_jsonschema import accepts
from tests.session_fakes import Lab, make_lab, write_topology

Capture = pytest.CaptureFixture[str]
MISTAKES = Path(__file__).parent / "data" / "topologies" / "ten-mistakes.yaml"


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    return make_lab(tmp_path, monkeypatch)


def harness(*arguments: object) -> int:
    return cli.main([str(argument) for argument in arguments])


def printed(capsys: Capture) -> Any:
    """Standard output as JSON: nothing else may stand there."""
    return json.loads(capsys.readouterr().out)


def run(lab: Lab, *arguments: object, **changes: Any) -> int:
    return harness("run", write_topology(lab.folder, **changes), "--runs-dir", lab.folder / "runs", *arguments)


@pytest.mark.parametrize("word", ["version", "--version"])
def test_version_is_the_packages(word: str, capsys: Capture) -> None:
    assert harness(word) == 0
    assert capsys.readouterr().out == f"{__version__}\n"


def test_schema_is_json(capsys: Capture) -> None:
    assert harness("schema") == 0
    assert printed(capsys)["title"] == "Topology"


# --- validate


def test_validate_tells_every_problem_with_its_place(capsys: Capture) -> None:
    assert harness("validate", MISTAKES, "--json") == 64
    problems = printed(capsys)["problems"]
    assert len(problems) >= 10
    assert {tuple(problem) for problem in problems} == {("file", "line", "column", "key", "message", "nearest")}
    near = {problem["key"]: problem["nearest"] for problem in problems}
    assert near["networks.app.driver"] == "overlay"
    lines = MISTAKES.read_text().splitlines()
    assert all(0 < problem["line"] <= len(lines) for problem in problems)


def test_validate_tells_people_one_line_a_problem_and_how_many(capsys: Capture) -> None:
    assert harness("validate", MISTAKES) == 64
    told = capsys.readouterr()
    assert told.out == ""
    assert f"{MISTAKES}:2:" in told.err or f"{MISTAKES}:3:" in told.err
    assert "problems; nothing was made" in told.err


def test_validate_goes_on_to_the_next_file(tmp_path: Path, capsys: Capture) -> None:
    right = write_topology(tmp_path)
    assert harness("validate", MISTAKES, right) == 64
    assert capsys.readouterr().out == f"{right}: ok\n"
    assert harness("validate", right, "--json") == 0
    assert printed(capsys) == {"problems": []}


def test_validate_reads_scenarios_of_known_bugs_too(tmp_path: Path, capsys: Capture) -> None:
    scenario = data_dir("topologies") / "reproduce" / "wrong-mount.yaml"
    assert harness("validate", scenario) == 0
    assert capsys.readouterr().out == f"{scenario}: ok\n"
    broken = tmp_path / "broken.yaml"
    broken.write_text(scenario.read_text().replace("healthy_when", "healthy_wen"))
    assert harness("validate", broken, "--json") == 64
    keys = {problem["key"] for problem in printed(capsys)["problems"]}
    assert "healthy_wen" in keys
    assert "reproduced_when" not in keys


# --- plan


def test_plan_shows_steps_and_changes_nothing(lab: Lab, capsys: Capture) -> None:
    topology = write_topology(lab.folder)
    assert harness("plan", topology, "--seed", 1) == 0
    shown = capsys.readouterr().out
    assert "docker network create" in shown
    assert "stack.yaml" in shown
    assert lab.events == []


def test_plan_as_json_is_the_same_twice(lab: Lab, capsys: Capture) -> None:
    topology = write_topology(lab.folder)
    plans = []
    for _ in range(2):
        assert harness("plan", topology, "--seed", 1, "--json") == 0
        plans.append(printed(capsys))
    assert plans[0] == plans[1]
    assert (plans[0]["schema"], plans[0]["seed"]) == (1, 1)


# --- run and check


def test_run_as_json_is_results_json_alone(lab: Lab, capsys: Capture) -> None:
    assert run(lab, "--json") == 0
    told = printed(capsys)
    schema = json.loads((files("harness") / "schema" / "results.schema.json").read_text())
    assert accepts(schema, told)
    assert told == json.loads((lab.folder / "runs" / "latest" / "results.json").read_text())


def test_run_tells_people_the_verdict_and_where_the_report_is(lab: Lab, capsys: Capture) -> None:
    assert run(lab) == 0
    told = capsys.readouterr()
    assert "report.html" in told.out
    assert "pass" in told.out.lower()
    assert "making harness-" in told.err


def test_a_kept_cluster_is_told_with_how_to_go_on(lab: Lab, capsys: Capture) -> None:
    assert run(lab, "--keep") == 0
    name = lab.provider.clusters()[0].name
    told = capsys.readouterr().err
    assert f"harness down {name}" in told
    assert f"harness shell {name} n1" in told


def test_check_as_json_has_verdict_checker_operations_and_witness(lab: Lab, capsys: Capture) -> None:
    lab.network.largest = 1400
    assert run(lab) == 1
    capsys.readouterr()
    assert harness("check", lab.folder / "runs" / "latest", "--json") == 1
    told = printed(capsys)
    assert set(told) == {"verdict", "checker", "operations", "witness"}
    assert told["verdict"] == "fail"
    assert told["checker"] == ["mtu", "latency"]
    assert told["operations"] > 0
    assert "1450" in told["witness"]


def test_check_takes_one_check_alone(lab: Lab, capsys: Capture) -> None:
    assert run(lab) == 0
    capsys.readouterr()
    assert harness("check", lab.folder / "runs" / "latest", "--only", "latency", "--json") == 0
    assert printed(capsys)["checker"] == ["latency"]
    assert harness("check", lab.folder / "runs" / "latest", "--only", "nonsense") == 64


# --- clusters


def test_up_prints_the_clusters_name_alone(lab: Lab, capsys: Capture) -> None:
    assert harness("up", write_topology(lab.folder)) == 0
    [info] = lab.provider.clusters()
    assert capsys.readouterr().out == f"{info.name}\n"


def test_list_as_json(lab: Lab, capsys: Capture) -> None:
    assert harness("list", "--json") == 0
    assert printed(capsys) == {"clusters": []}
    harness("up", write_topology(lab.folder))
    capsys.readouterr()
    assert harness("list", "--json") == 0
    [info] = lab.provider.clusters()
    assert printed(capsys) == {
        "clusters": [
            {"name": info.name, "run": info.run, "provider": "docker", "nodes": 3, "since": "2026-01-01T00:00:00Z"}
        ]
    }


def test_list_for_people(lab: Lab, capsys: Capture) -> None:
    assert harness("list") == 0
    assert capsys.readouterr().out == "no clusters\n"
    harness("up", write_topology(lab.folder))
    name = capsys.readouterr().out.strip()
    assert harness("list") == 0
    assert name in capsys.readouterr().out


def test_down_says_what_it_removed(lab: Lab, capsys: Capture) -> None:
    harness("up", write_topology(lab.folder))
    name = capsys.readouterr().out.strip()
    assert harness("down", name) == 0
    assert capsys.readouterr().out == f"removed cluster {name}\n"
    assert harness("down", name) == 64
    assert harness("down", "--all") == 0
    assert capsys.readouterr().out == "nothing was there\n"


def test_heal_of_all_and_of_one(lab: Lab, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "heal", lambda name: ["thawed n2"] if name == "harness-a" else [])
    assert harness("heal", "harness-a", "harness-b") == 0
    assert capsys.readouterr().out == "harness-a: thawed n2\nharness-b: no fault was in force\n"
    assert harness("heal") == 0
    assert capsys.readouterr().out == ""


# --- exec and shell


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    host = FakeHost(answers={(): Result(7, "out\n", "err\n")})
    monkeypatch.setattr(session, "host_of", lambda _cluster, _node: host)
    return host


@pytest.mark.parametrize("dashes", [["--"], []])
def test_exec_passes_output_and_code_on(host: FakeHost, capsys: Capture, dashes: list[str]) -> None:
    assert harness("exec", "c", "n1", *dashes, "ls", "-l", "--all") == 7
    assert host.ran == [("ls", "-l", "--all")]
    told = capsys.readouterr()
    assert (told.out, told.err) == ("out\n", "err\n")


def test_exec_keeps_dashes_of_the_command(host: FakeHost) -> None:
    harness("exec", "c", "n1", "--", "sh", "-c", "set -- a", "--", "b")
    assert host.ran == [("sh", "-c", "set -- a", "--", "b")]


def test_exec_without_a_command_is_64(host: FakeHost) -> None:
    assert harness("exec", "c", "n1", "--") == 64
    assert host.ran == []


def test_a_shell_without_a_terminal_is_64_and_says_what_does(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr(session, "shell_argv", lambda *_arguments: ["true"])
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert harness("shell", "c", "n1") == 64
    assert "harness exec c n1 -- COMMAND" in capsys.readouterr().err


def test_a_shell_hands_the_terminal_over(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    started: list[tuple[str, list[str]]] = []
    monkeypatch.setattr(session, "shell_argv", lambda *asked: ["docker", *map(str, asked)])
    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr(os, "execvp", lambda program, argv: started.append((program, argv)))
    harness("shell", "c", "n1", "--container", "web")
    assert started == [("docker", ["docker", "c", "n1", "web"])]


# --- progress


def test_progress_is_plain_lines_where_there_is_no_terminal() -> None:
    out = io.StringIO()
    with Progress(Console(file=out, soft_wrap=True, highlight=False)) as progress:
        progress("making [n1]")
        progress("")
    assert [line.split("s  ", 1)[1] for line in out.getvalue().splitlines()] == ["making [n1]", ""]


def test_progress_on_a_terminal_shows_every_line_too() -> None:
    out = io.StringIO()
    with Progress(Console(file=out, soft_wrap=True, force_terminal=True, color_system=None)) as progress:
        progress("making [n1]")
        progress("")
    assert "making [n1]" in out.getvalue()
