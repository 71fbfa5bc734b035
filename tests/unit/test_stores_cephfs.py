"""What a CephFS store puts on its nodes: who runs where, ceph.conf, keys, and scripts that are shell."""

from __future__ import annotations

import base64
import struct
import subprocess
from typing import Any

import pytest
import yaml

from harness.model.plan import Plan
from harness.model.topology import Topology
from harness.stores import REGISTRY, _ceph
from tests.planner_topologies import planned, problem_keys

BASE = {
    "name": "ceph",
    "volumes": {"data": {"driver": "cephfs", "store": "pool"}},
    "services": {"web": {"deploy": {"mode": "global"}, "volumes": ["data:/data"]}},
}


def text(**spec: Any) -> str:
    return yaml.safe_dump({**BASE, "stores": {"pool": {"kind": "cephfs", **spec}}})


def plan_of(**options: Any) -> Plan:
    return planned(text(options=options))


def settings(made: Plan) -> dict[str, str]:
    lines = _ceph.render_config(made, made.store("pool")).splitlines()
    return dict(line.split(" = ", 1) for line in lines if " = " in line)


def test_the_monitor_is_on_the_first_node_and_the_mds_that_serves_first_on_the_last() -> None:
    where = _ceph.layout(plan_of().store("pool"))
    assert where.names("n1") == ["mon.n1", "mgr.n1", "osd.0"]
    assert where.names("n2") == ["osd.1", "mds.b"]
    assert where.names("n3") == ["osd.2", "mds.a"]


def test_daemons_are_dealt_in_turn_and_none_twice() -> None:
    where = _ceph.Layout(("n1", "n2"), osds=5, mds=3)
    assert [where.osds_of(node) for node in where.nodes] == [[0, 2, 4], [1, 3]]
    assert len(where.all) == len(set(where.all)) == 2 + 5 + 3


def test_a_failover_within_seconds_needs_the_beacon_and_the_tick() -> None:
    made = settings(plan_of())
    assert (made["mds beacon grace"], made["mon tick interval"]) == ("$((4 * slow))", "1")
    assert made["auth allow insecure global id reclaim"] == "false"
    assert made["ms bind ipv6"] == "false"


@pytest.mark.parametrize(("options", "kind"), [({}, "1"), ({"osds": 5, "pool_size": 4}, "0")])
def test_replicas_are_spread_over_hosts_where_there_are_enough(options: dict[str, Any], kind: str) -> None:
    assert settings(plan_of(**options))["osd crush chooseleaf type"] == kind


def test_options_reach_the_configuration_and_what_is_promised() -> None:
    made = plan_of(objectstore="bluestore", page_cache=False)
    assert settings(made)["osd objectstore"] == "bluestore"
    assert settings(made)["fuse disable pagecache"] == "true"
    assert made.volume("data").promises["read-after-write"][0] == "holds"
    assert plan_of().volume("data").promises["read-after-write"][0] == "may"


def test_no_client_decides_where_an_append_goes_when_it_may_write_there() -> None:
    assert plan_of().volume("data").promises["append-loses-nothing"][0] == "may"
    made = plan_of(client="kernel")
    promises = made.volume("data").promises
    broken = ("append-loses-nothing", "read-after-write", "close-to-open", "rename-old-or-new")
    assert {promises[name][0] for name in broken} == {"may"}
    assert {promises[name][0] for name in ("shared", "exclusive-create")} == {"holds"}
    assert plan_of().volume("data").promises["rename-old-or-new"][0] == "holds"
    assert made.volume("data").fstype == "ceph"
    assert {"fs-ceph"} <= {demand.feature for demand in made.demands}
    assert not {"fuse", "package:ceph-fuse"} & {demand.feature for demand in made.demands}


def test_keys_are_cephs_and_the_same_when_a_node_comes_back() -> None:
    kind, _seconds, _ns, length, secret = struct.unpack(
        "<HIIH16s", base64.b64decode(_ceph.key("r1", "pool", "osd.0"))
    )
    assert (kind, length, len(set(secret)) > 1) == (1, 16, True)
    assert _ceph.key("r1", "pool", "osd.0") == _ceph.key("r1", "pool", "osd.0")
    assert len({_ceph.key(run, "pool", name) for run in ("r1", "r2") for name in ("osd.0", "osd.1")}) == 4


def test_every_daemon_has_a_key_and_a_script() -> None:
    made = plan_of()
    store = made.store("pool")
    keyring = _ceph.render_keyring(made, store)
    written = made.document("store-pool.sh").text
    for name in _ceph.layout(store).all:
        assert f"cat >daemons/{name} <<" in written
        assert f"[{'mon.' if name.startswith('mon.') else name}]" in keyring


@pytest.mark.parametrize("options", [{}, {"objectstore": "bluestore"}, {"client": "kernel"}, {"pool_size": 1}])
def test_all_scripts_are_shell(options: dict[str, Any]) -> None:
    made = plan_of(**options)
    scripts = [made.document("store-pool.sh").text]
    scripts += [
        _ceph.daemon_script(made, made.store("pool"), name) for name in _ceph.layout(made.store("pool")).all
    ]
    scripts += [_ceph.servers_script(made, made.store("pool")), _ceph.mount_script(made.store("pool"), ":")]
    scripts += [step.argv[2] for step in made.prepare if step.argv[:2] == ("sh", "-c")]
    for script in scripts:
        checked = subprocess.run(
            ["sh", "-n"], input=script, text=True, capture_output=True, timeout=10, check=False
        )
        assert checked.returncode == 0, checked.stderr


def test_an_osd_in_memory_starts_empty_and_one_on_disk_keeps_what_it_has() -> None:
    memory, disk = plan_of(), plan_of(objectstore="bluestore")
    assert "false || {" in _ceph.make_daemon(memory, memory.store("pool"), "osd.0")
    assert "/osd.0/ready ] || {" in _ceph.make_daemon(disk, disk.store("pool"), "osd.0")


def test_a_node_keeps_the_scripts_of_its_own_daemons_only() -> None:
    steps = {step.node: step.argv for step in plan_of().prepare if step.title == "its own daemons only"}
    removed = {node: {path.rpartition("/")[2] for path in argv[4:]} for node, argv in steps.items()}
    assert removed["n1"] == {"osd.1", "osd.2", "mds.a", "mds.b"}
    assert removed["n3"] == {"mon.n1", "mgr.n1", "osd.0", "osd.1", "mds.b"}


@pytest.mark.parametrize(
    ("spec", "key"),
    [
        ({"options": {"pool_size": 4}}, "options.pool_size"),
        ({"options": {"objectstore": "filestore"}}, "options.objectstore"),
        ({"options": {"client": "kernel", "page_cache": False}}, "options.page_cache"),
        ({"managed": False}, "address"),
    ],
)
def test_what_cannot_be_is_refused_by_its_key(spec: dict[str, Any], key: str) -> None:
    assert f"stores.pool.{key}" in problem_keys(text(**spec))


def test_a_second_ceph_cluster_is_refused() -> None:
    both = {"pool": {"kind": "cephfs"}, "more": {"kind": "cephfs"}}
    topology = Topology.model_validate({**BASE, "stores": both})
    assert [key for key, _ in REGISTRY["cephfs"].problems(topology, "more")] == ["kind"]
    assert REGISTRY["cephfs"].problems(topology, "pool") == []
