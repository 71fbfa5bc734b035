"""Assertions counted, and the verdict that follows from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.checkers._judge import target_of
from harness.model.history import Op
from harness.model.topology import Check
from harness.model.verdict import Failure, Outcome, Verdict

SHOWN = 3


@dataclass
class Tally:
    """`wrong` are sentences about assertions that do not hold; `doubts` about those that nobody could decide.

    A pair that failed stands in `failures` as well.
    """

    correct: int = 0
    ignored: int = 0
    wrong: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    def right(self, count: int = 1) -> None:
        self.correct += count

    def fail(self, failure: Failure, detail: str = "") -> None:
        self.failures.append(failure)
        self.wrong.append(f"{failure}{detail}")

    def verdict(self, check: Check, good: str) -> Verdict:
        """Fail for anything wrong, unknown for any doubt or where nothing was right, else pass with `good`."""
        outcome: Outcome = "fail" if self.wrong else "unknown" if self.doubts or not self.correct else "pass"
        reasons = {
            "fail": few(self.wrong + self.doubts),
            "unknown": few(self.doubts) or "nothing that was measured says anything",
            "pass": good,
        }
        return Verdict(
            check.id,
            check.kind,
            target_of(check),
            outcome,
            reasons[outcome],
            correct=self.correct,
            wrong=len(self.wrong),
            no_value=len(self.doubts),
            ignored=self.ignored,
            failures=tuple(self.failures),
            figures=self.figures,
        )


def few(sentences: Sequence[str]) -> str:
    """The first of them, and how many more there are."""
    more = len(sentences) - SHOWN
    return "; ".join(sentences[:SHOWN]) + (f"; and {more} more" if more > 0 else "")


def last_of_each(rows: Iterable[Op]) -> list[Op]:
    """Where an operation was repeated, its last row counts."""
    return list({(row.f, row.at, row.key, row.length if row.f == "df" else 0): row for row in rows}.values())
