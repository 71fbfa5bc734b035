"""Unmounting what hangs: nobody looks at it, and it is detached where it does not go by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.stores import _removal
from harness.transport.process import run_process
from tests.providers_engine import script

MOUNTS = "n1:/pool /harness/stores/pool fuse.glusterfs rw 0 0\n/dev/loop1 /harness/stores/pool2 xfs rw 0 0\n"
#: Notes its words; a mount whose servers are silent lets nobody go but who detaches it.
UMOUNT = """
echo "$*" >>LOG
case " $* " in *" -l "*) exit 0 ;; *hangs*) sleep 600 ;; *busy*) exit 32 ;; esac
"""


@pytest.mark.parametrize(
    ("point", "calls"),
    [
        ("pool", ["/harness/stores/pool"]),
        ("hangs", ["/harness/stores/hangs", "-l /harness/stores/hangs"]),
        ("busy", ["/harness/stores/busy", "-l /harness/stores/busy"]),
        ("other", []),
        ("poo", []),
    ],
)
def test_a_mount_goes_or_is_detached_and_is_never_looked_at(tmp_path: Path, point: str, calls: list[str]) -> None:
    mounts, log = tmp_path / "mounts", tmp_path / "log"
    there = "".join(f"x /harness/stores/{name} nfs4 rw 0 0\n" for name in ("hangs", "busy"))
    mounts.write_text(MOUNTS + there)
    script(tmp_path / "umount", UMOUNT.replace("LOG", str(log)))
    for touching in ("stat", "mountpoint", "findmnt", "ls"):
        script(tmp_path / touching, "sleep 600")
    text = _removal.UNMOUNT.replace("/proc/self/mounts", str(mounts)).replace("-k 2 15", "-k 1 0.5")
    argv = ["env", f"PATH={tmp_path}:/usr/bin:/bin", "sh", "-ec", text, "sh", f"/harness/stores/{point}"]
    ended = run_process(argv, timeout_s=60, stdin=b"", where="here")
    assert ended.ok, ended.output
    told = log.read_text().splitlines() if log.exists() else []
    assert told == [f"--no-canonicalize {call}" for call in calls]
