"""Volumes of GlusterFS and CephFS that exist: each run has a directory of its own there, and touches no other."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
import yaml

from harness import stores
from harness.model.plan import Plan
from harness.model.topology import Topology
from tests.planner_topologies import RUN, planned, problem_keys

THERE = {"managed": False, "address": "192.0.2.7"}
OWN = f"harness-{RUN}-pool"
kinds = pytest.mark.parametrize("kind", ["glusterfs", "cephfs"])


def spec(kind: str, **store: Any) -> dict[str, Any]:
    return {
        "name": "files",
        "stores": {"pool": {"kind": kind, **THERE, **store}},
        "volumes": {"data": {"driver": kind, "store": "pool"}},
        "services": {"web": {"deploy": {"mode": "global"}, "volumes": ["data:/data"]}},
    }


def plan_of(kind: str, **options: Any) -> Plan:
    return planned(yaml.safe_dump(spec(kind, options=options)))


def scripts_of(made: Plan) -> list[str]:
    return [made.document("store-pool.sh").text, *(s.argv[2] for s in made.prepare if s.argv[:2] == ("sh", "-c"))]


@kinds
@pytest.mark.parametrize("options", [{}, {"path": "/srv/tests"}], ids=str)
def test_one_node_makes_the_runs_directory_all_mount_it_and_that_node_removes_it(
    kind: str, options: dict[str, Any]
) -> None:
    made = plan_of(kind, **options)
    (making,) = [step for step in made.prepare if step.title == "make the run's directory"]
    assert making.node == "n1"
    assert f"mkdir -p -m 1777 {OWN}" in making.argv[2]
    mounting = [step.node for step in made.prepare if step.title == "mount it"]
    assert mounting == ["n1", "n2", "n3"]
    kept = made.document("store-pool.sh").text
    down = kept.split("cat >down <<")[1].split("END OF SCRIPT")[1]
    assert down.count("rm -rf") == 1
    assert f"rm -rf {OWN}" in down
    assert "kill" not in down


@kinds
@pytest.mark.parametrize("client", ["fuse", "kernel"])
def test_all_scripts_are_shell_and_start_no_server(kind: str, client: str) -> None:
    made = plan_of(kind, **({"client": client} if kind == "cephfs" else {"mount_options": "acl"}))
    for script in scripts_of(made):
        checked = subprocess.run(
            ["sh", "-n"], input=script, text=True, capture_output=True, timeout=10, check=False
        )
        assert checked.returncode == 0, checked.stderr
        assert not {"glusterd", "ceph-mon", "ceph-osd", "evict"} & set(script.split())
    assert made.store("pool").nodes == ()


def test_what_a_node_mounts_is_the_directory() -> None:
    made = plan_of("glusterfs", path="/gv0")
    assert made.store("pool").mounted_from(RUN) == f"192.0.2.7:/gv0/{OWN}"
    assert made.volume("data").source == "192.0.2.7:/gv0"
    assert f"mount -t glusterfs 192.0.2.7:/gv0/{OWN} /harness/stores/pool" in made.document("store-pool.sh").text
    assert plan_of("glusterfs").store("pool").source == "192.0.2.7:/pool"


def test_cephs_clients_are_told_user_file_system_and_directory_and_no_key() -> None:
    asked = {"user": "tests", "file_system": "home", "path": "/srv"}
    by_fuse = plan_of("cephfs", **asked).document("store-pool.sh").text
    assert f"--id tests -r /srv/{OWN} --client_fs home" in by_fuse
    by_kernel = plan_of("cephfs", client="kernel", **asked).document("store-pool.sh").text
    assert "-o name=tests,secretfile=/var/lib/harness/stores/pool/secret,fs=home " in by_kernel
    assert "keyring=/etc/ceph/ceph.client.tests.keyring" in by_kernel
    assert ",noshare" in by_kernel
    assert "secret=" not in by_kernel


@pytest.mark.parametrize(("kind", "given"), [("cephfs", "a,b"), ("glusterfs", "a")])
def test_a_ceph_may_have_several_monitors(kind: str, given: str) -> None:
    assert problem_keys(yaml.safe_dump(spec(kind, address=given))) == []
    assert (problem_keys(yaml.safe_dump(spec(kind, address="a,b"))) == []) == (kind == "cephfs")


@pytest.mark.parametrize(
    ("kind", "store", "key"),
    [
        ("glusterfs", {"nodes": ["n1"]}, "nodes"),
        ("glusterfs", {"options": {"size": "1G"}}, "options.size"),
        ("glusterfs", {"options": {"path": "gv0"}}, "options.path"),
        ("glusterfs", {"options": {"path": "/gv0; reboot"}}, "options.path"),
        ("glusterfs", {"managed": True, "address": None, "options": {"path": "/gv0"}}, "options.path"),
        ("cephfs", {"nodes": ["n1"]}, "nodes"),
        ("cephfs", {"options": {"osds": 3}}, "options.osds"),
        ("cephfs", {"options": {"objectstore": "memstore"}}, "options.objectstore"),
        ("cephfs", {"options": {"user": "a b"}}, "options.user"),
        ("cephfs", {"options": {"keyring": "k"}}, "options.keyring"),
        ("cephfs", {"managed": True, "address": None, "options": {"user": "tests"}}, "options.user"),
        ("cephfs", {"address": "a; reboot"}, "address"),
    ],
)
def test_what_cannot_be_is_refused_by_its_key(kind: str, store: dict[str, Any], key: str) -> None:
    assert problem_keys(yaml.safe_dump(spec(kind, **store))) == [f"stores.pool.{key}"]


@kinds
def test_what_it_needs_of_a_node_is_its_client(kind: str) -> None:
    demands = stores.REGISTRY[kind].demands(Topology.model_validate(spec(kind)), "pool")
    asked = {demand.feature for demand in demands}
    assert (
        asked
        == {
            "glusterfs": {"fuse", "package:glusterfs-client"},
            "cephfs": {"fuse", "package:ceph-fuse", "package:ceph-common"},
        }[kind]
    )
    assert all(not demand.nodes for demand in demands)


def test_what_is_said_of_a_volume_decides_what_it_promises() -> None:
    survives = "fsync-survives-server-kill"
    assert plan_of("glusterfs").volume("data").promises[survives][0] == "unproven"
    assert plan_of("glusterfs", replica=3).volume("data").promises[survives][0] == "holds"
    assert plan_of("cephfs").volume("data").promises[survives][0] == "holds"
    assert plan_of("cephfs", pool_size=1).volume("data").promises[survives][0] == "may"


@kinds
def test_one_of_ours_may_stand_beside_it_and_the_first_has_the_volume_plugin(kind: str) -> None:
    both = spec(kind)
    both["stores"]["more"] = {"kind": kind}
    both["volumes"]["other"] = {"driver": kind, "store": "more"}
    assert problem_keys(yaml.safe_dump(both, sort_keys=False)) == []
    made = planned(yaml.safe_dump(both, sort_keys=False))
    assert "volume_plugin.py" in made.document("store-pool.sh").text
    assert "volume_plugin.py" not in made.document("store-more.sh").text
    both["volumes"]["other"]["driver_opts"] = {"via": "plugin"}
    assert problem_keys(yaml.safe_dump(both, sort_keys=False)) == ["stores.more.kind"]
