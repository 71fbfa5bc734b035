"""What a scenario may ask of a run: named predicates with parameters, so that YAML needs no conditions. Pure.

Each says whether it holds of a run, None where the run cannot tell, and by what; unknown is never an answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from harness.model.history import History
from harness.model.verdict import Verdict

#: Answers to a lookup that hold no address.
MISSING = ("nxdomain", "servfail", "timeout")
#: Later than any time in nanoseconds.
_NEVER = 1 << 63


class Params(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    check: str = Field(..., description="The id of the check whose rows are looked at")


@dataclass(frozen=True)
class Told:
    """`holds` None: the run cannot tell. `words` say by what, for people."""

    holds: bool | None
    words: str


@dataclass(frozen=True)
class Seen:
    """A check as it was: its rows and its verdict."""

    rows: History
    verdict: Verdict


class Steps(Params):
    ok: list[str] = Field(default_factory=list, description="Steps of `commands` that must end with 0")
    failed: list[str] = Field(default_factory=list, description="Steps that must end with something else")


def steps(params: Steps, seen: Seen) -> Told:
    """Whether commands ended as they must."""
    rows = {row.key: row for row in seen.rows.only(f="step").ops()}
    words, holds = [], True
    for name in (*params.ok, *params.failed):
        row = rows.get(name)
        if row is None or row.outcome == "info":
            return Told(None, f"{name}: {row.value if row else 'was not run'}")
        last = str(row.value).strip().splitlines()[-1:] or ["no output"]
        words.append(f"{name} ended with {row.errno}: {last[0][:200]}")
        holds &= (row.errno == 0) == (name in params.ok)
    return Told(holds, "; ".join(words))


class Named(Params):
    name: str = Field(..., description="A promise, as the report calls it")
    observed: Literal["kept", "broken"]


def promise(params: Named, seen: Seen) -> Told:
    """Whether a promise was kept or broken."""
    for each in seen.verdict.promises:
        if each.name == params.name:
            count = f"{each.count} of {each.of}" + (f": {each.witness}" if each.witness else "")
            holds = None if each.observed == "unmeasured" else each.observed == params.observed
            return Told(holds, f"{each.name} is {each.observed} ({count})")
    return Told(None, f"{params.name} was not measured")


class Judged(Params):
    verdict: Literal["pass", "fail"]
    reason: str = Field("", description="Words that the verdict's reason must hold")


def judged(params: Judged, seen: Seen) -> Told:
    """Whether the check itself passes or fails."""
    verdict = seen.verdict
    words = f"{verdict.verdict}: {verdict.reason}"
    if verdict.verdict == "unknown":
        return Told(None, words)
    return Told(verdict.verdict == params.verdict and params.reason in verdict.reason, words)


class NamesMissing(Params):
    at_least_s: float | None = Field(None, ge=0)
    at_most_s: float | None = Field(None, ge=0)


def _lacks(answer: str, truth: set[str]) -> bool:
    """Whether an answer holds nothing, or lacks an address of a task that ran when the scene was taken."""
    return answer in MISSING or not truth <= set(answer.split(","))


def names_missing(params: NamesMissing, seen: Seen) -> Told:
    """How long after the last healing a name, or a task behind it, was missing; by IP things went on.

    At least until the last answer that lacked something, at most until whoever got it was answered right: nobody
    knows what would have been answered in between, or before anybody asked.
    """
    healed = [row.end_ns for row in seen.rows.only(f="fault").ops() if row.value == "heal"]
    if not healed:
        return Told(None, "no fault was healed")
    since = max(healed)
    after = [row for row in seen.rows.only(f="dns").ops() if row.start_ns >= since]
    echoes = [row for row in seen.rows.only(f="beat", outcome="ok").ops() if row.end_ns >= since]
    if not after or not echoes:
        return Told(None, "nothing was asked by name and by IP after healing")
    truth = {row.key: set(str(row.value).split(",")) for row in seen.rows.only(f="truth").ops() if row.value}
    last: dict[tuple[str, str], int] = {}
    right: dict[tuple[str, str], int] = {}
    for row in sorted(after, key=lambda row: row.start_ns):
        who = (row.at, row.key.partition("|")[2])  # without the phase
        if _lacks(str(row.value), truth.get(row.key.replace("|tasks.", "|"), set())):
            last[who] = row.end_ns
            right[who] = _NEVER
        else:
            right[who] = min(row.end_ns, right.get(who, _NEVER))
    least_s = (max(last.values(), default=since) - since) / 1e9
    most_s = math.inf if _NEVER in right.values() else (max(right.values()) - since) / 1e9
    which = sorted({name.rpartition("|")[2] for _, name in last})[:4]
    words = _missing_words(least_s, most_s, which)
    return Told(_between(params, least_s, most_s), f"{words}; {len(echoes)} echoes by IP came back")


def _missing_words(least_s: float, most_s: float, which: Sequence[str]) -> str:
    if not which:
        return f"names were right when first asked, {most_s:.1f} s after healing"
    end = "to the end" if most_s == math.inf else f"right after {most_s:.1f} s"
    return f"names were missing for {least_s:.1f} s after healing, {end} ({', '.join(which)})"


def _between(params: NamesMissing, least_s: float, most_s: float) -> bool | None:
    """Whether what lies between the two is within what is asked; None where part of it is."""
    low, high = params.at_least_s or 0.0, math.inf if params.at_most_s is None else params.at_most_s
    if low <= least_s and most_s <= high:
        return True
    return False if most_s < low or least_s > high else None


@dataclass(frozen=True)
class Predicate:
    params: type[Params]
    ask: Callable[[Any, Seen], Told]


PREDICATES: Mapping[str, Predicate] = {
    "steps": Predicate(Steps, steps),
    "promise": Predicate(Named, promise),
    "judged": Predicate(Judged, judged),
    "names-missing": Predicate(NamesMissing, names_missing),
}


def ask(name: str, params: Mapping[str, Any], history: History, verdicts: Mapping[str, Verdict]) -> Told:
    """Ask one predicate of a run. A check that has no verdict (skipped, never reached) cannot tell."""
    predicate = PREDICATES[name]
    given = predicate.params.model_validate(dict(params))
    verdict = verdicts.get(given.check)
    if verdict is None:
        return Told(None, f"the check {given.check} did not run")
    return predicate.ask(given, Seen(history.only(check=given.check), verdict))
