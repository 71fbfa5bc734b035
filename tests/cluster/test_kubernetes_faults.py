"""Faults on Kubernetes under open connections and writers: each is felt and healed, and all is right again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cluster_cli import only_run, start

pytestmark = [pytest.mark.cluster, pytest.mark.nightly]

TOPOLOGY = Path(__file__).parent / "topologies" / "kubernetes-faults.yaml"
#: Eighteen checks, each with its fault and with the time until all is right again.
RUN_TIMEOUT_S = 3600.0
#: What the kernel may lack, by the check that is skipped then.
LACKING = {"latency": "netem", "rate": "tbf"}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    runs = tmp_path_factory.mktemp("runs")
    ended = start("run", TOPOLOGY, "--runs-dir", str(runs)).end(RUN_TIMEOUT_S)
    assert ended.code == 0, ended.told
    found: dict[str, Any] = json.loads((only_run(runs) / "results.json").read_text())
    return found


def test_every_fault_is_felt_and_healed_and_all_is_right_again(results: dict[str, Any]) -> None:
    struck = {fault["check"]: fault for fault in results["faults"]}
    skipped = {skip["check"]: skip["needs"] for skip in results["skipped"]}
    assert all(needs.startswith(LACKING[check]) for check, needs in skipped.items())
    assert {check["id"]: check["verdict"] for check in results["checks"]} == dict.fromkeys(struck, "pass")
    assert len(struck) + len(skipped) == 18
    assert all(fault["felt"] and fault["healed"] for fault in struck.values())


def test_a_node_that_restarts_in_the_middle_is_named_and_costs_no_record(results: dict[str, Any]) -> None:
    [restart, writers] = (
        next(fault for fault in results["faults"] if fault["check"] == name)
        for name in ("restart", "restart-under-writers")
    )
    assert (restart["name"], restart["targets"], writers["targets"]) == ("kill", ["n3"], ["n2"])
    check = next(check for check in results["checks"] if check["id"] == "restart-under-writers")
    observed = {promise["name"]: promise["observed"] for promise in check["promises"]}
    assert observed["shared"] == observed["append-loses-nothing"] == "kept"
    assert check["operations"]["n1"]["append"] > 0
