"""CephFS by the kernel's client, for real: topologies/volume-cephfs-kernel.yaml on two machines."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cluster_guests import NEED_GUESTS_AND_TIME, check, results_of

pytestmark = NEED_GUESTS_AND_TIME


@pytest.fixture(scope="module")
def results(own_engine: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    runs = tmp_path_factory.mktemp("runs")
    return results_of("volume-cephfs-kernel", runs, "--set", "cluster.nodes.worker=1")


def observed(results: dict[str, Any], name: str) -> dict[str, tuple[str, str]]:
    return {each["name"]: (each["expected"], each["observed"]) for each in check(results, name)["promises"]}


def test_nothing_is_skipped_for_want_of_a_kernels_client(results: dict[str, Any]) -> None:
    assert (results["verdict"], results["skipped"]) == ("pass", [])


def test_writers_on_every_host_share_the_file_that_they_append_to(results: dict[str, Any]) -> None:
    """Whether some are lost is a race of the client's, and is shown: it may."""
    found = check(results, "concurrent-append")
    assert set(found["operations"]) == {"n1", "n2"}
    assert all(counts["append"] > 0 for counts in found["operations"].values())
    promises = observed(results, "concurrent-append")
    assert promises["shared"] == ("holds", "kept")
    assert promises["append-loses-nothing"] in {("may", "kept"), ("may", "broken")}


@pytest.mark.parametrize(
    ("name", "promise"), [("register", "read-after-write"), ("close-to-open", "close-to-open")]
)
def test_reads_of_other_hosts_writes_were_measured(name: str, promise: str, results: dict[str, Any]) -> None:
    promises = observed(results, name)
    assert promises["shared"] == ("holds", "kept")
    assert promises[promise] in {("may", "kept"), ("may", "broken")}


def test_of_those_who_race_for_a_name_one_wins(results: dict[str, Any]) -> None:
    promises = observed(results, "names")
    assert promises["exclusive-create"] == ("holds", "kept")
    assert promises["rename-old-or-new"] in {("may", "kept"), ("may", "broken")}
