"""Judges when names that one host made are seen by the others.

`new-name-visible`: in the end every host lists every name that was made. How long it took until the others saw it
is measured; with the parameter `within_s` a name that was seen later than that is a breach as well.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from harness.checkers._ranges import rolls
from harness.checkers._sharing import parts, summed, unread_hosts, verdict_of, workers_of
from harness.checkers._volumes import Measured, too_few_workers
from harness.model.history import History, Op
from harness.model.plan import Plan
from harness.model.topology import Check
from harness.model.verdict import Verdict

PROMISE = "new-name-visible"


def check(history: History, plan: Plan, check: Check) -> Verdict:
    """Params used: `volume`, `workers_per_node`, `within_s`. Rows used: appear sight roll mount nonce."""
    volume, within_s = check.params["volume"], check.params.get("within_s")
    made = history.only(f="appear", outcome="ok")
    doubts = too_few_workers(
        history,
        plan,
        volume,
        per_node=int(check.params.get("workers_per_node", 1)),
        found=len(workers_of(made)),
        what="workers made a name",
    )
    lags = _lags(history)
    lag_ms = np.array([lag for _sight, lag in lags], dtype=np.float64) / 1e6
    pending = len(history.only(f="appear", outcome="info"))
    return verdict_of(
        history,
        plan,
        check,
        summed(lambda rows: {PROMISE: _unseen(rows) + _late(rows, within_s)}, parts(history, volume)),
        doubts=[*doubts, *unread_hosts(history, "roll")],
        figures={"names": len(made), "indeterminate": pending, "sights": len(lags), **_quantiles(lag_ms)},
        counts=(len(made), pending),
    )


def _quantiles(lag_ms: npt.NDArray[np.float64]) -> dict[str, float]:
    if not len(lag_ms):
        return {}
    p50, p99 = np.quantile(lag_ms, [0.5, 0.99]).tolist()
    return {
        "seen_p50_ms": round(p50, 3),
        "seen_p99_ms": round(p99, 3),
        "seen_max_ms": round(float(lag_ms.max()), 3),
    }


def _made(rows: History) -> dict[int, Op]:
    return {int(op.value): op for op in rows.only(f="appear", outcome="ok").ops()}


def _lags(rows: History) -> list[tuple[Op, int]]:
    """First sights of names of other hosts, with the time since they were made: 0 where that was under way."""
    made = _made(rows)
    found = []
    for sight in rows.only(f="sight", outcome="ok").ops():
        name = made.get(int(sight.value))
        if name is not None and name.host != sight.host:
            found.append((sight, max(0, sight.start_ns - name.end_ns)))
    return found


def _unseen(rows: History) -> Measured:
    """Chances are only counted where some name did pass between hosts: a single host cannot tell."""
    made = _made(rows)
    chances, missing = 0, []
    for roll in rows.only(f="roll", outcome="ok").ops():
        seen = rolls(str(roll.value))
        others = {token: op for token, op in made.items() if op.host != roll.host}
        chances += len(others)
        missing += [(roll, op) for token, op in others.items() if token not in seen]
    if not missing:
        return Measured(0, chances)
    roll, op = missing[0]
    name = f"name {int(op.value) & 0xFFFFFFFF} of {op.process} in {op.at} on {op.host}"
    after_s = (roll.start_ns - op.end_ns) / 1e9
    return Measured(
        len(missing), chances, f"{roll.at} on {roll.host} does not list {name}, made {after_s:.3f} s before"
    )


def _late(rows: History, within_s: float | None) -> Measured:
    if within_s is None:
        return Measured()
    late = [(sight, lag) for sight, lag in _lags(rows) if lag - 2 * sight.err_ns > within_s * 1e9]
    if not late:
        return Measured()
    sight, lag = max(late, key=lambda each: each[1])
    return Measured(
        len(late),
        0,
        f"{sight.process} in {sight.at} on {sight.host} saw a name {lag / 1e9:.3f} s after it was made",
    )
