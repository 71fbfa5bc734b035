"""Nodes with the engines of other Debians, for real: a Swarm that works, and the version that was asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.providers.releases import DEFAULT, RELEASES, Release, is_version
from tests.cluster_cli import start

pytestmark = pytest.mark.cluster
#: A node image is built first where it is not cached.
TIMEOUT_S = 1500.0
SMALL = Path(__file__).parent / "topologies" / "compared.yaml"


@pytest.mark.nightly
@pytest.mark.parametrize("release", [each for each in RELEASES if each != DEFAULT], ids=lambda each: each.suite)
def test_nodes_have_the_engine_that_was_asked_for(engine: None, release: Release, tmp_path: Path) -> None:
    setting = f"cluster.engine={release.engine}"
    ended = start("run", SMALL, "--set", setting, "--runs-dir", tmp_path).end(TIMEOUT_S)
    assert ended.code == 0, ended.told
    env = json.loads((tmp_path / "latest" / "env.json").read_text())
    assert all(is_version(node["engine"], release.engine) for node in env["nodes"].values()), env["nodes"]
