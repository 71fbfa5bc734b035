"""Six ways into a false verdict, each seen on real stores inside container nodes. None may end in `lost`, nor in a
pass.

Beside these, on real clusters: writes that land in a node's own directory, and mounts before containers after a
node's kill (test_gluster.py); the fifth, a deadline that stands outside an exec, in test_providers_docker.py.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from harness.checkers import judge
from harness.model.history import NEVER, History, Op
from harness.model.plan import Target
from harness.model.verdict import Verdict
from harness.stores import _ceph
from tests.checkers_scene import append, make_check, make_plan, placed, read, reserve, row, volume_plan
from tests.planner_topologies import planned

HOSTS = ("n2", "n3")
FUSE, DISK = "41 fuse.ceph-fuse ceph-fuse rw", "99 ext4 /dev/vda1 rw"
APPENDS = [append(1, 0, 10, 20), append(2, 0, 30, 40), append(1, 1, 50, 60), append(2, 1, 70, 80)]
RIGHT = placed((1, 0), (2, 0), (1, 1), (2, 1))
#: What host n3 acknowledged went elsewhere: nobody finds it.
N2_ONLY = placed((1, 0), (1, 1))


def mounts(before: str = FUSE, after: str = FUSE, host: str = "n3") -> list[Op]:
    looks = dict.fromkeys(HOSTS, (FUSE, FUSE)) | {host: (before, after)}
    return [
        row("mount", "concurrent-append", host=name, at=f"edge.{name}", key=f"{phase}|data", value=look,
            process=f"reader-{name}")
        for name, pair in looks.items() for phase, look in zip(("before", "after"), pair, strict=True)
    ]  # fmt: skip


def judged(rows: list[Op], *, containers: int = 2) -> Verdict:
    volume = replace(volume_plan(shared=True), fstype="fuse.ceph-fuse", source="ceph-fuse")
    targets = (Target("edge", containers, "global", {}, mounts={"data": "/data"}),)
    check = make_check("concurrent-append", volume="data", writers_per_node=1)
    return judge(History.of(rows), make_plan(volumes=(volume,), targets=targets), check)


def everywhere(records: list[tuple[int, int]], hosts: tuple[str, ...] = HOSTS) -> list[Op]:
    return [op for host in hosts for op in read(host, records, [])]


def test_control_the_same_run_without_any_of_it_passes() -> None:
    verdict = judged([*mounts(), *APPENDS, *everywhere(RIGHT)])
    assert verdict.verdict == "pass", verdict.reason


def test_control_a_loss_that_is_none_of_these_is_a_loss() -> None:
    verdict = judged([*mounts(), *APPENDS, *everywhere(N2_ONLY)])
    assert verdict.verdict == "fail"


def test_1_a_task_that_started_before_the_mount_wrote_to_its_nodes_own_disk() -> None:
    verdict = judged([*mounts(before=DISK, after=DISK), *APPENDS, *everywhere(N2_ONLY)])
    assert verdict.verdict == "unknown"
    assert "data is not mounted for edge.n3 on n3 (before): it has ext4 /dev/vda1 rw" in verdict.reason
    assert "lost" not in verdict.reason


def test_2_a_client_that_died_and_was_unmounted_sent_later_writes_to_the_disk() -> None:
    verdict = judged([*mounts(after=DISK), *APPENDS, *everywhere(N2_ONLY)])
    assert verdict.verdict == "unknown"
    assert "mount changed under edge.n3 on n3" in verdict.reason
    assert "lost" not in verdict.reason


def test_2_a_client_that_died_answers_nothing_for_ever() -> None:
    """ENOTCONN: appends have no answer, and nobody can read there."""
    dead = replace(APPENDS[3], end_ns=NEVER, outcome="info", errno=107)
    verdict = judged([*mounts(), *APPENDS[:3], dead, *everywhere(RIGHT[:3], ("n2",))])
    assert verdict.verdict == "unknown"
    assert "nobody read the file on n3" in verdict.reason
    assert "lost" not in verdict.reason


FAKES = {
    # serves from the third try on
    "ceph-fuse": 'echo x >>"$STATE/tries"; [ "$(wc -l <"$STATE/tries")" -ge 3 ] || exit 1; touch "$STATE/mounted"',
    "mountpoint": 'test -e "$STATE/mounted"',
    "ceph": 'echo "$@" >>"$STATE/asked"',
    "umount": 'echo "$@" >>"$STATE/unmounted"',
    "sleep": ":",
    "hostname": "echo n2",
}


@pytest.fixture
def node(tmp_path: Path) -> dict[str, str]:
    """An environment in which the store's programs are stand-ins that note what they are asked."""
    for name, script in FAKES.items():
        file = tmp_path / name
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)
    return {"PATH": f"{tmp_path}:{os.environ['PATH']}", "STATE": str(tmp_path)}


def test_3_a_client_that_finds_no_server_at_a_cold_boot_is_tried_again_and_its_dead_session_evicted(
    node: dict[str, str],
) -> None:
    store = replace(planned(_CEPH).store("pool"), mount=f"{node['STATE']}/mount")
    script = _ceph.mount_script(store, ":")
    done = subprocess.run(["sh", "-c", script], env=node, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    state = Path(node["STATE"])
    assert len((state / "tries").read_text().splitlines()) == 3
    assert "session evict" in (state / "asked").read_text()


_CEPH = """
name: ceph
stores: {pool: {kind: cephfs}}
volumes: {data: {driver: cephfs, store: pool}}
services: {web: {deploy: {mode: global}, volumes: ["data:/data"]}}
"""


def test_4_writers_that_never_began_are_missed() -> None:
    """A filter by name that matched too little: what is there is right, and it is not all."""
    verdict = judged([*mounts(), APPENDS[0], APPENDS[2], *everywhere(N2_ONLY)], containers=3)
    assert verdict.verdict == "unknown"
    assert "1 of 3 writers wrote" in verdict.reason


def test_6_a_writer_that_was_killed_has_told_what_it_reserved() -> None:
    """What it wrote and did not live to tell may be there; what nobody reserved may not."""
    held = [reserve(2, 0, 64)]
    known = [APPENDS[0], APPENDS[1], APPENDS[2]]
    there = placed((1, 0), (2, 0), (1, 1), (2, 1), (2, 2))
    verdict = judged([*mounts(), *held, *known, *everywhere(there)])
    assert verdict.verdict == "pass", verdict.reason
    assert verdict.figures["unexpected"] == 0
    beyond = judged([*mounts(), *held, *known, *everywhere([*there, (2 << 32 | 64, 8 * len(there))])])
    assert beyond.verdict == "fail"
    assert beyond.figures["unexpected"] == 1
