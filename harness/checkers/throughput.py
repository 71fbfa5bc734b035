"""Judges rates: what one TCP connection carries on each network, against the wire between nodes."""

from __future__ import annotations

import numpy as np

from harness.checkers._rates import Pair, gbits, pairs_by_network, prefix, require
from harness.checkers._scene import WIRE
from harness.checkers._tally import Tally
from harness.model.history import History
from harness.model.plan import Plan
from harness.model.topology import Check
from harness.model.verdict import Verdict


def check(history: History, plan: Plan, check: Check) -> Verdict:
    """Params used: `network`, `min_ratio` (least part of the wire's median rate). Medians over pairs' medians."""
    tally = Tally()
    pairs = pairs_by_network(history, "stream")
    require(tally, pairs, history, plan, check)
    rates = {network: _median(group) for network, group in pairs.items() if any(p.answered for p in group)}
    for network, rate in rates.items():
        tally.figures[f"{prefix(network)}_median_gbit_s"] = round(rate, 3)
    for network, rate in rates.items():
        if network != WIRE and rates.get(WIRE):
            _judge(tally, network, rate / rates[WIRE], check.params.get("min_ratio"))
    return tally.verdict(check, f"all {tally.correct} measurements were taken")


def _median(group: list[Pair]) -> float:
    return float(np.median([np.median(gbits(pair)) for pair in group if pair.answered]))


def _judge(tally: Tally, network: str, ratio: float, least: float | None) -> None:
    tally.figures[f"{prefix(network)}_ratio"] = round(ratio, 3)
    if least is None:
        return
    if ratio < least:
        tally.wrong.append(f"{network} carries {ratio:.2f} of the wire's rate, less than {least:g}")
    else:
        tally.right()
