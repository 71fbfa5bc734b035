"""Accidents: a clear error, an honest exit code, nothing lost, nothing left behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import session
from harness.ports import Host
from tests.cluster_cli import harness, only_run, start
from tests.cluster_traces import Traces, engine_pid

TOPOLOGIES = Path(__file__).parent / "topologies"
SMALL, FAULTED = TOPOLOGIES / "small.yaml", TOPOLOGIES / "faulted.yaml"


def results(runs: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((only_run(runs) / "results.json").read_text())
    return data


@pytest.fixture
def tiny_disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A file system of so many KiB."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={request.param}k", "runs", tmp_path], check=True)
    try:
        yield tmp_path
    finally:
        subprocess.run(["umount", "--lazy", tmp_path], check=True)


@pytest.mark.parametrize(
    "line", ["starting an engine", "starting 2 nodes", "networks: 1 step", "4 writers", "partition felt"]
)
def test_interrupted(traces: Traces, tmp_path: Path, line: str) -> None:
    check = "cut" if "partition" in line else "writes"
    process = start("run", FAULTED, "--runs-dir", tmp_path, "--only", check)
    process.wait_for(line)
    process.send(signal.SIGINT)
    ended = process.end()

    assert ended.code == 130, ended.told
    assert "Traceback" not in ended.stderr
    assert (results(tmp_path)["verdict"], results(tmp_path)["error"]) == ("unknown", "interrupted")
    assert (only_run(tmp_path) / "report.html").exists()


def test_an_engine_that_dies_in_the_middle(traces: Traces, tmp_path: Path) -> None:
    process = start("run", FAULTED, "--runs-dir", tmp_path, "--only", "writes")
    process.wait_for("4 writers")
    os.kill(engine_pid(), signal.SIGKILL)
    ended = process.end()

    assert ended.code == 70, ended.told
    assert "Traceback" not in ended.stderr
    assert "error:" in ended.stderr
    assert harness("down", "--all").code == 0


@pytest.mark.parametrize("tiny_disk", [4, 150], indirect=True)
def test_a_full_disk_under_the_runs_folder(traces: Traces, tiny_disk: Path) -> None:
    ended = start("run", FAULTED, "--runs-dir", tiny_disk, "--only", "writes").end()

    assert ended.code == 70, ended.told
    assert "Traceback" not in ended.stderr
    assert str(tiny_disk) in ended.stderr
    assert "No space left on device" in ended.stderr
    assert "--runs-dir" in ended.stderr


def test_two_runs_at_once_do_not_meet(traces: Traces, tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    processes = [start("run", SMALL, "--runs-dir", folder) for folder in folders]
    ended = [process.end() for process in processes]

    assert [each.code for each in ended] == [0, 0], ended[0].told + ended[1].told
    nodes = [json.loads((only_run(folder) / "env.json").read_text())["nodes"] for folder in folders]
    wires = [{node["address"].rpartition(".")[0] for node in each.values()} for each in nodes]
    assert wires[0].isdisjoint(wires[1])


def test_a_node_that_dies_during_a_check_never_passes(traces: Traces, tmp_path: Path) -> None:
    process = start("run", FAULTED, "--runs-dir", tmp_path, "--only", "writes")
    process.wait_for("4 writers")
    cluster = session.find(only_run(tmp_path).name)
    assert cluster.lifecycle is not None
    cluster.lifecycle.kill("n2", timeout_s=20)
    ended = process.end()

    assert ended.code in (1, 2), ended.told
    assert results(tmp_path)["verdict"] in ("fail", "unknown")
    assert "n2" in results(tmp_path)["checks"][0]["reason"]


def passes(host: Host, packet_bytes: int) -> bool:
    payload = str(packet_bytes - 28)  # headers of IP and ICMP
    return host.run(["ping", "-c", "3", "-W", "2", "-M", "do", "-s", payload, "n2"], timeout_s=30).ok


def test_two_faults_on_one_link_hold_together_and_a_node_that_is_gone_is_named(traces: Traces) -> None:
    ended = harness("up", SMALL)
    assert ended.code == 0, ended.told
    cluster = session.find(ended.stdout.strip())
    n1 = cluster.hosts["n1"]
    for name, keys in (("mtu", {"packet_bytes": 1300}), ("partition", {})):
        assert session.inject(cluster.name, name, ["n2"], "both", keys).felt
    assert not passes(n1, 600)

    assert session.heal(cluster.name, ["partition"])
    assert passes(n1, 1300)
    assert not passes(n1, 1400), "the other fault still holds"
    assert session.heal(cluster.name, ["mtu"])
    assert passes(n1, 1400)

    assert cluster.lifecycle is not None
    cluster.lifecycle.kill("n2", timeout_s=20)
    struck = harness("fault", "inject", cluster.name, "partition", "n2")
    assert struck.code == 70, struck.told
    assert "n2" in struck.stderr
    assert "Traceback" not in struck.stderr
    healed = harness("heal", cluster.name)
    assert healed.code == 0, healed.told
    assert harness("down", cluster.name).code == 0


def test_a_missing_image_is_told_in_swarms_own_words(traces: Traces, tmp_path: Path) -> None:
    ended = harness("run", TOPOLOGIES / "missing-image.yaml", "--runs-dir", tmp_path)

    assert ended.code == 70, ended.told
    assert "No such image: nowhere.invalid/none:1" in ended.stderr
    assert results(tmp_path)["verdict"] == "unknown"


@pytest.mark.parametrize(("name", "problems"), [("clash", 1), ("ten-mistakes", 10)])
def test_mistakes_are_all_told_before_anything_is_made(
    traces: Traces, tmp_path: Path, name: str, problems: int
) -> None:
    file = TOPOLOGIES / f"{name}.yaml"

    ended = harness("run", file, "--runs-dir", tmp_path / "runs")

    places = re.findall(rf"^{re.escape(str(file))}:\d+:\d+: ", ended.stderr, re.MULTILINE)
    assert ended.code == 64, ended.told
    assert len(places) == problems, ended.told
    assert f"{problems} problem" in ended.stderr
    assert not (tmp_path / "runs").exists()
