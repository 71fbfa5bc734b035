"""A second opinion on small histories of cells: every order is tried, and rules are written down as they are
spoken.

Shares no code with the checkers. Slow on purpose: obviously right is all it has to be.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace

#: What can be done to a history that was simulated. Not every attempt makes it wrong.
MUTATIONS = ("none", "stale", "swap", "phantom", "future", "refused", "crashed", "other-cell", "skew")


@dataclass(frozen=True)
class Op:
    """A write or a read of one cell; a value of 0 is the initial one. `finish` is infinite where nobody answered;
    `refused` writes certainly did not happen; `told` is false for a write of which only the reservation is known.
    """

    write: bool
    cell: int
    value: int
    start: float
    finish: float
    process: int = 1
    refused: bool = False
    told: bool = True


@dataclass(frozen=True)
class Case:
    ops: tuple[Op, ...]
    mutation: str = "none"

    @property
    def cells(self) -> list[int]:
        return sorted({op.cell for op in self.ops})


def linearizable(case: Case) -> bool:
    """Whether, for every cell, the operations fit into one order that respects real time, in which each read
    brings what was written last. Writes without an answer may be left out.
    """
    return all(_fits(_of_cell(case, cell), 0) for cell in case.cells)


def _of_cell(case: Case, cell: int) -> tuple[Op, ...]:
    """A write that nobody told of may have begun at any time and never ended."""
    ops = [op for op in case.ops if op.cell == cell and not op.refused and (op.write or op.finish < math.inf)]
    return tuple(op if op.told else replace(op, start=-math.inf, finish=math.inf) for op in ops)


def _fits(left: tuple[Op, ...], now: int) -> bool:
    """Whether what is left can be put in order after the cell holds `now`: each that may be first is tried."""
    if all(op.write and op.finish == math.inf for op in left):
        return True
    earliest = min(op.finish for op in left)
    return any(
        op.start <= earliest
        and (op.write or op.value == now)
        and _fits((*left[:place], *left[place + 1 :]), op.value if op.write else now)
        for place, op in enumerate(left)
    )


def stale_sessions(case: Case) -> set[Op]:
    """Close-to-open: reads of W for which another write session opened after W closed, and closed before they
    opened.
    """
    return {r for r in case.ops if not r.write and r.finish < math.inf and _is_stale(case, r)}


def _is_stale(case: Case, read: Op) -> bool:
    writes = [op for op in case.ops if op.write and op.cell == read.cell and not op.refused]
    older = [w for w in writes if w.value == read.value]
    if read.value and (not older or not older[0].told):
        return False
    closed = older[0].finish if older else -math.inf
    return any(w.told and w.start > closed and w.finish < read.start for w in writes)


def wild(case: Case) -> tuple[set[Op], set[Op]]:
    """Reads of what nobody wrote to that cell, and reads that had ended before their write began."""
    phantoms, early = set(), set()
    for read in (op for op in case.ops if not op.write and op.finish < math.inf and op.value):
        source = [w for w in case.ops if w.write and w.value == read.value and not w.refused]
        if not source or source[0].cell != read.cell:
            phantoms.add(read)
        elif source[0].told and read.finish < source[0].start:
            early.add(read)
    return phantoms, early


def random_case(rng: random.Random) -> Case:
    """A right history of at most eight operations on one or two cells, then perhaps one thing gone wrong."""
    ops = _simulated(rng)
    return mutated(Case(tuple(ops)), rng.choice(MUTATIONS), rng)


def _simulated(rng: random.Random) -> list[Op]:
    """Processes act one after another; each operation takes effect somewhere between its start and its finish."""
    plans: list[tuple[float, int, Op]] = []
    for process in range(1, rng.randint(2, 4) + 1):
        clock = rng.randint(0, 6)
        for sequence in range(rng.randint(1, 3)):
            start = clock + rng.randint(0, 4)
            finish = start + rng.randint(1, 9)
            cell = rng.randint(0, 1) if rng.random() < 0.3 else 0
            op = Op(rng.random() < 0.5, cell, process << 32 | sequence + 1, start, finish, process)
            effect = rng.uniform(start, finish)
            if op.write and rng.random() < 0.2:
                op = replace(op, finish=math.inf, told=rng.random() < 0.6)
                effect = rng.uniform(start, start + 20) if rng.random() < 0.6 else math.inf
            plans.append((effect, len(plans), op))
            clock = finish + rng.randint(1, 3)
    return _effected(sorted(plans))


def _effected(plans: list[tuple[float, int, Op]]) -> list[Op]:
    now: dict[int, int] = {}
    ops = []
    for effect, _, op in plans:
        if op.write:
            if effect < math.inf:
                now[op.cell] = op.value
            ops.append(op)
        else:
            ops.append(replace(op, value=now.get(op.cell, 0)))
    return ops


def mutated(case: Case, mutation: str, rng: random.Random) -> Case:
    changed = _MUTATE[mutation](list(case.ops), rng)
    return Case(tuple(changed), mutation if tuple(changed) != case.ops else "none")


def _reads(ops: list[Op]) -> list[int]:
    return [place for place, op in enumerate(ops) if not op.write]


def _change_read(ops: list[Op], rng: random.Random, values: list[int]) -> list[Op]:
    if _reads(ops) and values:
        place = rng.choice(_reads(ops))
        ops[place] = replace(ops[place], value=rng.choice(values))
    return ops


def _stale(ops: list[Op], rng: random.Random) -> list[Op]:
    return _change_read(ops, rng, [0, *(op.value for op in ops if op.write and op.cell == 0)])


def _swap(ops: list[Op], rng: random.Random) -> list[Op]:
    reads = _reads(ops)
    if len(reads) >= 2:
        a, b = rng.sample(reads, 2)
        ops[a], ops[b] = replace(ops[a], value=ops[b].value), replace(ops[b], value=ops[a].value)
    return ops


def _phantom(ops: list[Op], rng: random.Random) -> list[Op]:
    return _change_read(ops, rng, [9 << 32, (1 << 32) | 77])


def _future(ops: list[Op], rng: random.Random) -> list[Op]:
    """A read of a value that is written later."""
    writes = [op for op in ops if op.write and op.told]
    if writes and _reads(ops):
        place, write = rng.choice(_reads(ops)), rng.choice(writes)
        ops[place] = replace(
            ops[place], value=write.value, cell=write.cell, start=write.start - 3, finish=write.start - 1
        )
    return ops


def _refuse(ops: list[Op], rng: random.Random) -> list[Op]:
    writes = [place for place, op in enumerate(ops) if op.write and op.told]
    if writes:
        place = rng.choice(writes)
        ops[place] = replace(ops[place], refused=True, finish=ops[place].start + 1)
    return ops


def _crash(ops: list[Op], rng: random.Random) -> list[Op]:
    writes = [place for place, op in enumerate(ops) if op.write]
    if writes:
        place = rng.choice(writes)
        ops[place] = replace(ops[place], finish=math.inf, told=rng.random() < 0.5)
    return ops


def _other_cell(ops: list[Op], rng: random.Random) -> list[Op]:
    place = rng.randrange(len(ops))
    ops[place] = replace(ops[place], cell=1 - ops[place].cell)
    return ops


def _skew(ops: list[Op], rng: random.Random) -> list[Op]:
    """One process's operations are late or early by some ticks: not necessarily wrong."""
    victim, shift = rng.choice(ops).process, rng.randint(-6, 6)
    return [
        replace(op, start=op.start + shift, finish=op.finish + shift) if op.process == victim else op for op in ops
    ]


_MUTATE = {
    "none": lambda ops, _rng: ops,
    "stale": _stale,
    "swap": _swap,
    "phantom": _phantom,
    "future": _future,
    "refused": _refuse,
    "crashed": _crash,
    "other-cell": _other_cell,
    "skew": _skew,
}
