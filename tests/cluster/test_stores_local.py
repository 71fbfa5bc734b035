"""File systems of nodes on loop files, for real: not shared, and never left behind."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.cluster_cli import harness, only_run, start
from tests.cluster_traces import Traces

pytestmark = pytest.mark.cluster


@pytest.mark.parametrize("fstype", ["xfs", "ext4"])
def test_a_local_volume_is_not_shared_and_nothing_of_it_is_left(
    traces: Traces, tmp_path: Path, fstype: str
) -> None:
    ended = harness("run", f"volume-local-{fstype}", "--runs-dir", tmp_path)
    assert ended.code == 0, ended.told
    assert "not shared, as a local volume promises" in " ".join(ended.stdout.split())
    assert loops(only_run(tmp_path).name) == []


def test_loop_devices_of_a_killed_run_are_freed_by_down(traces: Traces, tmp_path: Path) -> None:
    process = start("run", "volume-local-xfs", "--runs-dir", tmp_path)
    process.wait_for("is mounted on")
    process.send(signal.SIGKILL)
    process.end()
    run = only_run(tmp_path).name
    assert len(loops(run)) == 3
    ended = harness("down", "--all")
    assert ended.code == 0, ended.told
    assert loops(run) == []


def loops(run: str) -> list[str]:
    """Loop devices of this kernel whose files bear the run's name."""
    files = {path.parent.parent.name: path for path in Path("/sys/block").glob("loop*/loop/backing_file")}
    return [name for name, file in files.items() if f"harness-{run}-" in file.read_text()]
