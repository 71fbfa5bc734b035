"""Machines with a kernel of their own, for real: topologies/full-kernel.yaml on two of them, and on three."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cluster_cli import start
from tests.cluster_guests import NEED_GUESTS, check, results_of

pytestmark = NEED_GUESTS
#: The least that shows all of it, and as it is shipped.
GUESTS = [pytest.param(2, id="two"), pytest.param(3, id="three", marks=pytest.mark.nightly)]
NETWORKS = ["connectivity", "isolation", "encrypted", "vlan-trunk"]
VERSIONS = ["nfs-4", "nfs-3"]


@pytest.fixture(scope="module", params=GUESTS)
def results(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    runs = tmp_path_factory.mktemp("runs")
    return results_of("full-kernel", runs, "--set", f"cluster.nodes.worker={request.param - 1}")


def test_nothing_is_skipped_for_want_of_a_kernel(results: dict[str, Any]) -> None:
    assert (results["verdict"], results["skipped"]) == ("pass", [])


@pytest.mark.parametrize("name", NETWORKS)
def test_every_check_of_networks_asserted_something(name: str, results: dict[str, Any]) -> None:
    found = check(results, name)
    assert (found["verdict"], found["wrong"]) == ("pass", 0)
    assert found["correct"] > 0


@pytest.mark.parametrize("name", VERSIONS)
def test_nfs_by_the_kernels_client_is_shared_and_close_to_open(name: str, results: dict[str, Any]) -> None:
    observed = {promise["name"]: promise["observed"] for promise in check(results, name)["promises"]}
    assert observed["shared"] == observed["close-to-open"] == "kept"


def test_delay_and_loss_were_felt_and_healed(results: dict[str, Any]) -> None:
    found = {fault["name"]: (fault["felt"], fault["healed"]) for fault in results["faults"]}
    assert found == {"latency": (True, True), "loss": (True, True)}


def test_nothing_is_left(results: dict[str, Any]) -> None:
    run = results["run"]
    assert run not in start("list", "--json").end(120.0).stdout
