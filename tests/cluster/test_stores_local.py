"""File systems of nodes on loop files, for real: not shared, and never left behind."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from harness import faults
from tests.cluster_bench import TIMEOUT_S, live_bench
from tests.cluster_cli import harness, only_run, start
from tests.cluster_traces import Traces

pytestmark = pytest.mark.cluster

BACK_WITHIN_S = 120.0


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


@pytest.mark.nightly
def test_a_node_that_is_off_keeps_no_other_from_its_room_and_has_its_own_when_it_starts(
    own_engine: None, tmp_path: Path
) -> None:
    full = faults.REGISTRY["disk-full"]
    with live_bench("volume-local-xfs", tmp_path) as bench:
        cluster = bench.live.cluster
        assert cluster.lifecycle is not None
        full.inject(cluster, ["n2", "n3"], "both", timeout_s=TIMEOUT_S)
        assert full.felt(cluster, ["n2", "n3"], "both", timeout_s=TIMEOUT_S).felt
        cluster.lifecycle.kill("n3", timeout_s=TIMEOUT_S)
        assert full.heal(cluster, timeout_s=TIMEOUT_S) == ["gave back the room of store disk on n2"]
        for name in ("drop-caches", "evict"):
            assert faults.REGISTRY[name].heal(cluster, timeout_s=TIMEOUT_S) == []
        cluster.lifecycle.start("n3", timeout_s=TIMEOUT_S)
        end = time.monotonic() + BACK_WITHIN_S
        while (
            not cluster.hosts["n3"].run(["docker", "info"], timeout_s=TIMEOUT_S).ok
        ):  # stores come before engines
            assert time.monotonic() < end, "n3 does not come back"
            time.sleep(1.0)
        told = full.felt(cluster, ["n3"], "both", timeout_s=TIMEOUT_S)
    assert (told.felt, told.evidence) == (False, "store disk on n3 is free")


def loops(run: str) -> list[str]:
    """Loop devices of this kernel whose files bear the run's name."""
    files = {path.parent.parent.name: path for path in Path("/sys/block").glob("loop*/loop/backing_file")}
    return [name for name, file in files.items() if f"harness-{run}-" in file.read_text()]
