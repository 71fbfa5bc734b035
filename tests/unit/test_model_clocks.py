"""Clocks of hosts, brought onto one by measurements that bound them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.model.clocks import MAX_DRIFT, OF_RUNNER, aligned, clocks_of
from harness.model.history import NEVER, History, Op

MS = 1_000_000
S = 1000 * MS
BEHIND = 5000 * S  # n2 was booted so much later


def clock(controller_ns: int, host_ns: int, error_ns: int, host: str = "n2") -> Op:
    """The host's clock read `host_ns` at `controller_ns`, give or take `error_ns`."""
    start, end = controller_ns - error_ns, controller_ns + error_ns
    return Op("controller", host, "", "", "clock", "monotonic", str(host_ns), start_ns=start, end_ns=end)


def row(host: str, start_ns: int, end_ns: int, f: str = "append", **others: object) -> Op:
    return replace(Op("w1", host, "web.1", "log", f, "data", 1, start_ns=start_ns, end_ns=end_ns), **others)  # type: ignore[arg-type]


def test_without_measurements_it_is_the_same_history() -> None:
    history = History.of([row("n1", 1, 2)])

    assert aligned(history) is history


def test_a_host_moves_onto_the_controllers_clock_with_the_error_of_the_measurement() -> None:
    rows = [clock(BEHIND + 10 * S, 10 * S, MS), clock(BEHIND + 12 * S, 12 * S, 3 * MS), row("n2", 10 * S, 11 * S)]
    [moved] = aligned(History.of(rows)).only(f="append").ops()

    assert abs(moved.start_ns - (BEHIND + 10 * S)) <= MS
    assert moved.end_ns - moved.start_ns > 0
    assert MS <= moved.err_ns <= MS + 2 * MAX_DRIFT * S


def test_rows_of_other_hosts_of_the_runner_and_of_its_commands_stay() -> None:
    others = [
        row("n1", 5, 6),
        row("controller", 5, 6, "fault"),
        row("n2", 5, 6, "tables", process="controller"),
        *(row("n2", 5, 6, f) for f in OF_RUNNER if f != "clock"),
    ]
    kept = aligned(History.of([clock(BEHIND, 0, MS), *others]))

    assert list(kept.ops())[1:] == others


def test_what_was_never_answered_stays_open() -> None:
    history = History.of([clock(BEHIND, 0, MS), row("n2", S, NEVER, outcome="info")])

    assert next(aligned(history).only(f="append").ops()).end_ns == NEVER


def test_the_lock_that_an_increment_held_moves_along() -> None:
    history = History.of([clock(BEHIND, 0, MS), row("n2", S, 4 * S, "increment", value=f"7 {2 * S} {3 * S}")])
    [moved] = aligned(history).only(f="increment").ops()
    token, held, until = map(int, str(moved.value).split())

    assert token == 7
    assert moved.start_ns < held < until < moved.end_ns
    assert until - held == S


def test_an_old_measurement_bounds_less_and_a_sharp_one_helps_its_neighbours() -> None:
    alone = clocks_of(History.of([clock(BEHIND, 0, MS)]))["n2"]
    both = clocks_of(History.of([clock(BEHIND, 0, MS), clock(BEHIND + S, S, 100 * MS)]))["n2"]
    moments = np.array([0, S], dtype=np.int64)

    assert list(alone.offsets(moments)[1]) == [MS, MS + MAX_DRIFT * S]
    assert list(both.offsets(moments)[1]) == [MS, MS + MAX_DRIFT * S]


def test_a_clock_that_stood_still_widens_what_lies_between_and_only_that() -> None:
    still = 3 * S
    rows = [clock(BEHIND + n * S, n * S, MS) for n in range(4)]
    rows += [clock(BEHIND + still + n * S, n * S, MS) for n in range(4, 8)]
    _, error = clocks_of(History.of(rows))["n2"].offsets(np.array([S // 2, 3 * S + S // 2, 6 * S], dtype=np.int64))

    assert error[1] >= still // 2
    assert max(error[0], error[2]) < 10 * MS


def test_days_of_uptime_lose_no_nanosecond() -> None:
    years = 3 * 365 * 86_400 * S
    rows = [clock(years + BEHIND + n * S, years + n * S, 0) for n in range(3)]
    history = History.of([*rows, row("n2", years + S + 1, years + S + 2)])
    [moved] = aligned(history).only(f="append").ops()

    assert (moved.start_ns, moved.end_ns) == (years + BEHIND + S + 1, years + BEHIND + S + 2)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(1, 5000), st.integers(0, 50), st.floats(-1, 1)), min_size=1, max_size=12),
    st.lists(st.integers(-2000, 60_000), min_size=1, max_size=20),
    st.integers(-(10**15), 10**15),
    st.floats(-MAX_DRIFT, MAX_DRIFT),
)
def test_the_truth_is_always_within_the_error_and_order_is_kept(
    measured: list[tuple[int, int, float]], moments_ms: list[int], ahead_ns: int, drift: float
) -> None:
    """Against a clock that is known: it began `ahead_ns` off and drifts."""

    def truth(host_ns: int) -> int:
        return host_ns + ahead_ns + round(drift * host_ns)

    rows, at = [], 0
    for gap_ms, error_ms, lean in measured:
        at += (gap_ms + 2 * error_ms) * MS
        shift = round(lean * error_ms * MS)
        rows.append(clock(truth(at) + shift, at, error_ms * MS))
    moments = np.array(sorted(moment * MS for moment in moments_ms), dtype=np.int64)
    offsets, errors = clocks_of(History.of(rows))["n2"].offsets(moments)
    moved = moments + offsets

    for moment, told, error in zip(moments.tolist(), moved.tolist(), errors.tolist(), strict=True):
        assert abs(truth(moment) - told) <= error + 2
    assert (np.diff(moved) >= 0).all()
