"""The hosts' own network for real: what it is worth is measured, a node out of reach is named."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.session import Bench
from tests.cluster_bench import dropped, live_bench

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def hosts(own_engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with live_bench("host", tmp_path_factory.mktemp("hosts")) as made:
        yield made


def test_the_hosts_network_passes_and_is_compared_by_every_way(hosts: Bench) -> None:
    verdict = hosts.check("host")
    assert verdict.verdict == "pass", verdict.reason
    for way in ("wire", "bridge", "overlay"):
        assert f"{way}_to_host_rtt_ratio" in verdict.figures
        assert f"{way}_to_host_stream_ratio" in verdict.figures
    [isolated] = verdict.promises
    assert (isolated.expected, isolated.observed) == ("may", "broken")


def test_a_node_that_does_not_answer_is_named(hosts: Bench) -> None:
    with dropped(hosts.live.cluster.hosts["n2"], "-p", "icmp", "--icmp-type", "echo-request"):
        verdict = hosts.check("host")
    assert verdict.verdict == "fail"
    assert {(failure.source, failure.target) for failure in verdict.failures} == {("host-a", "n2")}
