"""Judges names: they follow what starts, stops and is scaled, and mean exactly the tasks that run."""

from __future__ import annotations

from harness.checkers._names import NOTHING, NameKey, Settled, Truth, repeats, settled
from harness.checkers._tally import Tally
from harness.model.history import History
from harness.model.plan import Plan
from harness.model.topology import Check
from harness.model.verdict import Failure, Verdict


def check(history: History, plan: Plan, check: Check) -> Verdict:
    """Of repeated lookups the last counts; figures say how long names took to settle. A name must be right at
    the end of its phase; `tasks.<service>` and a dnsrr service's name mean its tasks exactly.
    """
    truth, tally = Truth(history, plan), Tally()
    slowest: dict[str, float] = {}
    for rows in repeats(history, ("dns",)):
        key = NameKey.parse(rows[0].key)
        expected = truth.of(key)
        if expected is None:
            tally.doubts.append(f"{rows[0].at}: nobody knows what {key.name} means on {key.network} ({key.phase})")
            continue
        asked = settled(rows, [expected.says(str(row.value)) for row in rows])
        slowest[key.phase] = max(slowest.get(key.phase, 0.0), asked.took_s)
        _judge(tally, key, asked, str(expected))
    tally.doubts += [f"no name was looked up in phase {phase}" for phase in truth.phases if phase not in slowest]
    tally.figures = _figures(slowest)
    return tally.verdict(check, f"all {tally.correct} names were right in {len(slowest)} phases")


def _judge(tally: Tally, key: NameKey, asked: Settled, expected: str) -> None:
    if asked.since:
        tally.right()
        return
    value = str(asked.last.value)
    got = "timeout" if value == "timeout" else "dns" if value in NOTHING else "ok"
    detail = f": {value} instead of {expected} on {key.network} in phase {key.phase}"
    tally.fail(Failure(asked.last.at, key.name, "name", "dns", 4, expected, got), detail)


def _figures(slowest: dict[str, float]) -> dict[str, float]:
    each = {f"settle_{phase.replace('-', '_')}_s": round(took_s, 3) for phase, took_s in slowest.items()}
    return {"settle_max_s": round(max(slowest.values(), default=0.0), 3), **each}
