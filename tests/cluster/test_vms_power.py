"""Guests that lose their power while they write."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from harness.model.topology import Fault
from harness.model.verdict import Verdict
from harness.session import Bench
from harness.session.judging import fault_records
from harness.transport.recorder import read_history
from tests.cluster_bench import live_bench
from tests.cluster_guests import NEED_GUESTS_AND_TIME

pytestmark = NEED_GUESTS_AND_TIME
#: n2 serves the NFS volume, and writes itself: late enough for its emulated writers to have begun.
PLUG = Fault(fault="kill", target="n2", at_s=10, hold_s=2)


@pytest.fixture(scope="module")
def guests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with live_bench("power-loss", tmp_path_factory.mktemp("guests"), cluster__nodes__worker="1") as made:
        yield made


def unplugged(guests: Bench, volume: str, **more: Any) -> Verdict:
    load = {"rate_per_s": 20, "duration_s": 12, "killed": "server", **more}
    verdict = guests.check("durability", inject=[PLUG], volume=volume, **load)
    records = fault_records(read_history(guests.folder).only(check=verdict.id))
    assert [(record.name, record.felt, record.healed) for record in records] == [("kill", True, True)]
    assert guests.problems() == []
    return verdict


@pytest.mark.parametrize("volume", ["shared", "own"])
def test_what_fsync_acknowledged_outlives_the_loss_of_power(guests: Bench, volume: str) -> None:
    verdict = unplugged(guests, volume)
    assert verdict.verdict == "pass", verdict.reason
    observed = {promise.name: promise.observed for promise in verdict.promises}
    assert observed["fsync-survives-server-kill"] == "kept"
    assert set(verdict.operations) == {"n1", "n2"}


def test_what_was_acknowledged_without_fsync_does_not(guests: Bench) -> None:
    """The sabotage: the same load and the same plug, but that only the first record of a process is synced."""
    verdict = unplugged(guests, "shared", shim="no-sync")
    assert verdict.verdict == "fail", verdict.reason
    found = {promise.name: promise for promise in verdict.promises}["fsync-survives-server-kill"]
    assert found.observed == "broken"
    assert "was synced" in found.witness
