"""Judges round trips: their quantiles on each network, against the wire between nodes."""

from __future__ import annotations

import numpy as np

from harness.checkers._rates import Floats, micros, pairs_by_network, prefix, require
from harness.checkers._scene import WIRE
from harness.checkers._tally import Tally
from harness.model.history import History
from harness.model.plan import Plan
from harness.model.topology import Check
from harness.model.verdict import Verdict

QUANTILES = (50, 90, 99)


def check(history: History, plan: Plan, check: Check) -> Verdict:
    """Params used: `network`, `max_ratio` (most that the median may be of the wire's)."""
    tally = Tally()
    pairs = pairs_by_network(history, "rtt")
    require(tally, pairs, history, plan, check)
    trips = {network: np.concatenate([micros(pair) for pair in group]) for network, group in pairs.items()}
    trips = {network: times for network, times in trips.items() if len(times)}
    for network, times in trips.items():
        tally.figures |= _quantiles(prefix(network), times)
        tally.figures[f"{prefix(network)}_missed"] = sum(pair.missed for pair in pairs[network])
    for network, times in trips.items():
        if network != WIRE and WIRE in trips:
            ratio = float(np.median(times) / np.median(trips[WIRE]))
            _judge(tally, network, ratio, check.params.get("max_ratio"))
    return tally.verdict(check, f"all {tally.correct} measurements were taken")


def _quantiles(name: str, times: Floats) -> dict[str, float]:
    values = np.percentile(times, QUANTILES)
    return {f"{name}_rtt_p{q}_us": round(float(value), 1) for q, value in zip(QUANTILES, values, strict=True)}


def _judge(tally: Tally, network: str, ratio: float, most: float | None) -> None:
    tally.figures[f"{prefix(network)}_ratio"] = round(ratio, 3)
    if most is None:
        return
    if ratio > most:
        tally.wrong.append(f"{network}'s median round trip is {ratio:.2f} times the wire's, more than {most:g}")
    else:
        tally.right()
