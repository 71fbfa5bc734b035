"""The harness's own engine, short of starting one: who may, what is missing, who uses it, whom it ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.model.errors import EnvironmentBroken, UsageError
from harness.model.places import STATE_VARIABLE, engine_dir, run_dir, state_name
from harness.providers import machine, own_engine
from harness.providers.engine import Engine
from harness.providers.own_engine import OwnEngine
from tests.providers_engine import script


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Everything of the engine below the test's own folder; programs of this machine that act are fakes there."""
    monkeypatch.setattr(own_engine, "run_dir", lambda: tmp_path / "run")
    monkeypatch.setattr(own_engine, "engine_dir", lambda: tmp_path / "cache")
    monkeypatch.setattr(own_engine, "state_name", lambda: "harness-unit-test-of-nothing")
    for program in ("ip", "nsenter", "unshare", "mount", "umount"):
        script(tmp_path / "bin" / program, f"echo {program} \"$@\" >>'{tmp_path}/calls'")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    (tmp_path / "cache").mkdir()
    return tmp_path


def engine() -> OwnEngine:
    return OwnEngine(lambda _progress: Path("/nowhere/root"))


def quiet(_line: str) -> None:
    pass


def calls(folder: Path) -> str:
    log = folder / "calls"
    return log.read_text() if log.exists() else ""


@contextlib.contextmanager
def sleeper(*argv: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(argv or ("sleep", "60"))
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def in_another_process(folder: Path, code: str) -> Iterator[None]:
    """`code` runs with `path`, the run folder, says `ready`, and keeps what it holds until the block ends."""
    program = f"import fcntl, os, sys\npath = sys.argv[1]\n{code}\nprint('ready', flush=True)\nsys.stdin.read()\n"
    other = subprocess.Popen(
        [sys.executable, "-c", program, str(folder / "run")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert other.stdin
    assert other.stdout
    try:
        assert other.stdout.readline() == b"ready\n"
        yield
    finally:
        other.stdin.close()
        other.wait(30)
        other.stdout.close()


# --- names


def test_engines_of_different_words_have_nothing_in_common(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(STATE_VARIABLE, raising=False)
    plain = (state_name(), run_dir(), engine_dir())
    monkeypatch.setenv(STATE_VARIABLE, "ci-2")
    other = (state_name(), run_dir(), engine_dir())
    assert plain[0] == "harness"
    assert other[:2] == ("harness-ci-2", Path("/run/harness-ci-2"))
    assert not set(plain) & set(other)


@pytest.mark.parametrize("word", ["A", "a b", "../x", "x" * 21])
def test_a_word_that_is_no_part_of_a_name_is_refused(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STATE_VARIABLE, word)
    with pytest.raises(UsageError, match=STATE_VARIABLE):
        state_name()


# --- what the machine must give


def test_without_root_nothing_is_started_and_both_ways_out_are_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(EnvironmentBroken, match="needs root") as refused:
        engine().start(quiet)
    assert "run the harness as root" in str(refused.value.hint)
    assert not (folder / "run").exists()


def test_missing_programs_are_named_by_the_line_that_installs_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    for program in ("ip", "unshare"):
        (folder / "bin" / program).unlink()
    monkeypatch.setenv("PATH", str(folder / "bin"))
    with pytest.raises(EnvironmentBroken, match="programs are missing") as refused:
        engine().start(quiet)
    assert refused.value.hint == "apt-get install iproute2 util-linux"
    assert calls(folder) == ""


def test_a_namespace_with_a_default_route_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    script(folder / "bin" / "ip", "echo default via 192.0.2.1 dev eth0")
    answering = Engine("unix:///nowhere", ("docker",), own=True, version="26")
    monkeypatch.setattr(OwnEngine, "running", lambda _self: answering)
    with pytest.raises(EnvironmentBroken, match="default route: test traffic could leak"):
        engine().start(quiet)


def test_an_engine_that_answers_is_taken_and_not_started_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    answering = Engine("unix:///nowhere", ("docker",), own=True, version="26")
    monkeypatch.setattr(OwnEngine, "running", lambda _self: answering)
    lines: list[str] = []
    assert engine().start(lines.append) is answering
    assert lines == []
    assert calls(folder) == "ip -n harness-unit-test-of-nothing-engine route show default\n"
    engine()._guard.drop_lease()


# --- lock and lease


def test_a_lock_that_another_process_holds_for_too_long_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(machine, "LOCK_TIMEOUT_S", 0.1)
    (folder / "run").mkdir()
    hold = "f = open(path + '/lock', 'w')\nfcntl.flock(f, fcntl.LOCK_EX)"
    with (
        in_another_process(folder, hold),
        pytest.raises(EnvironmentBroken, match="another process of the harness has held the engine's lock"),
    ):
        engine().start(quiet)


def test_a_lock_is_free_again_when_its_holder_is_gone(folder: Path) -> None:
    (folder / "run").mkdir()
    with in_another_process(folder, "f = open(path + '/lock', 'w')\nfcntl.flock(f, fcntl.LOCK_EX)"):
        pass
    with engine()._guard.locked():
        held = os.open(folder / "run" / "lock", os.O_RDWR)
        with pytest.raises(BlockingIOError):
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(held)


def test_an_engine_that_another_process_uses_is_not_stopped(folder: Path) -> None:
    """A lease is shared: two processes hold it at once, and the last one to go stops the engine."""
    (folder / "run" / "engine").mkdir(parents=True)
    mine = engine()
    mine._guard.take_lease()
    with in_another_process(folder, "f = open(path + '/users', 'w')\nfcntl.flock(f, fcntl.LOCK_SH)"):
        assert mine.stop_if_unused(lambda _engine: False) is False
        assert mine.left
    assert mine.stop_if_unused(lambda _engine: False) is True
    assert not mine.left


def test_a_lease_is_the_processes_and_not_the_objects(folder: Path) -> None:
    (folder / "run" / "engine").mkdir(parents=True)
    engine()._guard.take_lease()
    assert engine()._guard.others_use_it()
    assert engine().stop_if_unused(lambda _engine: False) is True


def test_an_engine_with_a_cluster_is_not_stopped(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "run" / "engine").mkdir(parents=True)
    answering = Engine("unix:///nowhere", ("docker",), own=True, version="26")
    monkeypatch.setattr(OwnEngine, "running", lambda _self: answering)
    asked: list[Engine] = []

    def is_used(found: Engine) -> bool:
        asked.append(found)
        return True

    assert engine().stop_if_unused(is_used) is False
    assert asked == [answering]


def test_where_there_is_none_stopping_is_done_and_makes_nothing(folder: Path) -> None:
    assert engine().left is False
    assert engine().stop_if_unused(lambda _engine: True) is True
    assert not (folder / "run").exists()


@pytest.mark.parametrize("whole", [True, False])
def test_a_namespace_whose_root_went_with_the_cache_is_made_anew(
    folder: Path, monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    keeper = folder / "run" / "engine" / "mnt"
    keeper.parent.mkdir(parents=True)
    keeper.touch()
    script(folder / "bin" / "nsenter", f"exit {0 if whole else 127}")
    roots: list[Path | None] = []

    def make(_self: OwnEngine, root: Path | None) -> None:
        roots.append(root)
        raise EnvironmentBroken("far enough")

    monkeypatch.setattr(OwnEngine, "_make", make)
    with pytest.raises(EnvironmentBroken, match="far enough"):
        engine().start(quiet)
    assert roots == [None if whole else Path("/nowhere/root")]
    assert keeper.exists() is whole
    engine()._guard.drop_lease()


# --- processes


def write_pid(folder: Path, pid: int, started: str) -> None:
    (folder / "run" / "engine").mkdir(parents=True, exist_ok=True)
    (folder / "run" / "engine" / "pid").write_text(f"{pid} {started}\n")


def test_a_process_that_only_has_the_engines_number_is_not_ended(folder: Path) -> None:
    with sleeper() as stranger:
        write_pid(folder, stranger.pid, "1")
        assert engine().stop_if_unused(lambda _engine: False) is True
        assert stranger.poll() is None


def test_the_engines_process_is_ended(folder: Path) -> None:
    with sleeper() as ours:
        write_pid(folder, ours.pid, str(machine.start_time(ours.pid)))
        assert engine().stop_if_unused(lambda _engine: False) is True
        assert ours.wait(30) == -signal.SIGTERM


@pytest.mark.parametrize("text", ["", "x y", "12", "1 2 3"])
def test_a_pid_file_that_makes_no_sense_names_nobody(folder: Path, text: str) -> None:
    write_pid(folder, 0, "")
    (folder / "run" / "engine" / "pid").write_text(text)
    assert engine()._pid() is None


def test_a_zombie_is_no_engine(folder: Path) -> None:
    with sleeper("true") as ended:
        started = machine.start_time(ended.pid)
        os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
        assert machine.start_time(ended.pid) is None
        write_pid(folder, ended.pid, str(started))
        assert engine()._pid() is None


def test_an_engine_that_does_not_come_up_is_told_with_the_end_of_its_log(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    script(folder / "bin" / "nsenter", "i=0; while [ $i -lt 40 ]; do i=$((i+1)); echo line $i; done; exit 1")
    made: list[str] = []

    def make(self: OwnEngine, _progress: Any) -> None:
        (folder / "run" / "engine" / "run").mkdir(parents=True)
        made.append(str(self.log))

    monkeypatch.setattr(OwnEngine, "_make_namespaces", make)
    script(folder / "bin" / "env", 'shift 3; exec "$@"')
    with pytest.raises(
        EnvironmentBroken, match=r"did not start; the end of .*engine\.log:\n(.|\n)*line 40"
    ) as broken:
        engine().start(quiet)
    assert "line 25\n" not in broken.value.message
    assert made == [str(folder / "cache" / "engine.log")]
    engine()._guard.drop_lease()
