"""ci/test.sh: a cluster test that failed is tried once more and called flaky; a real failure stays one."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "ci" / "test.sh"

#: Passes where a file of its name is there; `flaky` makes its own.
TESTS = """
import pathlib, pytest

@pytest.mark.cluster
{machines}
@pytest.mark.parametrize("name", {names})
def test_of(name):
    held = pathlib.Path(name).exists()
    if name == "flaky": pathlib.Path(name).touch()
    assert held
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("ci", "tests/cluster", "tests/contract"):
        (tmp_path / name).mkdir(parents=True)
    shutil.copy(SCRIPT, tmp_path / "ci")
    (tmp_path / "ci" / "verify.sh").write_text("exit 0\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n  cluster\n  nightly\n  vm\n")
    (tmp_path / "sound").touch()
    on_machines(tmp_path, "sound")
    return tmp_path


def on_machines(folder: Path, *names: str) -> None:
    """The tests that need machines with a kernel of their own."""
    text = TESTS.format(names=list(names), machines="@pytest.mark.vm")
    (folder / "tests" / "cluster" / "test_machines.py").write_text(text)


def run(folder: Path, *names: str, files: tuple[str, ...] = ("it",)) -> subprocess.CompletedProcess[str]:
    for file in files:
        (folder / "tests" / "cluster" / f"test_{file}.py").write_text(TESTS.format(names=list(names), machines=""))
    words = ["bash", "ci/test.sh", str(Path(sys.executable).parent)]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, timeout=120)


def test_all_that_pass_are_tried_once(folder: Path) -> None:
    done = run(folder, "sound")
    assert done.returncode == 0
    assert "tried once more" not in done.stdout


def test_what_passes_on_the_second_try_is_called_flaky(folder: Path) -> None:
    done = run(folder, "sound", "flaky")
    assert done.returncode == 0
    assert "FLAKY, passed on try 2: tests/cluster/test_it.py::test_of[flaky]" in done.stdout


def test_what_fails_twice_fails(folder: Path) -> None:
    done = run(folder, "flaky", "broken thing")
    assert done.returncode == 1
    assert "FLAKY, passed on try 2: tests/cluster/test_it.py::test_of[flaky]" in done.stdout
    assert "try 2: tests/cluster/test_it.py::test_of[broken thing]" not in done.stdout


def test_failures_of_one_cluster_are_one_accident(folder: Path) -> None:
    done = run(folder, "flaky", "b", "c", "d")
    assert done.returncode == 1
    assert "tried once more, alone: what failed, in 1 files" in done.stdout
    assert "FLAKY, passed on try 2: tests/cluster/test_it.py::test_of[flaky]" in done.stdout


def test_failures_in_many_files_are_no_accident(folder: Path) -> None:
    done = run(folder, "broken", files=("a", "b", "c", "d"))
    assert done.returncode == 1
    assert "tried once more" not in done.stdout


def test_machines_come_after_the_others_and_are_tried_once_more_as_well(folder: Path) -> None:
    on_machines(folder, "flaky", "broken")
    done = run(folder, "sound")
    assert done.returncode == 1
    assert "FLAKY, passed on try 2: tests/cluster/test_machines.py::test_of[flaky]" in done.stdout
    assert "try 2: tests/cluster/test_machines.py::test_of[broken]" not in done.stdout
    assert done.stdout.index("== real clusters") < done.stdout.index("== machines")


def test_a_part_that_selects_nothing_is_no_pass(folder: Path) -> None:
    (folder / "tests" / "cluster" / "test_machines.py").unlink()
    assert run(folder, "sound").returncode == 1


def test_a_failure_of_verify_stays_one(folder: Path) -> None:
    (folder / "ci" / "verify.sh").write_text("exit 1\n")
    assert run(folder, "sound").returncode == 1
