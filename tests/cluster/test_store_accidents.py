"""Stores that cannot be brought up: told in their words, before there is any container, and nothing is left."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import session
from harness.model.errors import CommandFailed
from harness.session import Options
from tests.cluster_bench import done
from tests.cluster_cli import harness, only_run
from tests.cluster_traces import Traces

pytestmark = pytest.mark.cluster

TOPOLOGY = Path(__file__).parent / "topologies" / "two-bricks.yaml"


def loops(run: str) -> list[str]:
    """Files behind loop devices of this kernel that bear the run's name."""
    files = [path.read_text().strip() for path in Path("/sys/block").glob("loop*/loop/backing_file")]
    return [file for file in files if f"harness-{run}-" in file]


def test_an_option_that_the_servers_do_not_know_is_told_in_their_words(traces: Traces, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(TOPOLOGY.read_text().replace("performance.write-behind", "performance.write-ahead"))
    ended = harness("run", wrong, "--runs-dir", tmp_path / "runs")
    assert ended.code == 70, ended.told
    assert "performance.write-ahead does not exist" in " ".join(ended.stderr.split())
    assert "n1 (make a volume" in " ".join(ended.stderr.split())
    assert "starts a swarm" not in ended.stderr
    assert "Traceback" not in ended.stderr
    assert loops(only_run(tmp_path / "runs").name) == []


def test_a_server_that_is_gone_at_start_is_named_and_its_cluster_removed(traces: Traces) -> None:
    """Its node has lost the program that serves a brick."""
    options = Options(seed=1)
    plan = session.make_plan(session.topology_of(TOPOLOGY, options), options, run=session.new_run())
    told: list[str] = []

    def break_it(line: str) -> None:
        told.append(line)
        if line.startswith("store pool: glusterfs"):
            done(session.find(plan.run).hosts["n2"], ["mv", "/usr/sbin/glusterfsd", "/usr/sbin/glusterfsd.gone"])

    with pytest.raises(CommandFailed) as failed:
        session.up(plan, break_it)
    assert "n2" in failed.value.message
    assert any("could not be set up: removing it" in line for line in told)
    assert not any("starts a swarm" in line for line in told)
    assert loops(plan.run) == []
