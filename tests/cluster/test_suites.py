"""fio and stress-ng for real, on a directory that all nodes share; what is spoiled behind fio is named."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.session import Bench
from tests.cluster_bench import listening, live_bench

pytestmark = pytest.mark.cluster

TOPOLOGY = """
name: suites
stores: {disk: {kind: local, options: {fstype: ext4, size: 64M}}}      # nodes with the programs on them
volumes:
  shared: {driver: local, driver_opts: {type: none, o: bind, device: /harness/shared/data}}
services:
  writer: {deploy: {mode: global}, volumes: ["shared:/data"]}
"""
#: Writes over one place of every file that fio makes, again and again.
SPOIL = """
echo listening
while :; do
  for file in /harness/shared/data/.harness-*.fio; do
    [ ! -s "$file" ] || printf spoiled | dd of="$file" bs=1 seek=70000 conv=notrunc 2>/dev/null
  done
done
"""


@pytest.fixture(scope="module")
def suites(own_engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("suites")
    topology = folder / "suites.yaml"
    topology.write_text(TOPOLOGY)
    with live_bench(topology, folder) as made:
        yield made


def test_fio_verifies_on_every_host_what_the_others_wrote(suites: Bench) -> None:
    verdict = suites.check("fio", volume="shared", size_kib=1024)
    assert verdict.verdict == "pass", verdict.reason
    [promise] = [each for each in verdict.promises if each.name == "close-to-open"]
    assert (promise.observed, promise.of) == ("kept", 6)
    assert {"write_mib_s", "verify_mib_s"} <= verdict.figures.keys()


def test_a_file_that_is_written_over_is_named_by_place(suites: Bench) -> None:
    with listening(suites.live.cluster.hosts["n1"], ["sh", "-c", SPOIL]):
        verdict = suites.check("fio", volume="shared", size_kib=1024)
    assert verdict.verdict == "fail"
    assert "verify failed at file" in verdict.reason
    assert "offset 65536" in verdict.reason


def test_stress_ng_finds_nothing_on_a_sound_file_system(suites: Bench) -> None:
    verdict = suites.check("stress-ng", volume="shared", duration_s=1)
    assert verdict.verdict == "pass", verdict.reason
    assert verdict.figures["lockf_operations"] > 0
