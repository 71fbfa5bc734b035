"""Measurements between nodes, grouped by network, against those of the wire itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.checkers._answers import Answer
from harness.checkers._scene import WIRE, ProbeKey, scene_at
from harness.checkers._tally import Tally
from harness.model.history import History, Op
from harness.model.plan import Plan
from harness.model.topology import Check

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Pair:
    """What one pair measured; `missed` are rows without an answer."""

    label: str
    answered: tuple[Op, ...]
    missed: int


def pairs_by_network(history: History, f: str) -> dict[str, list[Pair]]:
    """Pairs that were measured, or tried, by network; `-` is the wire, node to node."""
    rows: dict[tuple[str, str], list[Op]] = {}
    for row in history.only(f=f).ops():
        rows.setdefault((row.key, row.at), []).append(row)
    found: dict[str, list[Pair]] = {}
    for (text, at), group in rows.items():
        key = ProbeKey.parse(text)
        answered = tuple(row for row in group if Answer.of(row).got == "ok" and row.end_ns > row.start_ns)
        pair = Pair(f"{at} -> {key.to} on {key.network}", answered, len(group) - len(answered))
        found.setdefault(key.network, []).append(pair)
    return found


def require(tally: Tally, pairs: dict[str, list[Pair]], history: History, plan: Plan, check: Check) -> None:
    """Every pair gave a measurement, and so did every network that spans nodes, and the wire as the baseline."""
    for pair in (pair for group in pairs.values() for pair in group):
        if pair.answered:
            tally.right()
        else:
            tally.doubts.append(f"no measurement: {pair.label}")
    scene, chosen = scene_at(history), check.params.get("network")
    wanted = [n.name for n in plan.networks if chosen in (None, n.base) and len(scene.spread(n.name)) > 1]
    for network in [WIRE, *wanted]:
        if network not in pairs:
            what = "between nodes, so there is no baseline" if network == WIRE else f"on network {network}"
            tally.doubts.append(f"nothing was measured {what}")


def prefix(network: str) -> str:
    """What the figures of a network begin with."""
    return "wire" if network == WIRE else network.replace("-", "_")


def micros(pair: Pair) -> Floats:
    return np.array([(row.end_ns - row.start_ns) / 1e3 for row in pair.answered])


def gbits(pair: Pair) -> Floats:
    """Bits a nanosecond, which is Gbit/s, of each interval."""
    return np.array([row.length * 8 / (row.end_ns - row.start_ns) for row in pair.answered])
