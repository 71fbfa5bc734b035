"""Columns of histories: what is the same is kept once, numbers and texts share one, and memory is bounded."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from harness.model.columns import Coded, Values, is_constant
from harness.model.history import NEVER, History, Op
from tests.bench.scale import measured

#: What a history of 1e7 appends, read back on three hosts, may take by the project's goal: 4 GB.
BYTES_AN_APPEND = 400


def test_what_is_the_same_in_all_rows_is_kept_once_and_reads_the_same() -> None:
    history = History.of_batches([{"n": 1000, "f": "append", "value": {"from": 7}, "err_ns": 0}] * 3)
    assert is_constant(history["err_ns"])
    assert is_constant(history.coded("f").codes)
    assert history["err_ns"].tolist() == [0] * 3000
    part = history.where(history.value_int() > 1000)
    assert is_constant(part["err_ns"])
    assert len(part["err_ns"]) == len(part) == 18


def test_a_column_that_differs_once_is_not_constant() -> None:
    batches = [{"n": 2, "f": "x", "length": 5}, {"n": 1, "f": "x", "length": 6}, {"n": 2, "f": "x", "length": 5}]
    assert History.of_batches(batches)["length"].tolist() == [5, 5, 6, 5, 5]


MIXED: list[Any] = [1, "ok", -1, "7", "", 1 << 62, "ok", -(1 << 63), "x" * 1000, NEVER]


def test_numbers_and_texts_stand_in_one_column_as_they_came() -> None:
    values = Values.of(MIXED)
    assert values.decoded().tolist() == MIXED
    assert [type(value) for value in values.decoded()] == [type(value) for value in MIXED]
    chosen = values[np.array([3, 0, 8])]
    assert chosen.decoded().tolist() == ["7", 1, "x" * 1000]


def test_a_text_that_is_a_number_counts_as_one_where_numbers_are_asked_for() -> None:
    assert Values.of([5, "7"]).integers().tolist() == [5, 7]
    with pytest.raises(ValueError, match="ok"):
        Values.of([5, "ok"]).integers()


def test_a_number_beyond_64_bits_is_kept_as_it_is() -> None:
    assert Values.of([1 << 80, 3]).decoded().tolist() == [1 << 80, 3]


@pytest.mark.parametrize("texts", [1, 100, 128, 200, 40_000])
def test_codes_grow_with_the_number_of_texts(texts: int) -> None:
    words = [str(i) for i in range(texts)] * 2
    column = Coded.of(words)
    assert column.decoded().tolist() == words
    assert column.is_in([str(texts - 1)]).sum() == 2
    assert not column.is_in(["none"]).any()


def test_any_batches_give_the_rows_that_single_operations_give() -> None:
    rng = random.Random(1)
    for _ in range(200):
        parts, ops = [], []
        for _ in range(rng.randint(1, 4)):
            rows = rng.randint(1, 3)
            value: Any = rng.choice([rng.choice(MIXED), [rng.choice(MIXED) for _ in range(rows)]])
            f: Any = rng.choice(["a", [rng.choice("ab") for _ in range(rows)]])
            batch = {"n": rows, "f": f, "value": value, "length": rng.choice([3, [rng.randint(1, 2)] * rows])}
            parts.append(batch)
            ops += [_row_of(batch, i) for i in range(rows)]
        assert list(History.of_batches(parts).ops()) == ops == list(History.of(ops).ops())


def test_memory_for_an_append_is_bounded_its_history_and_its_verdict_included() -> None:
    """In processes of their own, from which what an almost empty one takes is taken off."""
    few, many = (measured("append", count)["peak_bytes"] for count in (1000, 200_000))
    assert (many - few) / 200_000 < BYTES_AN_APPEND


def test_memory_for_a_row_on_its_way_through_parquet_is_bounded() -> None:
    few, many = (measured("parquet", count)["peak_bytes"] for count in (1000, 200_000))
    assert (many - few) / 200_000 < BYTES_AN_APPEND


def _row_of(batch: dict[str, Any], row: int) -> Op:
    one = {name: value[row] if isinstance(value, list) else value for name, value in batch.items()}
    return Op("", "", "", "", one["f"], "", one["value"], length=one["length"])
