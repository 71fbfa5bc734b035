"""kill -9 of the harness at every stage: what is there can be listed, healed and removed by labels alone."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from tests.cluster_cli import harness, only_run, start
from tests.cluster_traces import Traces, engine_pid

FAULTED = Path(__file__).parent / "topologies" / "faulted.yaml"
HISTORY_TIMEOUT_S = 20.0


def killed(runs: Path, line: str, check: str, *, recorded: str = "") -> str:
    """Kill a run with SIGKILL once it has said `line` and its history holds `recorded`; its cluster's name."""
    process = start("run", FAULTED, "--runs-dir", runs, "--only", check)
    process.wait_for(line)
    await_history(runs, recorded)
    process.send(signal.SIGKILL)
    process.end()
    return f"harness-{only_run(runs).name}"


def await_history(runs: Path, text: str) -> None:
    deadline = time.monotonic() + HISTORY_TIMEOUT_S
    while text and not any(text in file.read_text() for file in only_run(runs).glob("history/*.jsonl")):
        assert time.monotonic() < deadline, f"{text} was not recorded"
        time.sleep(0.05)


def listed() -> list[str]:
    return [cluster["name"] for cluster in json.loads(harness("list", "--json").stdout)["clusters"]]


@pytest.mark.parametrize(
    ("line", "there"),
    [
        ("starting an engine", False),
        ("starting 2 nodes", True),
        ("services: 1 step", True),
    ],
)
def test_killed_while_it_is_made(traces: Traces, tmp_path: Path, line: str, there: bool) -> None:
    cluster = killed(tmp_path, line, "writes")

    assert listed() == ([cluster] if there else [])
    ended = harness("down", "--all")

    assert ended.code == 0, ended.told
    assert listed() == []


def test_killed_while_checks_run(traces: Traces, tmp_path: Path) -> None:
    cluster = killed(tmp_path, "2 endpoints, 4 writers", "writes", recorded='"append"')
    assert listed() == [cluster]
    assert harness("heal").stdout == f"{cluster}: no fault was in force\n"

    removed = harness("down", cluster)

    assert removed.code == 0, removed.told
    for thing in ("container {}-n1", "container {}-n2", "container {}-wire", "volume {}-n1", "network {}"):
        assert f"removed {thing.format(cluster)}\n" in removed.stdout
    # what had been written until then can still be judged: nobody knows how it would have ended
    judged = harness("check", only_run(tmp_path))
    assert judged.code == 2, judged.told
    assert "no reader read the whole file" in " ".join(judged.stdout.split())


@pytest.mark.parametrize(
    ("check", "felt", "healed"),
    [
        ("cut", "partition felt", "removed the nft table bridge {}"),
        ("frozen", "pause felt", "thawed n2"),
    ],
)
def test_killed_while_a_fault_is_in_force(
    traces: Traces, tmp_path: Path, check: str, felt: str, healed: str
) -> None:
    cluster = killed(tmp_path, felt, check)

    first, second = harness("heal", cluster), harness("heal", cluster)

    assert first.stdout == f"{cluster}: {healed.format(cluster)}\n", first.told
    assert second.stdout == f"{cluster}: no fault was in force\n", second.told
    assert harness("exec", cluster, "n1", "--", "ping", "-c", "1", "-W", "5", "n2").code == 0
    assert harness("down", cluster).code == 0


def test_down_alone_removes_a_fault_that_was_never_healed(traces: Traces, tmp_path: Path) -> None:
    cluster = killed(tmp_path, "partition felt", "cut")

    removed = harness("down", cluster.removeprefix("harness-"))

    assert removed.code == 0, removed.told
    assert f"removed nft table bridge {cluster}\n" in removed.stdout


@pytest.mark.parametrize("by", ["all", "name"])
def test_the_engine_below_a_cluster_is_killed_and_down_removes_both(traces: Traces, by: str) -> None:
    """What an engine that has ended would find again cannot be listed until it runs."""
    made = start("up", FAULTED).end()
    assert made.code == 0, made.told
    (cluster,) = listed()
    os.kill(engine_pid(), signal.SIGKILL)
    assert listed() == []

    removed = harness("down", "--all" if by == "all" else cluster)

    assert removed.code == 0, removed.told
    assert f"removed container {cluster}-n1\n" in removed.stdout
    assert listed() == []


def test_down_of_a_name_that_is_not_there_is_a_mistake_worth_telling() -> None:
    ended = harness("down", "nobody")

    assert ended.code == 64
    assert "there is no cluster 'nobody'" in ended.stderr
