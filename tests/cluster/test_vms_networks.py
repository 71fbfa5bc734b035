"""Networks that need a kernel of their own: ipvlan in two layers; Swarm's virtual addresses and routing mesh."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.cluster_guests import NEED_GUESTS_AND_TIME, results_of

pytestmark = NEED_GUESTS_AND_TIME
TWO_GUESTS = ("--provider", "vagrant", "--set", "cluster.nodes.worker=1")


def checks_of(topology: str, runs: Path, *arguments: str) -> dict[str, Any]:
    """By check; a run on two guests that passed and skipped nothing."""
    results = results_of(topology, runs, *TWO_GUESTS, *arguments)
    assert (results["verdict"], results["skipped"]) == ("pass", [])
    return {check["id"]: check for check in results["checks"]}


def test_ipvlan_in_layers_2_and_3(tmp_path: Path) -> None:
    found = checks_of("ipvlan", tmp_path)
    assert all(check["correct"] > 0 and check["wrong"] == 0 for check in found.values())
    promise = found["layer-3"]["promises"][0]
    assert (promise["name"], promise["observed"]) == ("reached across nodes without a route", "broken")


def test_a_virtual_address_and_the_mesh_lead_to_all_also_after_a_rolling_update(tmp_path: Path) -> None:
    slow = ("--set", "checks.services.timeout_s=5", "--set", "checks.services.within_s=300")
    rolling = ("--orchestrator", "swarm", "--set", "checks.services.parallelism=1", *slow)
    check = checks_of("services", tmp_path, *rolling)["services"]
    assert check["correct"] > 0
    assert "before and after their containers were replaced" in check["reason"]
