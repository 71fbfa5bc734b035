"""Machines that panic, and a harness that is killed or interrupted while it makes some. Nothing is left."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from harness import session
from harness.model.errors import EnvironmentBroken
from harness.model.plan import Plan
from harness.providers import box as boxes
from harness.providers.box import Box
from harness.providers.vagrant import VagrantProvider
from harness.session import Options
from tests.cluster_cli import Process, only_run, start
from tests.cluster_guests import NEED_GUESTS_AND_TIME, RUN_TIMEOUT_S, named_after_runs
from tests.cluster_traces import Traces

LINE_TIMEOUT_S = 1200.0
DOWN_TIMEOUT_S = 300.0
#: A first process that panics its kernel (proc_sys_kernel(5), sysrq).
PANICS = """#!/bin/busybox sh
export PATH=/bin
busybox mkdir -p /proc
busybox mount -t proc proc /proc
echo "the last words of a guest"
echo c >/proc/sysrq-trigger
"""
TOPOLOGY = {
    "name": "frail",
    "cluster": {"provider": "vagrant", "nodes": {"manager": 1, "worker": 0}},
    "services": {"web": {"deploy": {"mode": "global"}}},
    "checks": [
        {"commands": {"steps": [{"name": "panic", "node": "n1", "run": "echo c >/proc/sysrq-trigger; sleep 30"}]}}
    ],
}
pytestmark = NEED_GUESTS_AND_TIME


@pytest.fixture(autouse=True)
def nothing_is_left(traces: Traces) -> Iterator[None]:
    """`traces` counts processes, namespaces and mounts; libvirt goes with its last machine."""
    before = named_after_runs()
    yield
    start("down", "--all").end(DOWN_TIMEOUT_S)  # also after a test that failed
    assert named_after_runs() == before


@pytest.fixture
def topology(tmp_path: Path) -> Path:
    path = tmp_path / "frail.yaml"
    path.write_text(yaml.safe_dump(TOPOLOGY))
    return path


def plan_of(topology: Path) -> Plan:
    options = Options(seed=1)
    return session.make_plan(session.topology_of(topology, options), options, run=session.new_run())


def box_that_panics(folder: Path) -> Box:
    """The box under its own name, but that a later archive of its initrd brings another first process."""
    whole = boxes.ensure(print)
    made = folder / whole.folder.name
    made.mkdir()
    for path in whole.folder.iterdir():
        (made / path.name).symlink_to(path)
    root = folder / "root"
    root.mkdir()
    (root / "init").write_text(PANICS)
    (root / "init").chmod(0o755)
    argv = ["cpio", "--quiet", "--create", "--format=newc"]
    more = subprocess.run(argv, input=b"init\n", cwd=root, capture_output=True, timeout=20, check=True).stdout
    (made / "initrd.img").unlink()
    (made / "initrd.img").write_bytes(whole.initrd.read_bytes() + more)
    return Box(made)


def test_a_guest_that_panics_is_not_waited_for_and_its_console_is_told(
    topology: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = box_that_panics(tmp_path)
    monkeypatch.setattr(boxes, "ensure", lambda *_: box)
    provider = VagrantProvider()
    with pytest.raises(EnvironmentBroken, match="n1 will not come up: Kernel panic - not syncing") as caught:
        provider.up(plan_of(topology), print)
    assert "the last words of a guest" in caught.value.message
    assert provider.clusters() == []


def begun(topology: Path, runs: Path, line: str) -> Process:
    process = start("run", topology, "--runs-dir", runs)
    process.wait_for(line, LINE_TIMEOUT_S)
    return process


def test_an_interrupt_while_machines_boot_takes_them_away(topology: Path, tmp_path: Path) -> None:
    process = begun(topology, tmp_path / "runs", "n1: ")
    process.send(signal.SIGINT)
    ended = process.end(DOWN_TIMEOUT_S)
    assert ended.code == 130, ended.told
    assert json.loads(start("list", "--json").end(DOWN_TIMEOUT_S).stdout)["clusters"] == []


def test_what_a_killed_harness_was_booting_is_listed_and_removed(topology: Path, tmp_path: Path) -> None:
    process = begun(topology, tmp_path / "runs", "n1: ")
    cluster = f"harness-{only_run(tmp_path / 'runs').name}"
    process.send(signal.SIGKILL)
    process.end(DOWN_TIMEOUT_S)
    listed = json.loads(start("list", "--json").end(DOWN_TIMEOUT_S).stdout)["clusters"]
    assert [each["name"] for each in listed] == [cluster]
    ended = start("down", "--all").end(DOWN_TIMEOUT_S)
    assert ended.code == 0, ended.told
    assert f"machine {cluster}-n1" in ended.stdout
    assert json.loads(start("list", "--json").end(DOWN_TIMEOUT_S).stdout)["clusters"] == []


def test_a_guest_that_panics_under_a_check_ends_the_run_with_its_last_words(
    topology: Path, tmp_path: Path
) -> None:
    ended = start("run", topology, "--runs-dir", tmp_path / "runs").end(RUN_TIMEOUT_S)
    assert ended.code in (2, 70), ended.told
    run = only_run(tmp_path / "runs")
    assert json.loads((run / "results.json").read_text())["verdict"] == "unknown"
    assert "Kernel panic - not syncing" in (run / "logs" / "n1" / "console.log").read_text()
