"""Packet sizes, rates and round trips."""

from __future__ import annotations

from typing import Any

import pytest

from harness.checkers import judge
from harness.model.history import History, Op
from harness.model.verdict import Verdict
from tests.checkers_scene import CONTAINERS, NODES, ip_key, look, make_check, make_plan, probe

PAIRS = [(a, b) for group in (("web.1", "web.2", "db"), ("lone", "mate")) for a in group for b in group if a != b]


def network_of(name: str) -> str:
    return next(iter(CONTAINERS[name][2]))


def to(target: str) -> str:
    return ip_key(network_of(target), target)


def verdict_on(kind: str, rows: list[Op], **params: Any) -> Verdict:
    return judge(History.of([*look(kind), *rows]), make_plan(), make_check(kind, **params))


def packets(largest: int = 1450, above: str = "mtu", pairs: list[tuple[str, str]] = PAIRS) -> list[Op]:
    return [
        probe("mtu", "df", a, to(b), value, length=size)
        for a, b in pairs
        for size, value in ((largest, "ok"), (largest + 1, above))
    ]


def bulk(pairs: list[tuple[str, str]] = PAIRS, got: str = "ok", arrived: int = 1 << 20) -> list[Op]:
    return [probe("mtu", "bulk", a, to(b), got, length=1 << 20, offset=arrived) for a, b in pairs]


@pytest.mark.parametrize("above", ["mtu", "timeout"])
def test_the_promised_size_passes_and_the_next_does_not(above: str) -> None:
    verdict = verdict_on("mtu", packets(above=above) + bulk())
    assert verdict.verdict == "pass", verdict.reason
    assert verdict.figures == {"app_packet_bytes": 1450, "other_packet_bytes": 1450}
    assert verdict.correct == 3 * len(PAIRS)


@pytest.mark.parametrize("got", ["mtu", "timeout", "unreachable"])
def test_the_promised_size_that_does_not_pass_fails(got: str) -> None:
    bad = probe("mtu", "df", "web.1", to("db"), got, length=1450)
    verdict = verdict_on("mtu", [*packets(), *bulk(), bad])
    assert (verdict.verdict, verdict.failures[0].got) == ("fail", got)
    assert "web.1 -> db via ip (df/ipv4): expected 1450 bytes to pass" in verdict.reason


def test_a_larger_size_that_passes_too_fails() -> None:
    verdict = verdict_on("mtu", packets(above="ok") + bulk())
    assert verdict.verdict == "fail"
    assert "expected exactly 1450 bytes, not 1451, got ok" in verdict.reason


def test_a_larger_size_that_ended_for_another_reason_says_nothing() -> None:
    assert verdict_on("mtu", packets(above="unreachable") + bulk()).verdict == "unknown"


def test_the_size_may_be_given_by_the_check() -> None:
    rows = packets(1400) + bulk()
    assert verdict_on("mtu", rows, packet_bytes=1400).verdict == "pass"
    assert verdict_on("mtu", rows).verdict == "unknown"


def test_a_pair_of_nodes_that_was_not_tried_is_unknown() -> None:
    some = [pair for pair in PAIRS if pair != ("db", "web.1")]
    for rows in (packets(pairs=some) + bulk(), packets() + bulk(some)):
        verdict = verdict_on("mtu", rows)
        assert verdict.verdict == "unknown"
        assert "not tried on app from n3 to n1" in verdict.reason


def test_only_the_chosen_network_is_required() -> None:
    app = [pair for pair in PAIRS if network_of(pair[0]) == "app"]
    assert verdict_on("mtu", packets(pairs=app) + bulk(app), network="app").verdict == "pass"
    assert verdict_on("mtu", packets(pairs=app) + bulk(app)).verdict == "unknown"


def test_a_network_on_one_node_has_no_pairs_to_try() -> None:
    here = {n: place if n != "mate" else ("mate", "n1", place[2]) for n, place in CONTAINERS.items()}
    app = [pair for pair in PAIRS if network_of(pair[0]) == "app"]
    rows = [*look("mtu", containers=here), *packets(pairs=app), *bulk(app)]
    verdict = judge(History.of(rows), make_plan(), make_check("mtu"))
    assert (verdict.verdict, verdict.figures) == ("pass", {"app_packet_bytes": 1450})


@pytest.mark.parametrize(("got", "arrived"), [("ok", 4096), ("timeout", 0), ("reset", 1 << 20)])
def test_bulk_data_that_did_not_arrive_whole_fails(got: str, arrived: int) -> None:
    verdict = verdict_on("mtu", packets() + bulk(got=got, arrived=arrived))
    assert verdict.verdict == "fail"
    assert f"expected 1048576 bytes to arrive, got {got} after {arrived} bytes" in verdict.reason


# --- rates and round trips ---------------------------------------------------------------------------------------

WIRE = [(a, b) for a in NODES for b in NODES if a != b]


def timed(kind: str, f: str, wire_ns: int, network_ns: int, *, length: int = 0, count: int = 3) -> list[Op]:
    """`count` intervals a pair, of this length in time, on the wire and on both networks."""
    wire = [(a, f"node|-|4|{b}|{NODES[b]}", wire_ns) for a, b in WIRE]
    inner = [(a, to(b), network_ns) for a, b in PAIRS]
    return [
        probe(kind, f, at, key, "ok", start_ns=(i + 1) * 10**9, end_ns=(i + 1) * 10**9 + took, length=length)
        for at, key, took in wire + inner
        for i in range(count)
    ]


def streams() -> list[Op]:
    """10 Gbit/s on the wire and 8 on the networks."""
    return timed("throughput", "stream", 1_000_000, 1_250_000, length=1_250_000)


def trips() -> list[Op]:
    return timed("latency", "rtt", 40_000, 100_000)


def test_rates_are_medians_and_parts_of_the_wires() -> None:
    verdict = verdict_on("throughput", streams())
    assert verdict.verdict == "pass", verdict.reason
    assert verdict.figures == {
        "wire_median_gbit_s": 10.0,
        "app_median_gbit_s": 8.0,
        "other_median_gbit_s": 8.0,
        "app_ratio": 0.8,
        "other_ratio": 0.8,
    }


def test_a_rate_is_held_against_the_least_ratio() -> None:
    assert verdict_on("throughput", streams(), min_ratio=0.7).verdict == "pass"
    verdict = verdict_on("throughput", streams(), min_ratio=0.9)
    assert verdict.verdict == "fail"
    assert "app carries 0.80 of the wire's rate, less than 0.9" in verdict.reason


def test_round_trips_have_quantiles() -> None:
    verdict = verdict_on("latency", trips())
    assert verdict.verdict == "pass", verdict.reason
    wanted = {
        "wire_rtt_p50_us": 40.0,
        "app_rtt_p50_us": 100.0,
        "app_rtt_p99_us": 100.0,
        "app_ratio": 2.5,
        "app_missed": 0,
    }
    assert wanted.items() <= verdict.figures.items()


def test_quantiles_are_those_of_all_round_trips() -> None:
    rows = [op for op in trips() if "|app|" not in op.key]
    rows += [
        probe("latency", "rtt", "web.1", to("db"), "ok", start_ns=10**9, end_ns=10**9 + took * 1000)
        for took in range(1, 102)
    ]
    figures = verdict_on("latency", rows).figures
    assert [figures[f"app_rtt_p{q}_us"] for q in (50, 90, 99)] == [51.0, 91.0, 100.0]


def test_a_round_trip_is_held_against_the_most_ratio() -> None:
    assert verdict_on("latency", trips(), max_ratio=3).verdict == "pass"
    verdict = verdict_on("latency", trips(), max_ratio=2)
    assert verdict.verdict == "fail"
    assert "app's median round trip is 2.50 times the wire's, more than 2" in verdict.reason


@pytest.mark.parametrize(("kind", "rows"), [("throughput", streams()), ("latency", trips())])
class TestMissingMeasurements:
    def test_a_pair_without_one_answer_is_unknown(self, kind: str, rows: list[Op]) -> None:
        f = rows[0].f
        others = [op for op in rows if (op.at, op.key) != ("web.1", to("db"))]
        verdict = verdict_on(kind, [*others, probe(kind, f, "web.1", to("db"), "timeout")])
        assert verdict.verdict == "unknown"
        assert "no measurement: web.1 -> db on app" in verdict.reason

    def test_without_a_baseline_it_is_unknown(self, kind: str, rows: list[Op]) -> None:
        verdict = verdict_on(kind, [op for op in rows if "node|-" not in op.key])
        assert verdict.verdict == "unknown"
        assert "no baseline" in verdict.reason

    def test_a_network_without_a_measurement_is_unknown(self, kind: str, rows: list[Op]) -> None:
        rest = [op for op in rows if "|other|" not in op.key]
        assert "nothing was measured on network other" in verdict_on(kind, rest).reason
        assert verdict_on(kind, rest).verdict == "unknown"
        assert verdict_on(kind, rest, network="app").verdict == "pass"
