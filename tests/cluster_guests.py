"""What tests on guests share: what they need, a run to its end, and what its checks said."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from harness.model.places import data_dir, vms_dir
from tests.cluster_cli import start

#: Emulated, on a busy machine, most of it is the guests' boot and what starts on them: Ceph takes longest.
RUN_TIMEOUT_S = 3600.0
NEED_GUESTS = [
    pytest.mark.cluster,
    pytest.mark.vm,
    pytest.mark.skipif(shutil.which("vagrant") is None, reason="needs vagrant (make vm-system)"),
]
#: More than `make test` has time for.
NEED_GUESTS_AND_TIME = [*NEED_GUESTS, pytest.mark.nightly]


def results_of(topology: str, runs: Path, *arguments: str) -> dict[str, Any]:
    """results.json of a run of topologies/`topology`.yaml, which passed."""
    file = data_dir("topologies") / f"{topology}.yaml"
    ended = start("run", file, *arguments, "--runs-dir", runs).end(RUN_TIMEOUT_S)
    assert ended.code == 0, ended.told
    found: dict[str, Any] = json.loads((runs / "latest" / "results.json").read_text())
    return found


def named_after_runs() -> list[str]:
    """Disks and folders of runs, which libvirt's end does not take away; boxes, named after a hash, stay."""
    found = [*(vms_dir() / "lib" / "images").glob("harness-20??????-*"), *(vms_dir() / "runs").glob("*")]
    return sorted(path.name for path in found)


def check(results: dict[str, Any], name: str) -> dict[str, Any]:
    """The one check of `results` whose id is `name`."""
    [found] = [each for each in results["checks"] if each["id"] == name]
    return dict(found)
