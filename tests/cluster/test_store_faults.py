"""Faults on stores under load, each felt and healed: a volume that gets full, and nodes that lose their power."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.model.topology import Fault
from harness.model.verdict import Verdict
from harness.session import Bench
from harness.session.judging import fault_records
from harness.transport.recorder import read_history
from tests.cluster_bench import live_bench

pytestmark = pytest.mark.cluster

FULL = Fault(fault="disk-full", target="all", at_s=1, hold_s=3)
POWER = Fault(fault="kill", target="n3", at_s=1, hold_s=3)
#: Shipped topologies with a store that all nodes share, and their volume.
SHARED = {"volume-glusterfs": "data", "volume-cephfs": "shared"}


@pytest.fixture(scope="module")
def xfs(own_engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with live_bench("volume-local-xfs", tmp_path_factory.mktemp("xfs")) as made:
        yield made


@pytest.fixture(params=sorted(SHARED))
def shared(own_engine: None, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Bench, str]]:
    with live_bench(request.param, tmp_path) as made:
        yield made, SHARED[request.param]


def observed(verdict: Verdict) -> dict[str, str]:
    return {promise.name: promise.observed for promise in verdict.promises}


def assert_felt_and_healed(bench: Bench, verdict: Verdict, fault: str) -> None:
    records = fault_records(read_history(bench.folder).only(check=verdict.id))
    assert [(record.name, record.felt, record.healed) for record in records] == [(fault, True, True)]
    assert bench.problems() == []


def test_a_file_system_that_gets_full_says_so_and_keeps_what_it_did_not_refuse(xfs: Bench) -> None:
    verdict = xfs.check("no-space", inject=[FULL], volume="data", duration_s=2)
    assert verdict.verdict == "pass", verdict.reason
    assert observed(verdict)["no-space-at-fsync"] == observed(verdict)["no-space-surfaces"] == "kept"
    assert verdict.figures["refused"] > 0
    assert_felt_and_healed(xfs, verdict, "disk-full")


def test_want_of_room_that_is_swallowed_is_caught_by_name(xfs: Bench) -> None:
    verdict = xfs.check("no-space", inject=[FULL], volume="data", duration_s=2, shim="swallow")
    assert verdict.verdict == "fail"
    assert observed(verdict)["no-space-at-fsync"] == observed(verdict)["no-space-surfaces"] == "broken"
    assert_felt_and_healed(xfs, verdict, "disk-full")


@pytest.mark.nightly
def test_a_shared_volume_gets_full_and_a_node_loses_its_power(shared: tuple[Bench, str]) -> None:
    bench, volume = shared
    verdict = bench.check("no-space", inject=[FULL], volume=volume, duration_s=2)
    assert verdict.verdict == "pass", verdict.reason
    assert observed(verdict)["no-space-at-fsync"] == "kept"
    assert_felt_and_healed(bench, verdict, "disk-full")

    verdict = bench.check("concurrent-append", inject=[POWER], volume=volume, duration_s=2, rate_per_s=100)
    assert verdict.verdict == "pass", verdict.reason
    assert observed(verdict)["shared"] == "kept"
    assert set(verdict.operations) == {"n1", "n2", "n3"}
    assert_felt_and_healed(bench, verdict, "kill")
