"""Against brute force, by simulation with fixed seeds, and on cases that can be worked out by hand."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable

import numpy as np
import pytest

from harness.statistics import call, compare, drift, interval, rank_p, student_p, student_quantile


@pytest.mark.parametrize("dof", [1, 2.5, 4, 17, 60])
@pytest.mark.parametrize("t", [0.1, 0.9, 2.0, 6.0])
def test_students_t_is_the_area_below_its_density(t: float, dof: float) -> None:
    x = np.linspace(0, t, 20_001)
    density = (1 + x * x / dof) ** (-(dof + 1) / 2)
    scale = math.exp(math.lgamma((dof + 1) / 2) - math.lgamma(dof / 2)) / math.sqrt(dof * math.pi)
    area = float(((density[1:] + density[:-1]) / 2).sum()) * t / (len(x) - 1)
    inside = 2 * scale * area
    assert student_p(t, dof) == pytest.approx(1 - inside, abs=1e-7)
    assert student_p(-t, dof) == student_p(t, dof)


def test_students_quantiles_are_those_of_tables() -> None:
    assert student_quantile(0.95, 4) == pytest.approx(2.776, abs=1e-3)
    assert student_quantile(0.99, 10) == pytest.approx(3.169, abs=1e-3)
    assert student_p(student_quantile(0.9, 7), 7) == pytest.approx(0.1)


def by_counting(a: list[float], b: list[float]) -> float:
    """All ways to choose who of both is `a`."""
    values = [*a, *b]
    ranks = [sum(v < w for v in values) + (sum(v == w for v in values) + 1) / 2 for w in values]
    mean = len(a) * (len(values) + 1) / 2
    far = abs(sum(ranks[: len(a)]) - mean)
    sums = [sum(chosen) for chosen in itertools.combinations(ranks, len(a))]
    return sum(abs(total - mean) >= far - 1e-9 for total in sums) / len(sums)


def test_rank_sums_are_those_of_brute_force_ties_included() -> None:
    rng = random.Random(7)
    for _ in range(200):
        a = [float(rng.randint(0, 6)) for _ in range(rng.randint(1, 5))]
        b = [float(rng.randint(0, 6)) for _ in range(rng.randint(1, 5))]
        assert rank_p(a, b) == pytest.approx(by_counting(a, b)), (a, b)


def test_long_rank_sums_are_approximated_well() -> None:
    rng = random.Random(3)
    a, b = [rng.gauss(0, 1) for _ in range(17)], [rng.gauss(0.6, 1) for _ in range(17)]
    exact = rank_p(a, b)
    assert rank_p([*a, 9.0], [*b, 9.0]) == pytest.approx(exact, abs=0.1)
    assert rank_p([], [1.0]) == 1
    assert rank_p([5.0] * 40, [5.0] * 40) == 1


def around(center: float, spread: float, count: int, rng: random.Random) -> list[float]:
    return [center * math.exp(rng.gauss(0, spread)) for _ in range(count)]


def test_a_ratio_and_its_interval() -> None:
    found = compare([100, 101, 99], [200, 203, 197])
    assert found.ratio == pytest.approx(2.0, rel=0.01)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 2 < found.high
    assert call([found]) == [True]


@pytest.mark.parametrize(
    ("a", "b"),
    [([1.0, 1.0], [9.0, 9.0, 9.0]), ([5.0], [1.0]), ([], [1.0, 2.0, 3.0])],
)
def test_too_few_runs_call_nothing(a: list[float], b: list[float]) -> None:
    found = compare(a, b)
    assert found.too_few
    assert call([found]) == [False]


@pytest.mark.parametrize("b", [[0.0, 1.0, 2.0], [-1.0, 5.0, 5.0]])
def test_what_is_not_above_zero_has_no_ratio(b: list[float]) -> None:
    found = compare([1.0, 2.0, 3.0], b)
    assert (found.ratio, found.low) == (None, None)
    assert call([found]) == [False]


def test_sets_that_overlap_are_no_difference_whatever_their_means() -> None:
    found = compare([100, 101, 102, 103], [101.5, 1000, 1000, 1000])
    assert call([found]) == [False]


def test_figures_that_never_vary_differ_by_more_than_rounding_only() -> None:
    assert call([compare([1450] * 3, [1500] * 3)]) == [True]
    assert call([compare([1450] * 3, [1450] * 3)]) == [False]
    assert call([compare([1000] * 3, [1001] * 3)]) == [False]


def test_without_a_difference_hardly_any_is_called() -> None:
    rng = random.Random(11)
    wrong = 0
    for _ in range(60):
        found = [compare(around(50, 0.2, 3, rng), around(50, 0.2, 3, rng)) for _ in range(40)]
        wrong += any(call(found))
    assert wrong <= 6  # one table in ten; 5 % are meant


def test_differences_that_are_there_are_called_and_few_others() -> None:
    rng = random.Random(5)
    hits = misses = 0
    for _ in range(20):
        apart = [compare(around(50, 0.1, 4, rng), around(110, 0.1, 4, rng)) for _ in range(10)]
        same = [compare(around(50, 0.1, 4, rng), around(50, 0.1, 4, rng)) for _ in range(30)]
        called = call([*apart, *same])
        hits, misses = hits + sum(called[:10]), misses + sum(called[10:])
    assert hits >= 190
    assert misses <= 0.1 * hits


def test_more_questions_need_stronger_answers() -> None:
    weak = compare([100, 104, 98, 101], [109, 113, 110, 117])
    assert call([weak]) == [True]
    noise = [compare([100, 90, 110, 101], [99, 108, 93, 104])] * 200
    assert call([weak, *noise])[0] is False


# --- drift -----------------------------------------------------------------------------------------------


def steady(count: int, rng: random.Random) -> list[float]:
    return [rng.gauss(80, 3) for _ in range(count)]


def test_a_step_is_found_where_it_began_and_for_some_runs_after_it() -> None:
    rng = random.Random(2)
    before = steady(20, rng)
    after = [rng.gauss(130, 3) for _ in range(10)]
    for count in range(3, 11):
        found = drift([*before, *after[:count]])
        assert found is not None
        assert found.since == 20
        assert found.before == pytest.approx(80, abs=3)
        assert found.now == pytest.approx(130, abs=4)
        assert found.ratio == pytest.approx(1.62, abs=0.1)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_one_or_two_bad_nights_are_no_drift(count: int) -> None:
    assert drift([*steady(20, random.Random(2)), *[400.0] * count]) is None


def test_a_bad_night_long_ago_does_not_hide_a_change() -> None:
    before = steady(20, random.Random(2))
    before[5] = 95.0
    assert drift([*before, 130, 131, 129]) is not None


def test_with_few_runs_before_nothing_is_said() -> None:
    assert drift([80.0, 81, 79, 80, 82, 200, 201, 202]) is None
    assert drift([]) is None


def test_rounding_alone_is_no_drift() -> None:
    assert drift([1000.0] * 20 + [1001.0] * 5) is None
    assert drift([1000.0] * 20 + [1100.0] * 5) is not None


def test_what_was_always_none_and_comes_is_a_drift() -> None:
    found = drift([0.0] * 12 + [3.0, 5.0, 2.0])
    assert found is not None
    assert found.ratio is None


NOISE: dict[str, Callable[[random.Random], float]] = {
    "normal": lambda rng: rng.gauss(100, 10),
    "skewed": lambda rng: rng.lognormvariate(0, 1),
    "wild": lambda rng: 1 + abs(rng.gauss(0, 1) / rng.gauss(0, 1)),
}


@pytest.mark.parametrize("noise", NOISE)
@pytest.mark.parametrize("runs", [11, 25])
def test_noise_of_any_kind_is_hardly_ever_called_a_drift(noise: str, runs: int) -> None:
    rng = random.Random(1)
    called = sum(drift([NOISE[noise](rng) for _ in range(runs)]) is not None for _ in range(600))
    assert called <= 6


# --- shares ----------------------------------------------------------------------------------------------


def test_wilsons_intervals() -> None:
    assert interval(0, 0) == (0, 1)
    assert interval(0, 20) == pytest.approx((0, 0.161), abs=1e-3)
    assert interval(20, 20) == pytest.approx((0.839, 1), abs=1e-3)
    assert interval(3, 20) == pytest.approx((0.052, 0.360), abs=1e-3)
