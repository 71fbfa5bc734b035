"""Volumes of GlusterFS and CephFS that exist, for real. Who serves them is a store of ours beside them; a run that
mounts them knows no more of it than its address.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from harness import stores
from tests.cluster_bench import done, live_bench

pytestmark = pytest.mark.cluster
SERVING = "/harness/stores/serving"
MOUNT = "/harness/stores/existing"
THERE: dict[str, dict[str, Any]] = {
    "glusterfs": {"path": "/serving"},
    "cephfs": {"keyring": "/var/lib/harness/stores/serving/keyring"},
}


def topology(folder: Path, kind: str, **options: str) -> Path:
    there = {"kind": kind, "managed": False, "address": "n1", "options": {**THERE[kind], **options}}
    whole = {
        "name": "existing",
        "stores": {"existing": there, "serving": {"kind": kind, "nodes": ["n1", "n2"]}},
        "volumes": {"data": {"driver": kind, "store": "existing"}},
        "services": {"app": {"deploy": {"mode": "global"}, "volumes": ["data:/data"]}},
        "checks": [{"concurrent-append": {"volume": "data"}}],
    }
    file = folder / "existing.yaml"
    file.write_text(yaml.safe_dump(whole, sort_keys=False))
    return file


@pytest.mark.parametrize("kind", sorted(THERE))
def test_writers_on_all_hosts_share_a_volume_that_exists_and_leave_what_was_there(
    own_engine: None, kind: str, tmp_path: Path
) -> None:
    with live_bench(topology(tmp_path, kind), tmp_path / "bench") as bench:
        cluster, plan = bench.live.cluster, bench.live.plan
        first, other = cluster.hosts["n1"], cluster.hosts["n3"]
        done(first, ["sh", "-c", f"echo theirs >{SERVING}/theirs"])
        own = f"{SERVING}/{plan.cluster}-existing"
        assert done(other, ["ls", SERVING]).split() == [own.rpartition("/")[2], "theirs"]

        verdict = bench.check("concurrent-append", volume="data", duration_s=2, rate_per_s=50)
        assert verdict.verdict == "pass", verdict.reason
        observed = {promise.name: promise.observed for promise in verdict.promises}
        assert observed["shared"] == "kept"
        assert verdict.figures["fresh_mounts"] == len(cluster.hosts)
        done(other, ["sh", "-c", f"echo ours >{MOUNT}/data/ours"])
        assert done(first, ["cat", f"{own}/data/ours"]) == "ours\n"

        done(other, ["sh", "-c", f"umount -l {MOUNT}"])  # as where the client is gone
        stores.REGISTRY[kind].mount(other, plan, "existing", timeout_s=60)
        assert "data" in done(other, ["ls", MOUNT]).split()
        stores.REGISTRY[kind].down(cluster, "existing")
        assert done(other, ["ls", SERVING]).split() == ["theirs"]
        assert done(first, ["cat", f"{SERVING}/theirs"]) == "theirs\n"
