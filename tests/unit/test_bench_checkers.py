"""What `make bench` measures of the checkers is right where it is small: the same code, judged and not timed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.checkers._watching import followed
from harness.model.history import History
from tests.bench import checkers, registers, scale

APPENDS = 2_000


def quiet(_line: str) -> None:
    pass


def test_an_append_log_that_is_followed_while_it_grows_is_right() -> None:
    (row,) = checkers.online(1, quiet, appends=APPENDS)
    assert row.values[0] > 0


def test_the_judge_that_is_measured_finds_what_is_lost() -> None:
    """Without one record that was acknowledged the others follow each other in vain."""
    pieces = [dict(batch) for piece in checkers._pieces(APPENDS) for batch in piece]
    assert not checkers_fail(pieces)
    for batch in pieces:
        if batch["f"] == "glimpse":
            batch.update(value=batch["value"][1:], n=batch["n"] - 1)
    assert checkers_fail(pieces)


def checkers_fail(batches: list[checkers.Batch]) -> bool:
    return followed(checkers.plan(), checkers.CHECK)(batches)


@pytest.mark.parametrize(
    ("judged", "batches"),
    [
        (checkers.judged, lambda: checkers.batches(APPENDS)),
        (registers.judged, lambda: registers.batches(APPENDS, 1)),
    ],
)
def test_a_history_that_is_measured_passes(
    judged: Callable[[History], None], batches: Callable[[], object]
) -> None:
    judged(History.of_batches(batches()))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["append", "register", "parquet"])
def test_the_growth_of_a_kind_is_measured_in_a_process_of_its_own(kind: str) -> None:
    found = scale.measured(kind, APPENDS)
    assert set(found) == {"seconds", "peak_bytes", "unit_s"}
    assert all(value > 0 for value in found.values())
