"""Clocks that are set off after the Swarm has formed, for real: topologies/clock-skew.yaml on two machines."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cluster_guests import NEED_GUESTS_AND_TIME, results_of

pytestmark = NEED_GUESTS_AND_TIME


@pytest.fixture(scope="module")
def results(own_engine: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return results_of("clock-skew", tmp_path_factory.mktemp("runs"))


def test_clocks_were_off_and_were_set_back(results: dict[str, Any]) -> None:
    found = [(fault["name"], fault["check"], fault["felt"], fault["healed"]) for fault in results["faults"]]
    assert found == [("clock-skew", "ahead", True, True), ("clock-skew", "behind", True, True)]


@pytest.mark.parametrize("name", ["ahead", "behind"])
def test_a_clock_that_is_off_changes_no_verdict(name: str, results: dict[str, Any]) -> None:
    told = {
        check["id"]: (check["verdict"], [(promise["name"], promise["observed"]) for promise in check["promises"]])
        for check in results["checks"]
    }
    assert told[name] == told["in-step"]
    assert ("close-to-open", "kept") in told[name][1]


def test_all_of_it_passes_and_nothing_is_skipped(results: dict[str, Any]) -> None:
    assert (results["verdict"], results["skipped"]) == ("pass", [])
