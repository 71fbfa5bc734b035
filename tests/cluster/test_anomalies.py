"""Anomalies of real file systems, found again, each beside a control on which the same check finds nothing.

Some show themselves by chance: they are tried until they are seen, and what was not seen is skipped aloud, since
it says nothing. A control must be right every time. GlusterFS's stale reads and ceph-fuse's lost appends stand in
test_gluster.py and test_cephfs.py, where their clusters are.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.model.places import STORE_FRESH
from harness.model.verdict import Verdict
from harness.ports import Host
from harness.session import Bench
from tests.cluster_bench import done, live_bench

pytestmark = pytest.mark.cluster

TOPOLOGIES = Path(__file__).parent / "topologies"
ATTEMPTS = 6
#: Two clients give up the brick that they cannot reach after 5 s, and heal what they can within a minute.
SPLIT_TIMEOUT_S = 60.0
#: Bricks that were given up are tried again every few seconds, then healed by whoever reads.
HEAL_TIMEOUT_S = 120.0


def observed(verdict: Verdict, promise: str) -> str:
    return next(each.observed for each in verdict.promises if each.name == promise)


@pytest.fixture(scope="module")
def torn(own_engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with live_bench(TOPOLOGIES / "torn.yaml", tmp_path_factory.mktemp("torn")) as made:
        yield made


def blocks(bench: Bench, volume: str) -> Verdict:
    """One host writes and reads blocks of many pages, as fast as it can."""
    return bench.check("blocks", volume=volume, block_bytes=65536, rate_per_s=0, duration_s=2, workers_per_node=4)


def test_ext4_tears_reads_of_many_pages(torn: Bench) -> None:
    """ext4 locks pages and not files for a read (Chinner and Torvalds, 2019-06-13)."""
    for _ in range(ATTEMPTS):
        verdict = blocks(torn, "ext4")
        if observed(verdict, "reads-not-torn") == "broken":
            break
    else:
        pytest.skip(f"unknown: no torn read on ext4 in {ATTEMPTS} attempts")
    promise = next(each for each in verdict.promises if each.name == "reads-not-torn")
    assert (promise.expected, verdict.verdict) != ("holds", "pass")
    assert "on n1" in promise.witness


def test_control_xfs_tears_none_of_the_same_reads(torn: Bench) -> None:
    verdict = blocks(torn, "xfs")
    promise = next(each for each in verdict.promises if each.name == "reads-not-torn")
    assert (promise.observed, promise.count) == ("kept", 0), promise
    assert promise.of > 100


@pytest.fixture(scope="module")
def coherent(own_engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with live_bench("volume-glusterfs-coherent", tmp_path_factory.mktemp("coherent")) as made:
        yield made


@pytest.mark.nightly
@pytest.mark.parametrize(("kind", "promise"), [("close-to-open", "close-to-open"), ("counter", "lock-read-write")])
def test_control_gluster_without_its_caches_shows_what_was_closed_or_locked(
    coherent: Bench, kind: str, promise: str
) -> None:
    """The healthy twin of what test_gluster.py finds on a volume with Gluster's defaults."""
    verdict = coherent.check(kind, volume="data", duration_s=2, rate_per_s=50)
    found = next(each for each in verdict.promises if each.name == promise)
    assert (found.expected, found.observed) == ("holds", "kept"), verdict
    assert verdict.verdict == "pass", verdict.reason


@pytest.mark.nightly
def test_control_gluster_without_its_caches_is_rarely_stale(coherent: Bench) -> None:
    """With its defaults most reads are; without caches a few are left, for which no option was found."""
    verdict = coherent.check("register", volume="data", duration_s=4, rate_per_s=100)
    found = next(each for each in verdict.promises if each.name == "read-after-write")
    assert found.of > 20
    assert found.count * 10 < found.of, found


@pytest.fixture
def two_replicas(own_engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with live_bench(TOPOLOGIES / "split-brain.yaml", tmp_path_factory.mktemp("split")) as made:
        yield made


FILE = "/harness/stores/pool/data/split"
FRESH = "/var/lib/harness/stores/pool/fresh"
SPLIT_FILES = ["gluster", "--mode=script", "volume", "heal", "pool", "info", "split-brain"]


@pytest.mark.nightly
def test_two_replicas_that_do_not_see_each_other_both_take_writes_and_split(two_replicas: Bench) -> None:
    """Both sides acknowledge what they are given, and nobody can read the file afterwards."""
    hosts = two_replicas.live.cluster.hosts
    written(hosts["n1"], "before", timeout_s=30)
    assert written_apart(hosts["n1"], hosts["n2"]) == [True, True]
    deadline = time.monotonic() + SPLIT_TIMEOUT_S
    # a client that wrote goes on reading what it has cached; n3 has nothing of it
    while "Input/output error" not in (told := read(hosts["n3"])):
        assert time.monotonic() < deadline, f"no split brain: n3 reads {told!r}"
        time.sleep(1)
    assert "/data/split" in done(hosts["n1"], SPLIT_FILES)


@pytest.fixture(scope="module")
def three_replicas(own_engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with live_bench(TOPOLOGIES / "replicas.yaml", tmp_path_factory.mktemp("replicas")) as made:
        yield made


@pytest.mark.nightly
def test_control_of_three_replicas_the_third_tells_which_write_was_the_last(three_replicas: Bench) -> None:
    """The same two hosts do not see each other and both write. The third has both writes, in their order."""
    hosts = three_replicas.live.cluster.hosts
    written(hosts["n1"], "before", timeout_s=30)
    assert written_apart(hosts["n1"], hosts["n2"]) == [True, True]
    assert_healed(hosts, "of n2")


@pytest.mark.nightly
def test_control_of_three_replicas_one_that_is_alone_takes_no_write(three_replicas: Bench) -> None:
    """Quorum `auto` of a client: more than half of the bricks, or an error (Gluster's administration guide)."""
    hosts = three_replicas.live.cluster.hosts
    written(hosts["n1"], "whole", timeout_s=30)
    with apart(hosts["n1"], hosts["n2"]), apart(hosts["n1"], hosts["n3"]):
        answered = [written(hosts[name], f"of {name}", timeout_s=60) for name in ("n2", "n1")]
    assert answered == [True, False]
    assert_healed(hosts, "of n2")


def assert_healed(hosts: Mapping[str, Host], text: str) -> None:
    """Every host reads it, from a mount that has cached nothing, and the servers know of no split."""
    for host in hosts.values():
        deadline = time.monotonic() + HEAL_TIMEOUT_S
        while (told := read_anew(host)) != text:
            assert time.monotonic() < deadline, f"{host.name} reads {told!r}, not {text!r}"
            time.sleep(1)
    assert "/data/split" not in done(hosts["n1"], SPLIT_FILES)


def written_apart(one: Host, other: Host) -> list[bool]:
    """Whether each of two hosts that are cut off from each other could write to the file."""
    with apart(one, other):
        return [written(host, f"of {host.name}", timeout_s=60) for host in (one, other)]


@contextmanager
def apart(one: Host, other: Host) -> Iterator[None]:
    cut(one, other, "add")
    cut(other, one, "add")
    try:
        yield
    finally:
        cut(one, other, "del")
        cut(other, one, "del")


def cut(host: Host, other: Host, verb: str) -> None:
    done(host, ["ip", "route", verb, "blackhole", other.address])


def written(host: Host, text: str, *, timeout_s: float) -> bool:
    script = f'echo "$1" >{FILE} && sync {FILE}'
    return host.run(["sh", "-c", script, "sh", text], timeout_s=timeout_s).ok


def read(host: Host) -> str:
    return host.run(["cat", FILE], timeout_s=30).output


def read_anew(host: Host) -> str:
    """By a client of its own that was mounted for this; what was said, in the end."""
    script = f"sh {FRESH} on && cat {STORE_FRESH}/pool/data/split; sh {FRESH} off"
    return host.run(["sh", "-c", script], timeout_s=60).output
