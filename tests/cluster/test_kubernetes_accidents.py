"""Accidents on Kubernetes: who is cut short while kind makes a cluster leaves nothing, and no setting changed."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster_cli import harness, only_run, start
from tests.cluster_kind import settings
from tests.cluster_traces import Traces

#: Making the node image is not part of it.
BEGUN_TIMEOUT_S = 900.0
#: kind has made its containers, and kubeadm is at work in the first one.
AT_WORK = "kind: starting control-plane"


@pytest.fixture
def unchanged() -> Iterator[None]:
    """The machine's own settings, which kubelets and systemds on nodes would write to."""
    before = settings()
    yield
    assert settings() == before


@pytest.mark.usefixtures("unchanged")
def test_interrupted_while_kind_makes_a_cluster(traces: Traces, tmp_path: Path) -> None:
    process = start("run", "overlay", "--orchestrator", "kubernetes", "--runs-dir", tmp_path)
    process.wait_for(AT_WORK, BEGUN_TIMEOUT_S)
    process.send(signal.SIGINT)
    ended = process.end()
    assert ended.code == 130, ended.told
    assert "Traceback" not in ended.stderr
    results = json.loads((only_run(tmp_path) / "results.json").read_text())
    assert (results["verdict"], results["error"]) == ("unknown", "interrupted")


@pytest.mark.usefixtures("unchanged")
def test_killed_while_kind_makes_a_cluster(traces: Traces, tmp_path: Path) -> None:
    """kind ends with who called it; what it had made is found by its labels."""
    process = start("run", "overlay", "--orchestrator", "kubernetes", "--runs-dir", tmp_path)
    process.wait_for(AT_WORK, BEGUN_TIMEOUT_S)
    process.send(signal.SIGKILL)
    process.end()
    assert only_run(tmp_path).name in harness("list").stdout
    ended = harness("down", "--all")
    assert ended.code == 0, ended.told
