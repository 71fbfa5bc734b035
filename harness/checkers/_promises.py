"""Promises measured row by row, and what they make of a verdict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from harness.model.history import Op
from harness.model.verdict import Expected, Observed, Promise, Verdict, merge


def measured(
    name: str,
    expected: Expected,
    rows: Sequence[Op],
    is_kept: Callable[[Op], bool],
    source: str,
    tell: Callable[[Op], str],
) -> Promise:
    """Kept where every row keeps it; the first that does not is the witness, as `tell` says it."""
    broken = [row for row in rows if not is_kept(row)]
    observed: Observed = "unmeasured" if not rows else "broken" if broken else "kept"
    witness = tell(broken[0]) if broken else ""
    return Promise(name, expected, observed, len(broken), len(rows), source, witness)


def with_promises(verdict: Verdict, promises: Sequence[Promise]) -> Verdict:
    """The verdict with `promises`, and as bad as the worst of them."""
    bad = [promise for promise in promises if promise.outcome != "pass"]
    outcome = merge([verdict.verdict, *(promise.outcome for promise in promises)])
    own = [verdict.reason] if verdict.verdict != "pass" or not bad else []
    reasons = [*own, *(f"{promise.name}: {promise.witness or promise.observed}" for promise in bad)]
    return replace(verdict, verdict=outcome, reason="; ".join(reasons), promises=tuple(promises))
