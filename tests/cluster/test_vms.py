"""Machines with a kernel of their own, for real: topologies/full-kernel.yaml on two of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from harness.model.places import data_dir
from tests.cluster_cli import start

#: Emulated, on a busy machine, most of it is the guests' boot.
RUN_TIMEOUT_S = 3000.0
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.vm,
    pytest.mark.nightly,
    pytest.mark.skipif(shutil.which("vagrant") is None, reason="there is no vagrant: make vm-system"),
]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    runs = tmp_path_factory.mktemp("runs")
    topology = data_dir("topologies") / "full-kernel.yaml"
    ended = start("run", topology, "--set", "cluster.nodes.worker=1", "--runs-dir", runs).end(RUN_TIMEOUT_S)
    assert ended.code == 0, ended.told
    found: dict[str, Any] = json.loads((Path(runs) / "latest" / "results.json").read_text())
    return found


def test_nothing_is_skipped_for_want_of_a_kernel(results: dict[str, Any]) -> None:
    assert (results["verdict"], results["skipped"]) == ("pass", [])


@pytest.mark.parametrize("check", ["connectivity", "isolation", "encrypted"])
def test_every_check_asserted_something(check: str, results: dict[str, Any]) -> None:
    found = next(each for each in results["checks"] if each["id"] == check)
    assert (found["verdict"], found["wrong"]) == ("pass", 0)
    assert found["correct"] > 0


def test_nothing_is_left(results: dict[str, Any]) -> None:
    run = results["run"]
    assert run not in start("list", "--json").end(120.0).stdout
