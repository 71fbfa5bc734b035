"""Exit codes, and what a person sees: no stack trace for a mistake, all of it for a defect."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness import session
from harness.cli import main as cli
from harness.cli.interrupts import GIVE_UP_AFTER, Interrupts
from harness.model.errors import (
    ChannelLost,
    CommandFailed,
    DeadlineExceeded,
    EnvironmentBroken,
    HarnessError,
    Incomplete,
    Interrupted,
    Problem,
    TopologyError,
    Unreachable,
    UsageError,
)
from harness.model.verdict import EXIT
from harness.ports import ClusterInfo, Survey
from tests.session_fakes import Lab, make_lab, write_topology

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    return make_lab(tmp_path, monkeypatch)


def harness(*arguments: object) -> int:
    return cli.main([str(argument) for argument in arguments])


def run(lab: Lab, *arguments: object, changes: dict[str, Any] | None = None) -> int:
    topology = write_topology(lab.folder, **(changes or {}))
    return harness("run", topology, "--runs-dir", lab.folder / "runs", *arguments)


def raising(error: BaseException) -> Any:
    def call(*_arguments: object, **_options: object) -> None:
        raise error

    return call


ERRORS: list[tuple[BaseException, int]] = [
    (UsageError("wrong", hint="do it right"), 64),
    (TopologyError([Problem("x.yaml", 3, 5, "networks.app", "wrong")]), 64),
    (EnvironmentBroken("wrong", hint="do it right"), 70),
    (CommandFailed(["docker", "ps"], 125, "wrong", where="n1"), 70),
    (DeadlineExceeded("wrong"), 70),
    (ChannelLost("wrong"), 70),
    (HarnessError("wrong"), 70),
    (Interrupted("wrong"), 130),
    (KeyboardInterrupt(), 130),
]


@pytest.mark.parametrize(("error", "code"), ERRORS, ids=lambda value: type(value).__name__)
def test_every_error_has_its_code_and_no_stack_trace(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr(session, "survey", raising(error))
    assert harness("list") == code
    told = capsys.readouterr()
    assert "Traceback" not in told.err
    assert isinstance(error, KeyboardInterrupt) or "wrong" in told.err
    assert told.out == ""
    if isinstance(error, HarnessError) and error.hint:
        assert "what to do: do it right" in told.err


def test_a_commands_failure_can_be_run_again_from_what_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr(session, "survey", raising(CommandFailed(["docker", "ps", "a b"], 125, "no", where="n1")))
    harness("list")
    assert "on n1: `docker ps 'a b'` ended with 125\nno" in capsys.readouterr().err


def test_a_host_that_does_not_answer_hides_no_other_cluster_from_the_list(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    info = ClusterInfo("harness-r1", "r1", "existing", 2, "2026-01-01T00:00:00Z", "small")
    seen = Survey((info,), (Unreachable("n2 cannot be reached (admin@10.0.0.6:22): no route", hint="is it up?"),))
    monkeypatch.setattr(session, "survey", lambda: seen)

    assert harness("list") == 70
    told = capsys.readouterr()
    assert "harness-r1" in told.out
    assert "n2 cannot be reached" in told.err
    assert "is it up?" in told.err

    assert harness("list", "--json") == 70
    [listed] = json.loads(capsys.readouterr().out)["clusters"]
    assert set(listed) == {"name", "run", "provider", "nodes", "since"}


def test_what_was_removed_is_told_although_something_is_left(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    left = Incomplete([Unreachable("n2 cannot be reached")], ["container web.1 on n1"])
    monkeypatch.setattr(session, "down_all", raising(left))

    assert harness("down", "--all") == 70
    told = capsys.readouterr()
    assert told.out == "removed container web.1 on n1\n"
    assert "n2 cannot be reached" in told.err


def test_markup_in_an_error_is_shown_as_it_is(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setattr(session, "survey", raising(UsageError("[bold] and [/nonsense]")))
    assert harness("list") == 64
    assert "[bold] and [/nonsense]" in capsys.readouterr().err


def test_a_defect_is_70_with_its_traceback_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr(session, "survey", raising(ZeroDivisionError("a defect")))
    assert harness("list") == 70
    told = capsys.readouterr().err
    assert "Traceback" in told
    assert "ZeroDivisionError: a defect" in told
    assert "harness down --all" in told


@pytest.mark.parametrize(
    "arguments",
    [
        ["--nonsense"],
        ["run", "--nonsense", "x.yaml"],
        ["nonsense"],
        ["run"],
        ["validate"],
        ["run", "x.yaml", "--seed", "many"],
        ["run", "x.yaml", "--seed", "-1"],
        ["list", "extra"],
        ["exec", "c"],
        ["down"],
        ["down", "c", "--all"],
        ["check"],
    ],
    ids=" ".join,
)
def test_what_the_command_line_does_not_understand_is_64_and_says_why(
    arguments: list[str], lab: Lab, capsys: Capture
) -> None:
    assert harness(*arguments) == 64
    told = capsys.readouterr()
    assert "rror" in told.err
    assert "Traceback" not in told.err
    assert lab.events == []


@pytest.mark.parametrize(
    "arguments", [["--help"], ["run", "--help"], ["version"], ["schema"], ["promises"]], ids=" ".join
)
def test_help_and_version_are_0(arguments: list[str], capsys: Capture) -> None:
    assert harness(*arguments) == 0
    assert capsys.readouterr().out.strip()


@pytest.mark.parametrize(
    "verb",
    [
        ["list"],
        ["exec", "r1", "n1", "true"],
        ["shell", "r1", "n1"],
        ["heal"],
        ["down", "--all"],
        ["collect", "r1"],
        ["fault", "inject", "r1", "pause", "n2"],
        ["fault", "heal", "r1"],
    ],
    ids=lambda verb: " ".join(verb[:2]),
)
def test_every_verb_about_clusters_looks_at_those_that_exist_where_it_is_told(
    verb: list[str], lab: Lab, capsys: Capture
) -> None:
    hosts = lab.folder / "no-hosts.yaml"
    words = 2 if verb[0] == "fault" else 1
    assert harness(*verb[:words], "--inventory", hosts, *verb[words:]) == 64
    assert f"{hosts}:1:1: cannot be read: No such file or directory" in capsys.readouterr().err
    assert lab.events == []


# --- verdicts


@pytest.mark.parametrize(("verdict", "code"), [("pass", 0), ("fail", 1), ("unknown", 2)])
def test_a_verdict_is_the_exit_code_of_run_and_of_check(
    lab: Lab, verdict: str, code: int, capsys: Capture
) -> None:
    if verdict == "fail":
        lab.network.largest = 1400
    if verdict == "unknown":
        lab.network.raises["rtt"] = ChannelLost("n2 is gone")
    assert run(lab) == code
    assert harness("check", lab.folder / "runs" / "latest") == code
    assert harness("report", lab.folder / "runs" / "latest") == 0
    assert EXIT[verdict] == code  # type: ignore[index]
    assert "Traceback" not in capsys.readouterr().err


def test_what_breaks_is_70_and_the_report_is_there(lab: Lab, capsys: Capture) -> None:
    lab.orchestrator.raises["join"] = EnvironmentBroken("n2 does not join", hint="look at n2")
    assert run(lab) == 70
    told = capsys.readouterr().err
    assert "n2 does not join" in told
    assert "what to do: look at n2" in told
    assert (lab.folder / "runs" / "latest" / "report.html").exists()


def test_an_interrupt_is_130_with_how_to_judge_what_there_is(lab: Lab, capsys: Capture) -> None:
    lab.network.raises["rtt"] = KeyboardInterrupt()
    assert run(lab) == 130
    assert "harness check" in capsys.readouterr().err


def test_the_worst_of_several_topologies_is_the_code_and_an_interrupt_ends_them(lab: Lab) -> None:
    second = lab.folder / "second.yaml"
    second.write_text(write_topology(lab.folder, name="second").read_text())
    lab.network.raises["rtt"] = ChannelLost("n2 is gone")
    assert run(lab, second) == 2
    lab.network.raises["rtt"] = KeyboardInterrupt()
    lab.events.clear()
    assert run(lab, second) == 130
    assert sum(event.startswith("up ") for event in lab.events) == 1


def test_a_mistake_in_the_last_topology_is_told_before_the_first_is_run(lab: Lab) -> None:
    broken = lab.folder / "broken.yaml"
    broken.write_text("name: Broken\n")
    assert run(lab, broken) == 64
    assert lab.events == []


# --- settings


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("cluster", "--set takes KEY=VALUE"),
        ("=1", "--set takes KEY=VALUE"),
        ("cluster.nodes.wroker=4", "did you mean 'worker'"),
        ("cluster.nodes.worker=many", "worker"),
        ("cluster.provider=kind", "say orchestrator: kubernetes"),
        ("cluster={provider: vagrant, orchestrator: kubernetes}", "vagrant has no Kubernetes"),
    ],
)
def test_a_setting_that_is_wrong_is_64_and_says_what(lab: Lab, capsys: Capture, setting: str, says: str) -> None:
    assert run(lab, "--set", setting) == 64
    assert says in capsys.readouterr().err
    assert lab.events == []


def test_a_setting_is_laid_over_the_file(lab: Lab) -> None:
    assert harness("up", write_topology(lab.folder), "--set", "cluster.nodes.worker=1") == 0
    assert [info.nodes for info in lab.provider.clusters()] == [2]


# --- the process itself


def start(*arguments: str, **options: Any) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "harness.cli.main", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


@pytest.mark.parametrize(("verb", "code"), [(["schema"], 0), (["version"], 0), (["validate", "/nowhere"], 64)])
def test_a_reader_that_goes_away_changes_no_code(verb: list[str], code: int) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as nobody:
        process = subprocess.run(
            [sys.executable, "-m", "harness.cli.main", *verb],
            check=False,
            stdout=nobody,
            stderr=nobody,
            timeout=60,
        )
    assert process.returncode == code


def test_the_code_leaves_the_process(tmp_path: Path) -> None:
    process = start("validate", str(tmp_path / "nowhere.yaml"))
    _, told = process.communicate(timeout=60)
    assert process.returncode == 64
    assert b"nowhere.yaml" in told
    assert b"Traceback" not in told


def test_the_first_signal_interrupts_and_the_last_gives_up(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    gone: list[int] = []
    monkeypatch.setattr(os, "_exit", gone.append)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        Interrupts().install()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        for _ in range(GIVE_UP_AFTER - 1):
            signal.raise_signal(signal.SIGINT)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert gone == [130]
    assert "once more gives up" in capsys.readouterr().err


# --- again -----------------------------------------------------------------------------------------------


def test_what_passed_on_a_later_try_says_so(lab: Lab, capsys: Capture) -> None:
    lab.orchestrator.raises["apply"] = EnvironmentBroken("no room")
    assert run(lab, "--retries", 2) == 0
    assert "lab: passed on try 2, flaky; before: broke" in capsys.readouterr().err


def test_a_repeated_run_has_the_worst_code_and_a_count(lab: Lab, capsys: Capture) -> None:
    lab.orchestrator.raises["apply"] = EnvironmentBroken("no room")
    assert run(lab, "--repeat", 3) == 70
    assert "lab: 2 of 3 runs passed; not: " in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [("--until-fail",), ("--repeat", 2, "--retries", 2), ("--pause-on-fail",), ("--repeat", 0)]
)
def test_what_contradicts_itself_is_refused(lab: Lab, arguments: tuple[Any, ...]) -> None:
    assert run(lab, *arguments) == 64
    assert lab.events == []
