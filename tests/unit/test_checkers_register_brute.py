"""Registers and sessions against brute force: the same answer on thousands of small random histories."""

from __future__ import annotations

import math
import os
import random
from collections import Counter

import numpy as np
import pytest

from harness.checkers import _sessions, _zones
from harness.checkers._sources import Reserved, sources
from harness.checkers._zones import Ints, Registers
from harness.model.history import NEVER
from tests import brute_registers as brute

HISTORIES = int(os.environ.get("HARNESS_HISTORIES", "2000"))
CHUNKS = 20


def cases(chunk: int) -> list[brute.Case]:
    rng = random.Random(f"registers {chunk}")
    return [brute.random_case(rng) for _ in range(math.ceil(HISTORIES / CHUNKS))]


def column(values: list[int]) -> Ints:
    return np.array(values, dtype=np.int64)


def registers_of(case: brute.Case) -> tuple[list[brute.Op], Registers]:
    """The operations that have a row, in any order, and the columns that the checker gets."""
    rows = [op for op in case.ops if op.told and not op.refused]
    hidden = [op.value for op in case.ops if not op.told]
    refused = column([op.value for op in case.ops if op.refused])
    key, value = column([op.cell for op in rows]), column([op.value for op in rows])
    write = np.array([op.write for op in rows], dtype=bool)
    reserved = Reserved(column(hidden), column([1] * len(hidden)), refused)
    source, repeated = sources(key, value, write, reserved)
    assert not len(repeated)
    finish = column([NEVER if math.isinf(op.finish) else int(op.finish) for op in rows])
    return rows, Registers(key, value, write, source, column([int(op.start) for op in rows]), finish)


def foreign(case: brute.Case) -> bool:
    """A value that was only reserved is not known to belong to any cell; brute force knows to which."""
    hidden = {op.value: op.cell for op in case.ops if not op.told}
    return any(op.cell != hidden.get(op.value, op.cell) for op in case.ops)


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_registers_are_right_where_some_order_fits(chunk: int) -> None:
    for number, case in enumerate(cases(chunk)):
        if foreign(case):
            continue
        rows, registers = registers_of(case)
        found = _zones.examine(registers)
        label = f"chunk {chunk}, history {number}: {case}\n{found}"
        phantoms, early = brute.wild(case)
        assert {rows[row] for row in found.phantoms} == phantoms, label
        assert {rows[row] for row in found.early} == early, label
        assert found.right == brute.linearizable(case), label


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_a_cycle_is_one(chunk: int) -> None:
    for case in cases(chunk):
        rows, registers = registers_of(case)
        found = _zones.examine(registers)
        assert (found.cycle is not None) == (found.contradictions > 0)
        if found.cycle is None:
            continue
        first_v, last_w, first_w, last_v = (rows[row] if row is not None else None for row in found.cycle)
        assert first_v is None or last_w is None or first_v.finish < last_w.start
        assert first_w is None or last_v is None or first_w.finish < last_v.start
        assert _values(first_v, last_v) != _values(last_w, first_w)
        assert len({op.cell for op in (first_v, last_w, first_w, last_v) if op}) == 1
        assert sum(op is None for op in (first_v, last_w, first_w, last_v)) <= 1


def _values(one: brute.Op | None, other: brute.Op | None) -> int:
    values = {op.value for op in (one, other) if op}
    assert len(values) == 1
    return values.pop()


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_stale_reads_are_those_that_missed_a_later_value(chunk: int) -> None:
    """By definition: some value was written after the one that was read, and was seen or written before the
    read.
    """
    for case in cases(chunk):
        rows, registers = registers_of(case)
        found = _zones.examine(registers)
        for row, delta in zip(found.stale.tolist(), found.stale_ns.tolist(), strict=True):
            read = rows[row]
            own = [op for op in rows if op.write and op.value == read.value]
            end = own[0].finish if own else -math.inf
            later = {op.value for op in rows if op.write and op.cell == read.cell and op.start > end}
            complete = min(op.finish for op in rows if op.value in later and op.cell == read.cell)
            assert delta == read.start - complete > 0


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_sessions_are_stale_by_the_rule(chunk: int) -> None:
    for number, case in enumerate(cases(chunk)):
        if foreign(case):
            continue
        rows, registers = registers_of(case)
        found = _sessions.examine(registers)
        label = f"chunk {chunk}, history {number}: {case}\n{found}"
        phantoms, early = brute.wild(case)
        assert {rows[row] for row in found.phantoms} == phantoms, label
        assert {rows[row] for row in found.early} == early, label
        assert {rows[row] for row in found.stale} == brute.stale_sessions(case) - phantoms, label
        for row, missed, delta in zip(found.stale, found.missed, found.stale_ns, strict=True):
            assert rows[missed].finish < rows[row].start, label
            assert delta == rows[row].start - rows[missed].finish, label
            older = [op for op in rows if op.write and op.value == rows[row].value]
            assert not older or older[0].finish < rows[missed].start, label


def test_the_random_histories_hold_every_kind_of_damage_and_of_health() -> None:
    seen: Counter[str] = Counter()
    for case in cases(0) + cases(1) + cases(2):
        _, registers = registers_of(case)
        found = _zones.examine(registers)
        seen.update(["right"] if found.right else ["wrong"])
        seen.update(["contradiction"] if found.contradictions else [])
        seen.update(["stale"] if len(found.stale) else [])
        seen.update(["stale session"] if len(_sessions.examine(registers).stale) else [])
        seen.update(["early"] if len(found.early) else [])
        seen.update(["phantom"] if len(found.phantoms) else [])
        seen.update(["unreported"] if (registers.source == _zones.UNREPORTED).any() else [])
        seen.update(["initial in a cycle"] if found.cycle and None in found.cycle else [])
        seen.update([case.mutation])
    wanted = {"right", "wrong", "contradiction", "stale", "stale session", "early", "phantom", "unreported"}
    wanted |= {"initial in a cycle", *brute.MUTATIONS}
    assert {name for name in wanted if seen[name] >= 2} == wanted, seen


@pytest.mark.parametrize("scale", [1, 1 << 20])
def test_sources_are_found_by_table_and_by_sorting_alike(scale: int) -> None:
    """Sequence numbers that lie far apart make a table too large."""
    rng = np.random.default_rng(3)
    value = (rng.integers(1, 9, 300) << 32) | (rng.permutation(300) * scale)
    write = np.arange(300) < 150
    value[150:] = rng.choice(np.concatenate([value[:200], column([0])]), 150)
    key = np.zeros(300, dtype=np.int64)
    reserved = Reserved(column([1 << 32]), column([0]), column([]))
    source, repeated = sources(key, value, write, reserved)
    expected = [
        _zones.INITIAL if v == 0 else next((row for row in range(150) if value[row] == v), _zones.PHANTOM)
        for v in value.tolist()
    ]
    assert source.tolist() == expected
    assert not len(repeated)
    twice = value.copy()
    twice[1] = twice[0]
    assert sources(key, twice, write, reserved)[1].tolist() == [value[0]]
