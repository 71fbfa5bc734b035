"""Faults on a live cluster: felt by measurement, healed, and harmless to what must not suffer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from harness import faults
from harness.model.plan import Demand
from harness.model.topology import Fault
from harness.model.verdict import Verdict
from harness.ports import Cluster, Felt, Right
from harness.session import Bench
from harness.session.judging import fault_records
from harness.transport.recorder import read_history

HOLD_S = 2.0
STRIKES = {
    "pause": Fault(fault="pause", target="n3", at_s=0.5, hold_s=HOLD_S),
    "both": Fault(fault="partition", target="n2", direction="both", at_s=0.5, hold_s=HOLD_S),
    "in": Fault(fault="partition", target="n3", direction="in", at_s=0.5, hold_s=HOLD_S),
    "out": Fault(fault="partition", target="n3", direction="out", at_s=0.5, hold_s=HOLD_S),
}
EVIDENCE = {
    "pause": "n3 is frozen",
    "both": "frames dropped; ping n2 to n1: no answer",
    "in": "frames dropped; ping n3 to n1: no answer",
    "out": "frames dropped; ping n3 to n1: no answer",
}


def struck(bench: Bench, kind: str, strike: str, **params: Any) -> Verdict:
    """The verdict of a check under one fault, of which the record must say that it was felt and healed."""
    verdict = bench.check(kind, inject=[STRIKES[strike]], **params)
    history = read_history(bench.folder).only(check=verdict.id)
    felt = [(row.outcome, str(row.value)) for row in history.only(f="felt").ops()]
    records = fault_records(history)

    assert [outcome for outcome, _ in felt] == ["ok"]
    assert felt[0][1].endswith(EVIDENCE[strike])
    assert not felt[0][1].startswith("0 frames")
    assert [(record.name, record.felt, record.healed) for record in records] == [
        (STRIKES[strike].fault, True, True)
    ]
    assert records[0].end_s - records[0].start_s >= HOLD_S
    return verdict


@pytest.mark.parametrize("strike", STRIKES)
def test_kept_connections_report_their_stall_and_all_is_right_again(healthy: Bench, strike: str) -> None:
    verdict = struck(healthy, "recovery", strike, hold_s=1)

    assert verdict.verdict == "pass", verdict.reason
    assert verdict.figures["connections"] > 0
    # no echo crosses a cut, nor comes from a stopped node: the stall is as long as the fault, at least
    assert verdict.figures["connections_died"] or verdict.figures["stall_max_s"] > HOLD_S - 1
    assert verdict.figures["recovered_s"] > 0


@pytest.mark.parametrize("strike", ["pause", "both"])
def test_what_was_acknowledged_under_a_fault_is_not_lost(healthy: Bench, strike: str) -> None:
    verdict = struck(healthy, "concurrent-append", strike, volume="shared", duration_s=1, rate_per_s=500)

    assert verdict.verdict == "pass", verdict.reason
    lost = next(promise for promise in verdict.promises if promise.name == "append-loses-nothing")
    assert (lost.observed, lost.count) == ("kept", 0)
    assert lost.of > 0


@dataclass
class Nothing:
    """A fault that does nothing, and whose own probe says so."""

    name: str = "nothing"
    rights: frozenset[Right] = frozenset()
    healed: int = 0

    def demands(self) -> list[Demand]:
        return []

    def inject(self, cluster: Cluster, targets: Sequence[str], direction: str, *, timeout_s: float) -> None:
        pass

    def felt(self, cluster: Cluster, targets: Sequence[str], direction: str, *, timeout_s: float) -> Felt:
        return Felt(False, "nothing happened")

    def heal(self, cluster: Cluster, *, timeout_s: float) -> list[str]:
        self.healed += 1
        return []


def test_a_fault_that_nobody_felt_leaves_the_check_unknown(
    healthy: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = Nothing()
    monkeypatch.setitem(faults.REGISTRY, "nothing", nothing)

    verdict = healthy.check(
        "concurrent-append",
        inject=[Fault(fault="nothing", target="n2", at_s=0.1, hold_s=0.3)],
        volume="shared",
        duration_s=0.5,
        rate_per_s=200,
    )

    assert verdict.verdict == "unknown"
    assert verdict.reason == "fault nothing was not felt: nothing happened"
    assert nothing.healed == 1
