"""Is a history of calls linearizable? By zones where these can tell, else searched key by key; told in prose."""

from __future__ import annotations

import bisect
import time
from collections.abc import Sequence
from dataclasses import dataclass

from harness.checkers._models import Model, Register, parts
from harness.checkers._search import STATES, Budget, Found, search
from harness.checkers._unique import broken, unique
from harness.model.calls import Call
from harness.model.verdict import Outcome

MEMORY_BYTES = 512 * 2**20
#: Keys are first searched with this much, so that one hard key does not hide what is wrong with an easy one.
_FIRST_BYTES = 2 * 2**20
#: More calls than these are counted, not listed.
_LISTED = 6


@dataclass(frozen=True)
class Linearity:
    """`operations` counts answered calls, `crashed` those without an answer, `keys` the independent objects."""

    verdict: Outcome
    checker: str
    operations: int
    crashed: int
    keys: int
    witness: str


def linearizable(model: Model, calls: Sequence[Call], *, timeout_s: float) -> Linearity:
    """Judge a history. Registers without cas whose values are written once each take no search; what does is given
    up after about `timeout_s` or MEMORY_BYTES, as unknown and with the place.

    Stops at the first key without an order. A history in which nothing was observed is unknown.
    """
    objects = parts(model, calls)
    zoned = _by_zones(model, calls)
    verdict, witness = zoned or _searched(model, objects, time.monotonic() + timeout_s)
    if verdict == "pass" and (lack := model.lacks(calls)):
        verdict, witness = "unknown", f"{lack}: nothing that was observed could have been wrong"
    crashed = sum(call.crashed for call in calls)
    return Linearity(
        verdict,
        f"{'zones' if zoned else 'search'}, {model.name}",
        len(calls) - crashed,
        crashed,
        len(objects),
        witness,
    )


def _by_zones(model: Model, calls: Sequence[Call]) -> tuple[Outcome, str] | None:
    """None where the zones cannot tell."""
    if not isinstance(model, Register) or not (history := unique(calls, model.initial)):
        return None
    try:
        witness = broken(history, lambda call: _told(model, call))
    except ValueError:
        return None
    return ("fail", witness) if witness else ("pass", "")


def _searched(model: Model, objects: dict[str, list[Call]], deadline_s: float) -> tuple[Outcome, str]:
    left = dict(sorted(objects.items(), key=lambda item: len(item[1])))
    gave_up = ""
    for memory_bytes in (_FIRST_BYTES, MEMORY_BYTES):
        gave_up = ""
        for key, calls in list(left.items()):
            found = search(model, calls, Budget(memory_bytes, deadline_s))
            if found.legal is False:
                return "fail", _broken(model, key, calls, found)
            if found.legal:
                del left[key]
            else:
                gave_up = gave_up or _given_up(model, key, calls, found)
    return ("unknown", gave_up) if gave_up else ("pass", "")


def _broken(model: Model, key: str, calls: Sequence[Call], found: Found) -> str:
    stuck = found.stuck
    assert stuck is not None
    lines = [f"{_of(key)}{_told(model, stuck)} cannot be placed, in any order."]
    before = sum(call.end < stuck.end for call in calls)
    states = _one_of([model.tell_state(state) for state in found.states], len(found.states) == STATES)
    if before:
        lines += [f"{_calls(before)} answered before it can be put in order; then {states}."]
        lines += _listed("The last ones of such an order:", model, found.last)
    else:
        lines += [f"No call was answered before it; at first {states}."]
    under_way = [c for c in calls if c is not stuck and c.start <= stuck.end <= c.end]
    answered = [call for call in under_way if not call.crashed]
    crashed = [call for call in under_way if call.crashed]
    lines += _listed("Also under way then, and placed before it or after it without help:", model, answered)
    lines += _listed("Never answered, and tried everywhere:", model, crashed)
    return "\n".join(lines)


def _given_up(model: Model, key: str, calls: Sequence[Call], found: Found) -> str:
    where = f", at {_told(model, found.stuck)}" if found.stuck else ""
    done = sum(not call.crashed for call in calls)
    return (
        f"{_of(key)}the search gave up after {found.configurations:,} configurations: it used up {found.gave_up}. "
        f"It came as far as {found.placed:,} of {done:,} answered calls{where}; up to {concurrency(calls)} calls "
        "were under way at once, and that is what makes a search long"
    )


def _of(key: str) -> str:
    return f"key {key}: " if key else ""


def _told(model: Model, call: Call) -> str:
    place = f"{call.place}, " if call.place else ""
    return f"{place}process {call.process}: {model.tell(call)}"


def _one_of(states: list[str], more: bool) -> str:
    return " or ".join(states) + (" or others" if more else "")


def _calls(count: int) -> str:
    return f"The {count} calls that were" if count > 1 else "The one call that was"


def _listed(title: str, model: Model, calls: Sequence[Call]) -> list[str]:
    if not calls:
        return []
    more = [f"  and {len(calls) - _LISTED} more"] if len(calls) > _LISTED else []
    return [title, *(f"  {_told(model, call)}" for call in calls[:_LISTED]), *more]


def concurrency(calls: Sequence[Call]) -> int:
    """The largest number of calls under way at once, crashed ones included."""
    ends = sorted(call.end for call in calls)
    starts = sorted(call.start for call in calls)
    return max((n - bisect.bisect_left(ends, start) for n, start in enumerate(starts, start=1)), default=0)
