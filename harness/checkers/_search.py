"""The general search for a linearization: any model, any history, and NP-complete.

Wing and Gong's search with Lowe's memo ("Testing for linearizability", 2017): from a configuration (what is
placed, and the state) each call that nothing unplaced precedes is tried next; a configuration that was seen is
not entered again. Its wall is the number of calls that are concurrent, not the length of a history. What keeps it
small:

- A configuration is the first call that is not placed, a mask of those placed after it, a mask of the crashed ones
  that took effect, and the state: as large as the concurrency, not as the history.
- A call that may be next, is legal, and changes no state wherever it stands, is placed at once, and nothing else
  is tried instead: in any order it can be moved to the front. So reads never branch. (A write of what is there
  already is no such call: in another place it does change the state.)
- Of crashed calls that do the same, the earliest is used first; one that changes nothing never took effect, nor
  did one whose effect is overwritten before any call depended on it.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from harness.checkers._models import ILLEGAL, Model, State
from harness.model.calls import Call
from harness.model.history import NEVER

#: How many of the last calls of an order, and how many states, a finding keeps.
LAST_CALLS, STATES = 4, 4
#: The budget is looked at every so many configurations.
_LOOK_EVERY = 64
#: What one remembered configuration takes beside its masks and its state: measured on CPython 3.11 and 3.13.
_CONFIGURATION_BYTES = 240


@dataclass(frozen=True)
class Budget:
    """What a search may use: bytes for the configurations that it remembers, and time.monotonic() to end at."""

    memory_bytes: int
    deadline_s: float

    def used_up(self, used_bytes: int) -> str:
        """What ran out; empty where nothing did."""
        if used_bytes > self.memory_bytes:
            return f"the memory that it was given ({self.memory_bytes / 2**20:.0f} MiB)"
        return "the time that it was given" if time.monotonic() > self.deadline_s else ""


@dataclass
class Found:
    """What a search found. Where `legal` is not True, no order got past the answer to `stuck`: the calls answered
    before it have an order (`last` are its last calls), it leaves one of `states`, and in none of them `stuck` can
    be. That is the shortest prefix of the history without an order, unless `gave_up` says what ran out (`legal` is
    None then).
    """

    legal: bool | None
    configurations: int
    gave_up: str = ""
    stuck: Call | None = None
    placed: int = 0
    states: list[State] = field(default_factory=list)
    last: tuple[Call, ...] = ()


class _Configuration(NamedTuple):
    first: int
    placed: int
    crashed: int
    state: State


@dataclass
class _Frame:
    """One configuration on the way down: the calls that led here from the one above, and what to try next."""

    steps: list[Call]
    rest: Iterator[tuple[_Configuration, Call]]


def search(model: Model, calls: Sequence[Call], budget: Budget) -> Found:
    """Whether `calls` on one object have an order that `model` allows and that real time allows."""
    return _Search(model, calls, budget).run()


class _Search:
    def __init__(self, model: Model, calls: Sequence[Call], budget: Budget) -> None:
        self.model = model
        self.budget = budget
        self.calls = sorted((c for c in calls if not c.crashed), key=lambda call: (call.start, call.end))
        self.crashed = sorted((c for c in calls if c.crashed), key=lambda call: call.start)
        self.observers = [model.observes(call) for call in self.calls]
        self.twins = _twins(self.crashed)
        self.seen: set[_Configuration] = set()
        self.states: dict[State, State] = {}
        self.used_bytes = 0
        self.frames: list[_Frame] = []
        self.found = Found(True, 0)
        self.furthest = -1

    def run(self) -> Found:
        done = self._enter(_Configuration(0, 0, 0, self.model.initial), None)
        for turn in itertools.count():
            if not self.frames or done:
                break
            if turn % _LOOK_EVERY == 0 and (why := self.budget.used_up(self.used_bytes)):
                return self._ended(None, why)
            following = next(self.frames[-1].rest, None)
            if following is None:
                self.frames.pop()
            else:
                done = self._enter(*following)
        return self._ended(done)

    def _ended(self, legal: bool | None, why: str = "") -> Found:
        self.found.legal = legal
        self.found.gave_up = why
        self.found.configurations = len(self.seen)
        return self.found

    def _enter(self, at: _Configuration, by: Call | None) -> bool:
        """Go into a configuration unless it was seen. True where every answered call is placed then."""
        at, settled, ahead = self._settle(at)
        if at.first == len(self.calls):
            return True
        if at in self.seen:
            return False
        at = self._keep(at)
        steps = [by, *settled] if by else settled
        unseen = by is not None and by.crashed and not settled
        self.frames.append(_Frame(steps, self._following(at, ahead, unseen)))
        self._remember(at, min((self.calls[i] for i in ahead), key=_end))
        return False

    def _keep(self, at: _Configuration) -> _Configuration:
        """Remember a configuration; states that are equal are kept once, since they may be long texts."""
        if at.state not in self.states:
            self.states[at.state] = at.state
            self.used_bytes += sys.getsizeof(at.state)
        kept = at._replace(state=self.states[at.state])
        self.seen.add(kept)
        self.used_bytes += _CONFIGURATION_BYTES + (at.placed.bit_length() + at.crashed.bit_length()) // 8
        return kept

    def _settle(self, at: _Configuration) -> tuple[_Configuration, list[Call], list[int]]:
        """Place what only observes and is right. Also: what was placed, and the calls that may be next."""
        first, placed, crashed, state = at
        settled, ahead, earliest_end = [], [], NEVER
        for offset in _unset(placed):
            number = first + offset
            if number >= len(self.calls) or self.calls[number].start > earliest_end:
                break
            call = self.calls[number]
            if self.observers[number] and self.model.step(state, call) == state:
                settled.append(call)
                placed |= 1 << offset
            else:
                ahead.append(number)
                earliest_end = min(earliest_end, call.end)
        return _normal(first, placed, crashed, state), settled, ahead

    def _following(
        self, at: _Configuration, ahead: list[int], unseen: bool
    ) -> Iterator[tuple[_Configuration, Call]]:
        """Each call that may be next and is legal, the first to be answered first; crashed ones last.

        `unseen` says that a crashed call came last: what overwrites it is tried without it, one level above.
        """
        first, placed, crashed, state = at
        for number in sorted(ahead, key=lambda number: self.calls[number].end):
            if unseen and self.model.overwrites(self.calls[number]):
                continue
            after = self.model.step(state, self.calls[number])
            if after is not ILLEGAL:
                yield _normal(first, placed | 1 << (number - first), crashed, after), self.calls[number]
        earliest_end = min(self.calls[number].end for number in ahead)
        for number, call in enumerate(self.crashed):
            if call.start > earliest_end:
                return
            if crashed >> number & 1 or not (self.twins[number] < 0 or crashed >> self.twins[number] & 1):
                continue
            if unseen and self.model.overwrites(call):
                continue
            after = self.model.step(state, call)
            if after is not ILLEGAL and after != state:
                yield _Configuration(first, placed, crashed | 1 << number, after), call

    def _remember(self, at: _Configuration, stuck: Call) -> None:
        """Keep what the furthest configurations have in common, for the witness."""
        if stuck.end < self.furthest:
            return
        if stuck.end > self.furthest:
            self.furthest = stuck.end
            last = [call for frame in self.frames[-LAST_CALLS:] for call in frame.steps][-LAST_CALLS:]
            placed = at.first + at.placed.bit_count()
            self.found = Found(False, 0, stuck=stuck, placed=placed, last=tuple(last))
        if len(self.found.states) < STATES and at.state not in self.found.states:
            self.found.states.append(at.state)


def _end(call: Call) -> int:
    return call.end


def _twins(crashed: Sequence[Call]) -> list[int]:
    """For each crashed call the one before it that does the same, or -1."""
    latest: dict[object, int] = {}
    before = []
    for number, call in enumerate(crashed):
        what = (call.f, call.argument)
        before.append(latest.get(what, -1))
        latest[what] = number
    return before


def _unset(mask: int) -> Iterator[int]:
    """The places of the bits that are not set, from the lowest one upwards, without an end."""
    place = 0
    while True:
        ones = (~mask & (mask + 1)).bit_length() - 1
        place += ones
        yield place
        mask >>= ones + 1
        place += 1


def _normal(first: int, placed: int, crashed: int, state: State) -> _Configuration:
    """The configuration with `first` moved over all that is placed without a gap."""
    ones = (~placed & (placed + 1)).bit_length() - 1
    return _Configuration(first + ones, placed >> ones, crashed, state)
