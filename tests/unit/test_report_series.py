"""What charts and matrices are made of: faults, lines, names, pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from harness.model.history import NEVER, History, Op, Outcome
from harness.model.verdict import Failure, Verdict
from harness.report.mesh import crop, matrices, natural, overview
from harness.report.names import asked
from harness.report.series import Clock, bands, bin_width, lanes, rates
from harness.report.svg import decades, nice_ticks
from harness.report.text import figure, labelled, listed, rate, seconds
from tests.report_sample import plan

S = 1_000_000_000


def fault(value: str, start: int, outcome: Outcome = "ok") -> Op:
    times = {"start_ns": start * S, "end_ns": (start + 1) * S}
    return Op("nemesis", "", "n2", "c", "fault", "pause", value, outcome=outcome, **times)


def spans(*ops: Op) -> list[tuple[float, float]]:
    rows = History.of([*ops, Op("w", "n1", "a", "c", "append", "v", 1, start_ns=0, end_ns=20 * S)])
    return [(band.start_s, band.end_s) for band in bands(rows, Clock.of(rows))]


def test_fault_lasts_from_injection_to_healing() -> None:
    assert spans(fault("inject", 2), fault("hold", 3), fault("heal", 6)) == [(2, 7)]


def test_fault_that_was_not_healed_lasts_to_the_end() -> None:
    assert spans(fault("inject", 2), fault("heal", 6, "fail")) == [(2, 20)]


def test_repeated_faults_stay_apart() -> None:
    assert spans(fault("inject", 1), fault("heal", 2), fault("inject", 5), fault("heal", 6)) == [(1, 3), (5, 7)]


def appended(times: Sequence[int], at: str = "a", outcome: Outcome = "ok") -> list[Op]:
    ends = [NEVER if outcome == "info" else time + 1000 for time in times]
    return [Op("w", "n1", at, "c", "append", "v", i, start_ns=t, end_ns=e, outcome=outcome)
            for i, (t, e) in enumerate(zip(times, ends, strict=True))]  # fmt: skip


def test_rates_count_what_was_acknowledged() -> None:
    rows = History.of([*appended(range(0, 2 * S, S // 50)), *appended([S] * 500, outcome="info")])
    lines, width = rates(rows, Clock.of(rows), "append")
    assert [line.name for line in lines] == ["a"]
    assert lines[0].y.sum() * width == pytest.approx(100, abs=2)


def test_an_operation_that_was_never_answered_lasts_to_the_end() -> None:
    rows = History.of([*appended([0, S, 4 * S]), *appended([2 * S], outcome="info")])
    (lane,) = lanes(rows, Clock.of(rows))
    assert lane.outcome.tolist() == [0, 0, 0, 2]
    assert lane.end_s[-1] == pytest.approx(4.000001)


def probe(source: str, target: str, via: str, got: str, node: str = "n1") -> Op:
    return Op("agent", node, source, "c", "tcp", f"{via}|app|4|{target}|10.0.0.9", got)


def judged(*failures: Failure) -> Verdict:
    return Verdict("c", "connectivity", "all", "fail", "", failures=failures)


def test_a_failure_marks_only_what_was_asked_that_way() -> None:
    rows = History.of(
        [probe("a", "b", "ip", "ok b"), probe("a", "b", "name", "timeout"), probe("a", "d", "ip", "timeout")]
    )
    parts = matrices(rows, judged(Failure("a", "b", "name", "tcp", 4, "ok", "timeout")))
    states = {
        (part.view.split(",")[1].strip(), *pair): cell.state for part in parts for pair, cell in part.cells.items()
    }
    assert states == {("by ip", "a", "b"): "ok", ("by name", "a", "b"): "bad", ("by ip", "a", "d"): "shut"}


def test_of_repeated_probes_the_last_counts() -> None:
    rows = History.of([probe("a", "b", "ip", "timeout"), probe("a", "b", "ip", "ok b")])
    (part,) = matrices(rows, judged())
    assert part.cells["a", "b"].words == "tcp ok"


def test_what_a_node_reaches_by_its_shim_does_not_hide_what_it_does_not_reach_by_itself() -> None:
    rows = History.of([probe("n2", "b", "visitor", "timeout", "n2"), probe("n2", "b", "shim", "ok", "n2")])
    whole = overview("c", matrices(rows, judged()))
    assert {pair: cell.state for pair, cell in whole.cells.items()} == {
        ("n2", "b"): "shut",
        ("n2 by shim", "b"): "ok",
    }
    assert whole.sources == ["n2", "n2 by shim"]


def test_open_where_closed_was_expected_is_bad() -> None:
    parts = matrices(
        History.of([probe("a", "b", "ip", "ok b")]), judged(Failure("a", "b", "ip", "tcp", 4, "closed", "ok"))
    )
    assert parts[0].cells["a", "b"].words == "tcp open, expected closed"


def test_a_failure_without_a_row_is_shown() -> None:
    parts = matrices(History.of([]), judged(Failure("a", "b", "ip", "tcp", 4, "ok", "refused")))
    assert overview("c", parts).cells["a", "b"].state == "bad"


def test_rows_stand_by_node_and_failures_survive_cropping() -> None:
    names = [f"web.{i}" for i in range(1, 12)]
    ops = [probe(a, b, "ip", "ok", f"n{1 + int(a[4:]) % 2}") for a in names for b in names if a != b]
    whole = overview(
        "c", matrices(History.of(ops), judged(Failure("web.11", "web.10", "ip", "tcp", 4, "closed", "ok")))
    )
    assert whole.sources[:6] == ["web.2", "web.4", "web.6", "web.8", "web.10", "web.1"]
    rows, columns = crop(whole, 3)
    assert rows == ["web.2", "web.4", "web.11"]
    assert columns == ["web.2", "web.4", "web.10"]


def _looked(at: str, answer: str, when: int) -> Op:
    return Op("agent", "n1", at, "c", "dns", "scale|app|www", answer, start_ns=when * S, end_ns=when * S)


def test_names_are_right_from_the_last_wrong_answer_on() -> None:
    truth = Op("orchestrator", "", "orchestrator", "c", "truth", "scale|app|web", "10.0.0.1", start_ns=10 * S)
    answers = [
        ("a", "10.0.0.1", 11),
        ("a", "", 12),
        ("a", "10.0.0.1", 13),
        ("a", "10.0.0.1", 14),
        ("b", "nxdomain", 11),
    ]
    (entry,) = asked(History.of([truth, *(_looked(*answer) for answer in answers)]), plan())
    assert entry.right_s == {"a": 3.0, "b": None}
    assert entry.words == "1 of 2 containers wrong"
    assert entry.detail == "expected 10.0.0.1; b: nxdomain"


@pytest.mark.parametrize(
    ("answer", "driver", "right"),
    [
        ("nxdomain", "overlay", True),
        ("servfail", "overlay", True),
        ("timeout", "overlay", False),
        ("timeout", "macvlan", True),
        ("10.0.0.1", "macvlan", False),
    ],
)
def test_a_name_that_means_nothing_is_right_as_the_judge_says(answer: str, driver: str, right: bool) -> None:
    truth = Op("orchestrator", "", "orchestrator", "c", "truth", "scale|app|web", "", start_ns=10 * S)
    networks = tuple(replace(network, driver=driver) for network in plan().networks)
    (entry,) = asked(History.of([truth, _looked("a", answer, 11)]), replace(plan(), networks=networks))
    assert (entry.wrong == []) is right


def test_numbers_for_people() -> None:
    assert [seconds(value) for value in (0, 3.4e-4, 0.0235, 4.06, 245)] == [
        "0 s",
        "340 µs",
        "23.5 ms",
        "4.06 s",
        "4 min 5 s",
    ]
    assert rate(11.4e9) == "11.4 Gbit/s"
    assert [figure(value) for value in (1234567, 12.345, float("inf"), True)] == [
        "1,234,567",
        "12.3",
        "none",
        "yes",
    ]
    assert labelled("app_median_gbit_s", 9.466) == ("app median", "9.47 Gbit/s")
    assert labelled("ratio", 0.5) == ("ratio", "0.5")
    assert listed(["a", "b", "c"], 2) == "a, b and 1 more"
    assert sorted(["web.10", "web.2", "db"], key=natural) == ["db", "web.2", "web.10"]


@pytest.mark.parametrize("high", [0.0, 3e-9, 0.7, 1.0, 99.0, 100.0, 3.3e11])
def test_ticks_are_few_and_reach_the_top(high: float) -> None:
    ticks = nice_ticks(high)
    assert ticks[0] == 0
    assert ticks[-1] >= high * 0.999
    assert len(ticks) <= 7


def test_decades_enclose_both_bounds() -> None:
    assert np.allclose(decades(3e-5, 2e-3), [1e-5, 1e-4, 1e-3, 1e-2])
    assert len(decades(1e-3, 1e-3)) == 2
    assert 40 <= 8.0 / bin_width(8.0) <= 80
