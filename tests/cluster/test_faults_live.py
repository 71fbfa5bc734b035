"""Faults on a live cluster: felt by measurement, healed, and harmless to what must not suffer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from harness import faults, features, session
from harness.model.plan import Demand
from harness.model.topology import Fault
from harness.model.verdict import Verdict
from harness.ports import Cluster, Felt, Right
from harness.runner._seams import SYSTEM_CLOCK
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


#: Every fault that this machine's kernel may carry and no other test strikes with: its keys, and what shows it.
BY_HAND: list[tuple[str, dict[str, Any], str]] = [
    ("block-port", {"port": 7946}, r"n2 to n1:7946 by TCP: no answer"),
    ("link-down", {}, r"n2's link is down; ping n2 to n1: no answer"),
    ("mtu", {"packet_bytes": 1300}, r"a packet of 1300 bytes passes, one of 1305 does not pass"),
    ("checksum-offload", {}, r"n2 sent [1-9]\d* packets, 0 without a checksum"),
    ("loss", {"percent": 30}, r"[1-9]\d* during 50 pings"),
    ("rate", {"mbit": 5}, r"tbf held [1-9]\d* packets back at 5 Mbit/s, on 2 ends of links"),
    ("kill-container", {"service": "web"}, r"1 containers of n2 were killed and do not run"),
    ("kill-engine", {}, r"the engine of n2 has no process"),
    ("cpu-pressure", {"workers": 1}, r"pressure used 0\.[0-9]* s of CPU on n2"),
    ("memory-pressure", {"mib": 32}, r"pressure holds [3-9]\d MiB on n2"),
]


@pytest.mark.parametrize(("name", "keys", "shown"), BY_HAND, ids=[name for name, _, _ in BY_HAND])
def test_a_fault_by_hand_is_measured_on_its_target_and_gone_after_healing(
    bench: Bench, name: str, keys: dict[str, Any], shown: str
) -> None:
    cluster = bench.live.cluster
    demands = faults.REGISTRY[name].demands()
    if features.missing(cluster, demands):
        pytest.skip(f"needs {', '.join(demand.feature for demand in demands)}")
    try:
        felt = session.inject(cluster.name, name, ["n2"], "both", keys)
    finally:
        healed = session.heal(cluster.name, [name])

    assert felt.felt, felt.evidence
    assert re.search(shown, felt.evidence), felt.evidence
    assert any("n2" in line or cluster.name in line for line in healed), healed
    assert session.heal(cluster.name, [name]) == []
    assert SYSTEM_CLOCK.until(lambda: bench.problems() == [], 60, 0.5), bench.problems()
