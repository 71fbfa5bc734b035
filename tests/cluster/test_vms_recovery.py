"""Names and peers on guests after netem: right again, with every peer saying who it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.model.topology import Fault
from harness.session import Bench
from harness.session.judging import fault_records
from harness.transport.recorder import read_history
from tests.cluster_bench import live_bench
from tests.cluster_guests import NEED_GUESTS_AND_TIME

TOPOLOGY = Path(__file__).parent / "topologies" / "small.yaml"
pytestmark = NEED_GUESTS_AND_TIME


@pytest.fixture(scope="module")
def guests(own_engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    settings = {"cluster__provider": "vagrant", "cluster__nodes__worker": "1"}
    with live_bench(TOPOLOGY, tmp_path_factory.mktemp("guests"), **settings) as made:
        yield made


@pytest.mark.parametrize("name", ["latency", "loss", "duplicate", "reorder", "corrupt", "rate"])
def test_all_is_right_again_and_nobody_unverified(guests: Bench, name: str) -> None:
    """By netem only what a guest sends itself: the machine below it need not have netem."""
    direction = "both" if name in ("loss", "rate") else "out"
    fault = Fault(fault=name, target="n2", direction=direction, at_s=2, hold_s=10)
    verdict = guests.check("recovery", inject=[fault], hold_s=5, reply_s=5, timeout_s=5)
    records = fault_records(read_history(guests.folder).only(check=verdict.id))
    assert [(record.name, record.felt, record.healed) for record in records] == [(name, True, True)]
    assert verdict.verdict == "pass", verdict.reason
    assert verdict.figures["connections"] > 0
    assert guests.problems() == []
