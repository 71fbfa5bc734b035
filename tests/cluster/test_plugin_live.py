"""The pytest plugin as a user has it: a session of its own, with real clusters behind it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from tests.cluster_cli import Ended, Process
from tests.cluster_traces import Traces

SMALL = Path(__file__).parent / "topologies" / "small.yaml"

OWN_TESTS = """
import pytest

pytestmark = pytest.mark.topology("small.yaml")


def test_nodes(nodes, cluster, topology):
    assert list(nodes) == ["n1", "n2"] == list(cluster.hosts)
    assert topology.name == "small"
    assert "Ready" in nodes["n1"].succeed("docker node ls")
    nodes["n2"].fail("docker node ls")
    nodes["n1"].wait_until_succeeds("ping -c 1 -W 1 n2")
    assert nodes["n1"].infra.file("/etc/hosts").contains("n2")


def test_checks(run, mesh):
    assert run("mtu", network="app").verdict == "pass"
    assert not mesh(protocols=["tcp"]).failures


@pytest.mark.destructive
def test_leaves_its_cluster_healthy(nodes, run):
    nodes["n2"].succeed("docker ps -q | head -n 1")
    assert run("connectivity", protocols=["tcp"]).verdict == "pass"


@pytest.mark.needs("no-such-thing")
def test_needs(run):
    raise AssertionError("must not run")
"""
#: A machine that lacks two features, whatever this one has.
CONFTEST = """
from harness import features

features.FEATURES["no-such-thing"] = features.Feature("no-such-thing", "networks", "false", (), "nothing")
features.FEATURES["nft-bridge"] = features.Feature("nft-bridge", "faults", "false", (), "nothing")
"""
SKIPPED = """
name: skipped
cluster: {nodes: {manager: 1, worker: 1}}
networks:
  app: {driver: overlay, attachable: true, ipam: {config: [{subnet: 10.73.0.0/16}]}}
services:
  web: {deploy: {mode: global}, networks: [app]}
checks:
  - recovery: {faults: [{fault: partition, target: n2}]}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_own.py").write_text(OWN_TESTS)
    shutil.copy(SMALL, tmp_path)
    (tmp_path / "skipped.yaml").write_text(SKIPPED)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    return tmp_path


def run_pytest(folder: Path, *arguments: str | Path) -> Ended:
    argv = [sys.executable, "-m", "pytest", "-v", "-ra", "-p", "no:cacheprovider", f"--rootdir={folder}"]
    return Process([*argv, *map(str, arguments)], cwd=folder).end()


def test_a_topology_is_one_item_a_check_and_own_tests_get_a_live_cluster(traces: Traces, folder: Path) -> None:
    ended = run_pytest(folder, "small.yaml", "test_own.py", "--harness-runs-dir", folder / "runs")

    assert ended.code == 0, ended.told
    assert "5 passed, 1 skipped" in ended.stdout
    for item in ("connectivity", "mtu"):
        assert f"small.yaml::{item} PASSED" in ended.stdout
    assert "needs no-such-thing (n1: refused)" in ended.stdout
    assert "pass: " in ended.stdout


def test_a_session_in_which_every_check_was_skipped_fails(traces: Traces, folder: Path) -> None:
    ended = run_pytest(folder, "skipped.yaml")

    assert ended.code == 1, ended.told
    assert "1 skipped" in ended.stdout
    assert "needs nft-bridge" in ended.stdout
    assert "every check was skipped: nothing was shown, so this session failed" in ended.stdout


def test_no_skip_turns_skips_into_failures(traces: Traces, folder: Path) -> None:
    ended = run_pytest(folder, "skipped.yaml", "test_own.py::test_needs", "--harness-no-skip")

    assert ended.code == 1, ended.told
    assert "1 failed" in ended.stdout
    assert "1 error" in ended.stdout  # of the fixture that asks for features
    assert "skipped, and --harness-no-skip is on: needs nft-bridge" in ended.stdout
    assert "needs no-such-thing, and --harness-no-skip is on" in ended.stdout


def test_parallel_workers_are_refused_with_a_reason(traces: Traces, folder: Path) -> None:
    ended = run_pytest(folder, "small.yaml", "-n", "2")

    assert ended.code == 4, ended.told
    assert "topologies do not run under pytest-xdist (leave out -n)" in ended.stderr
