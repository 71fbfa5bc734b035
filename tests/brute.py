"""A second opinion on small append logs: definitions written down as they are spoken, and every order tried.

Shares no code with the checker. Slow on purpose: obviously right is all it has to be.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field, replace
from itertools import combinations, permutations

#: What can be done to a right history. The name says which promise it should break; not every attempt does.
MUTATIONS = ("none", "lost", "duplicate", "reorder", "phantom", "refused", "torn", "skew")


@dataclass(frozen=True)
class Append:
    """`finish` is infinite for an append that was never answered; `refused` ones certainly did not happen.

    `told` is false for one of which only the reservation is known.
    """

    id: int
    host: str
    start: float
    finish: float
    err: int = 0
    refused: bool = False
    told: bool = True

    @property
    def acknowledged(self) -> bool:
        return self.told and not self.refused and self.finish < math.inf


@dataclass(frozen=True)
class Case:
    """Appends, and the file: (id, offset) of whole records, and (kind, offset, length) of garbage."""

    appends: tuple[Append, ...]
    file: tuple[tuple[int, int], ...]
    garbage: tuple[tuple[str, int, int], ...] = ()
    mutation: str = "none"


@dataclass
class Truth:
    lost: set[int] = field(default_factory=set)
    unexpected: set[int] = field(default_factory=set)
    duplicates: set[int] = field(default_factory=set)
    misordered: int = 0

    @property
    def right(self) -> bool:
        return not (self.lost or self.unexpected or self.duplicates or self.misordered)


def before(one: Append, other: Append) -> bool:
    """Whether `one` had certainly finished when `other` started. On one host clocks agree."""
    if not one.told or not other.told or math.isinf(one.finish):
        return False
    slack = 0 if one.host == other.host else one.err + other.err
    return one.finish + slack < other.start


def judge(case: Case) -> Truth:
    """Each property by its definition."""
    possible = {append.id: append for append in case.appends if not append.refused}
    found = [record for record, _ in sorted(case.file, key=lambda entry: entry[1])]
    once = [record for place, record in enumerate(found) if record not in found[:place] and record in possible]
    return Truth(
        lost={a.id for a in case.appends if a.acknowledged and a.id not in found},
        unexpected={record for record in found if record not in possible},
        duplicates={record for record in found if found.count(record) > 1},
        misordered=sum(
            any(before(possible[later], possible[record]) for later in once[place + 1 :])
            for place, record in enumerate(once)
        ),
    )


def linearizable(case: Case) -> bool:
    """Whether any order of the acknowledged appends, and of some unanswered ones, respects real time and is the
    file. Tries all of them.
    """
    must = [append for append in case.appends if append.acknowledged]
    may = [append for append in case.appends if not append.acknowledged and not append.refused]
    found = [record for record, _ in sorted(case.file, key=lambda entry: entry[1])]
    return any(
        [append.id for append in order] == found and _respects_time(order)
        for count in range(len(may) + 1)
        for chosen in combinations(may, count)
        if len(must) + count == len(found)
        for order in permutations([*must, *chosen])
    )


def _respects_time(order: tuple[Append, ...]) -> bool:
    return not any(before(late, early) for early, late in combinations(order, 2))


def random_case(rng: random.Random) -> Case:
    """A right history of at most six appends with crashed ones among them, then perhaps one thing gone wrong."""
    appends, effects = _simulated(rng)
    happened = sorted((at, append.id) for at, append in zip(effects, appends, strict=True) if at < math.inf)
    file = tuple((record, place * 8) for place, (_, record) in enumerate(happened))
    case = Case(tuple(appends), file)
    return mutated(case, rng.choice(MUTATIONS), rng)


def _simulated(rng: random.Random) -> tuple[list[Append], list[float]]:
    """Writers append one after another; each append takes effect somewhere between its start and its finish."""
    appends: list[Append] = []
    effects: list[float] = []
    for writer in range(1, rng.randint(2, 3) + 1):
        clock = rng.randint(1, 4)
        for sequence in range(rng.randint(1, 2)):
            start = clock + rng.randint(0, 4)
            finish = start + rng.randint(0, 8)
            append = Append(writer << 32 | sequence, f"n{writer % 2 + 1}", start, finish)
            effect = rng.uniform(start, finish)
            if rng.random() < 0.25:
                append = replace(append, finish=math.inf, told=rng.random() < 0.6)
                effect = rng.uniform(start, start + 20) if rng.random() < 0.6 else math.inf
            appends.append(append)
            effects.append(effect)
            clock = finish + rng.randint(1, 3)
    return appends, effects


def mutated(case: Case, mutation: str, rng: random.Random) -> Case:
    changed = _MUTATE[mutation](case, rng) if case.file else case
    return replace(changed, mutation=mutation if changed != case else "none")


def _lose(case: Case, rng: random.Random) -> Case:
    gone = rng.choice(case.file)
    return replace(case, file=tuple(entry for entry in case.file if entry != gone))


def _duplicate(case: Case, rng: random.Random) -> Case:
    record, _ = rng.choice(case.file)
    return replace(case, file=(*case.file, (record, rng.randrange(-1, 8 * len(case.file)) * 2 + 1)))


def _reorder(case: Case, rng: random.Random) -> Case:
    records = [record for record, _ in case.file]
    rng.shuffle(records)
    return replace(case, file=tuple((record, place * 8) for place, record in enumerate(records)))


def _phantom(case: Case, rng: random.Random) -> Case:
    return replace(case, file=(*case.file, (rng.choice([9 << 32, (1 << 32) | 77]), 8 * len(case.file))))


def _refuse(case: Case, rng: random.Random) -> Case:
    """An append that is in the file, or not, was reported as certainly not done."""
    victim = rng.choice([append for append in case.appends if append.told] or list(case.appends))
    refused = tuple(replace(a, refused=True, told=True) if a == victim else a for a in case.appends)
    return replace(case, appends=refused)


def _tear(case: Case, rng: random.Random) -> Case:
    kind = rng.choice(["torn", "hole", "foreign"])
    return replace(case, garbage=((kind, 8 * len(case.file), rng.randint(1, 7)),))


def _skew(case: Case, rng: random.Random) -> Case:
    """Clocks of n2 are off by as much as they may be; nothing is wrong with the file."""
    err = rng.randint(1, 6)
    shift = rng.randint(-err, err) * 2
    moved = [
        replace(
            a,
            err=err,
            start=a.start + (shift if a.host == "n2" else 0),
            finish=a.finish + (shift if a.host == "n2" else 0),
        )
        for a in case.appends
    ]
    return replace(case, appends=tuple(moved))


_MUTATE = {
    "none": lambda case, _rng: case,
    "lost": _lose,
    "duplicate": _duplicate,
    "reorder": _reorder,
    "phantom": _phantom,
    "refused": _refuse,
    "torn": _tear,
    "skew": _skew,
}
