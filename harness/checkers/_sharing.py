"""Whether the hosts of a check see one volume at all, and its verdict from what was measured on it.

Hosts that see nothing of each other have a volume each: what they did is judged host by host, and never called
lost, since nobody promised that it would be found elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from harness.checkers._judge import target_of
from harness.checkers._volumes import (
    Measured,
    absent_nonces,
    decided,
    failed_looks,
    promise_of,
    seen_nonces,
    void_of,
)
from harness.model.history import History
from harness.model.plan import Plan
from harness.model.topology import Check
from harness.model.verdict import Verdict


def is_unshared(history: History, volume: str) -> bool:
    """Whether hosts looked for each other's files, and none found any."""
    return bool(absent_nonces(history, volume)) and not seen_nonces(history, volume)


def parts(history: History, volume: str) -> list[History]:
    """The rows that are judged together: all of them, or those of each host where the volume is not shared."""
    if not is_unshared(history, volume):
        return [history]
    hosts = sorted({row.host for row in history.only(f="nonce").ops()})
    return [history.only(host=host) for host in hosts]


def shared(history: History, volume: str) -> Measured:
    seen, absent = seen_nonces(history, volume), absent_nonces(history, volume)
    if absent and not seen:
        return Measured(len(absent), len(absent), "not shared: no host sees a file of another host")
    return Measured(len(absent), len(seen) + len(absent), absent[0] if absent else "")


def verdict_of(
    history: History,
    plan: Plan,
    check: Check,
    measured: Mapping[str, Measured],
    *,
    doubts: Sequence[str],
    figures: Mapping[str, Any],
    counts: tuple[int, int] = (0, 0),
) -> Verdict:
    """`measured`: what the check found of each promise, besides `shared`, which is asked here. `counts`: how many
    operations were acknowledged, and of how many nobody knows.
    """
    volume = plan.volume(check.params["volume"])
    unshared = is_unshared(history, volume.name)
    found = {"shared": shared(history, volume.name), **measured}
    promises = tuple(promise_of(name, measure, volume) for name, measure in found.items())
    wrong = sum(promise.count for promise in promises if promise.outcome == "fail")
    verdict = Verdict(
        check.id,
        check.kind,
        target_of(check),
        "pass",
        "",
        correct=max(0, counts[0] - wrong),
        wrong=wrong,
        no_value=sum(promise.outcome == "unknown" for promise in promises),
        ignored=counts[1],
        promises=promises,
        figures=dict(figures),
    )
    all_doubts = [*doubts, *failed_looks(history, volume.name)]
    void = void_of(history, volume, unshared=unshared)
    return decided(verdict, volume, unshared=unshared, doubts=all_doubts, void=void)


def summed(measure: Callable[[History], Mapping[str, Measured]], rows: Iterable[History]) -> dict[str, Measured]:
    """By promise, what was measured in each part."""
    total: dict[str, Measured] = {}
    for part in rows:
        for name, found in measure(part).items():
            total[name] = total.get(name, Measured()) + found
    return total


def workers_of(rows: History) -> set[str]:
    """Workers by the name that they began with: one that could not say whether something happened goes on as
    another process (`w3`, then `w3.2`).
    """
    return {str(process).partition(".")[0] for process in set(rows["process"].tolist())}


def unread_hosts(history: History, f: str) -> list[str]:
    """Hosts whose container was looked at in the end, and that did not read what the final `f` rows tell."""
    read = {row.host for row in history.only(f=f, outcome="ok").ops()}
    missing = sorted({row.host for row in history.only(f="mount").ops()} - read)
    return [f"nobody read it in the end on {', '.join(missing)}"] if missing else []
