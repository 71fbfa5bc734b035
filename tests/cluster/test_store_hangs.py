"""Stores whose servers are silent: whoever asked comes back and says where it was, and nothing stays mounted."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.model.errors import EnvironmentBroken
from harness.session import Bench, storage
from harness.transport import daemons
from tests.cluster_bench import live_bench

pytestmark = [pytest.mark.cluster, pytest.mark.nightly]

CALL_TIMEOUT_S = 20.0
BACK_WITHIN_S = 120.0
LEFT = "grep -E '/harness/(stores|bricks|fresh)' /proc/self/mounts; pgrep -a gluster; ls /var/lib/harness/stores"
MOUNT = "/harness/stores/pool"


@pytest.fixture(scope="module")
def gluster(own_engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with live_bench("volume-glusterfs", tmp_path_factory.mktemp("gluster")) as made:
        yield made


@contextmanager
def bricks_stopped(bench: Bench, *, go_on: bool = True) -> Iterator[None]:
    """All bricks stand still. Their glusterd and the clients run."""
    found = daemons.daemons(bench.live.cluster, "pool", timeout_s=CALL_TIMEOUT_S)
    bricks = [daemon for daemon in found if daemon.name == "brick"]
    assert len(bricks) == 3
    for brick in bricks:
        daemons.tell(bench.live.cluster, brick, "STOP", timeout_s=CALL_TIMEOUT_S)
    try:
        yield
    finally:
        for brick in bricks if go_on else ():
            daemons.tell(bench.live.cluster, brick, "CONT", timeout_s=CALL_TIMEOUT_S)


def answers(bench: Bench) -> bool:
    """Whether every host gets at its volume again. Clients look for bricks that they lost every few seconds."""
    asked = ["timeout", "5", "ls", f"{MOUNT}/data"]
    return all(host.run(asked, timeout_s=CALL_TIMEOUT_S).ok for host in bench.live.cluster.hosts.values())


def test_a_store_all_of_whose_bricks_stand_still_is_bounded_and_its_place_told(gluster: Bench) -> None:
    """Their clients give up by themselves (network.ping-timeout): unlike CephFS's, they tell an error then."""
    with bricks_stopped(gluster), pytest.raises(EnvironmentBroken) as broken:
        gluster.check("durability", volume="data", duration_s=1)
    assert "Transport endpoint is not connected" in broken.value.message
    assert any(f"on {node}: " in broken.value.message for node in gluster.live.cluster.hosts)
    assert "writer.n" in broken.value.message
    assert "/data/.harness-" in broken.value.message
    end = time.monotonic() + BACK_WITHIN_S
    while not answers(gluster):
        assert time.monotonic() < end, "the volume does not come back"
        time.sleep(1.0)
    verdict = gluster.check("durability", volume="data", duration_s=1, rate_per_s=20)
    assert verdict.verdict == "pass", verdict.reason
    assert gluster.problems() == []


def test_a_store_whose_servers_are_silent_is_emptied_and_nothing_stays(gluster: Bench) -> None:
    """The last test: the store is gone."""
    live = gluster.live
    with bricks_stopped(gluster, go_on=False):
        live.orchestrator.delete(live.cluster, live.plan)
        storage.down(live.plan, live.cluster)
    for host in live.cluster.hosts.values():
        assert host.run(["sh", "-c", LEFT], timeout_s=CALL_TIMEOUT_S).stdout.split() == []
    files = [path.read_text() for path in Path("/sys/block").glob("loop*/loop/backing_file")]
    assert not any(f"{live.cluster.name}-" in file for file in files)
