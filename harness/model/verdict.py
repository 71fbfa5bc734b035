"""Verdicts. They merge as pass < unknown < fail: unknown is never green."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

Outcome = Literal["pass", "unknown", "fail"]
Expected = Literal["holds", "may", "opt", "unproven"]
Observed = Literal["kept", "broken", "unmeasured"]

_ORDER: dict[Outcome, int] = {"pass": 0, "unknown": 1, "fail": 2}
EXIT: dict[Outcome, int] = {"pass": 0, "fail": 1, "unknown": 2}


def merge(outcomes: Iterable[Outcome]) -> Outcome:
    """The worst of them; of none: unknown, since a run in which nothing was checked shows nothing."""
    return max(outcomes, key=_ORDER.__getitem__, default="unknown")


@dataclass(frozen=True)
class Failure:
    """An assertion about a pair that does not hold. `got` of what was expected closed is what answered."""

    source: str
    target: str
    via: str
    protocol: str
    family: int
    expected: str
    got: str

    def as_json(self) -> dict[str, Any]:
        return {
            "from": self.source,
            "to": self.target,
            "via": self.via,
            "protocol": self.protocol,
            "family": self.family,
            "expected": self.expected,
            "got": self.got,
        }

    def __str__(self) -> str:
        return (
            f"{self.source} -> {self.target} via {self.via} ({self.protocol}/ipv{self.family}): "
            f"expected {self.expected}, got {self.got}"
        )


@dataclass(frozen=True)
class Promise:
    """What a driver promises (`expected`), and what was seen. `witness` is prose; empty where kept."""

    name: str
    expected: Expected
    observed: Observed
    count: int = 0
    of: int = 0
    source: str = ""
    witness: str = ""

    @property
    def outcome(self) -> Outcome:
        """A broken promise that the driver makes fails; one that holds and was not measured is unknown."""
        if self.expected != "holds":
            return "pass"
        return {"kept": "pass", "broken": "fail", "unmeasured": "unknown"}[self.observed]  # type: ignore[return-value]


@dataclass(frozen=True)
class Skip:
    """A check (`part` empty) or a part of one that did not run, and the feature that it needs."""

    check: str
    part: str
    needs: str


@dataclass(frozen=True)
class Verdict:
    """What one check showed. `correct`, `wrong`, `no_value` and `ignored` count assertions.

    `operations` counts acknowledged operations by node and kind. `figures` holds numbers and short texts with
    the unit last in the name (`rtt_p50_us`); the report draws what it knows and lists the rest.
    """

    id: str
    name: str
    target: str
    verdict: Outcome
    reason: str
    correct: int = 0
    wrong: int = 0
    no_value: int = 0
    ignored: int = 0
    operations: dict[str, dict[str, int]] = field(default_factory=dict)
    promises: tuple[Promise, ...] = ()
    failures: tuple[Failure, ...] = ()
    figures: dict[str, Any] = field(default_factory=dict)
    skipped: tuple[Skip, ...] = ()
    duration_s: float = 0.0
