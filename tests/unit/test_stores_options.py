"""What stores refuse by name, and what their options come to."""

from __future__ import annotations

from typing import Any

import pytest

from harness import stores
from harness.loader import loads
from harness.model.errors import TopologyError
from harness.model.places import STORE_DATA
from harness.model.plan import Plan
from harness.model.topology import Topology
from harness.session import CATALOG
from tests.planner_topologies import RUN, planned

POOL = """
name: pooled
stores: {pool: {kind: glusterfs, nodes: [n1, n2, n3], options: {replica: 3}}}
volumes: {data: {driver: glusterfs}}
services: {web: {deploy: {mode: global}, volumes: ["data:/data"]}}
"""

#: What the loader makes of it.
STORED = POOL.replace("driver: glusterfs", "driver: glusterfs, store: pool")


def gluster(options: str = "replica: 3") -> Plan:
    return planned(STORED.replace("replica: 3", options))


def problem_of(kind: str, options: dict[str, Any], **spec: Any) -> tuple[str, str]:
    topology = Topology.model_validate(
        {"name": "x", "stores": {"pool": {"kind": kind, "options": options, **spec}}}
    )
    (found,) = stores.REGISTRY[kind].problems(topology, "pool")
    return found


@pytest.mark.parametrize(
    ("kind", "options", "key", "words"),
    [
        ("local", {"fstype": "btrfs"}, "options.fstype", "'xfs' or 'ext4'"),
        ("local", {"size": "big"}, "options.size", "300M"),
        ("local", {"size": "100M"}, "options.size", "at least 300M"),
        ("local", {"fstype": "ext4", "size": "4M"}, "options.size", "at least 8M"),
        ("glusterfs", {"replica": 2}, "options.replica", "3 bricks"),
        ("glusterfs", {"replica": "x"}, "options.replica", "integer"),
        ("glusterfs", {"size": "10M"}, "options.size", "at least 300M"),
        ("glusterfs", {"volume_options": {"write-behind": "off"}}, "options.volume_options", "have a dot"),
        ("glusterfs", {"volume_options": {"a.b": "; rm -rf /"}}, "options.volume_options", "no value"),
        ("glusterfs", {"mount_options": "acl; reboot"}, "options.mount_options", "commas"),
    ],
)
def test_an_option_that_cannot_be_is_refused_by_name(
    kind: str, options: dict[str, Any], key: str, words: str
) -> None:
    found, message = problem_of(kind, options)
    assert found == key
    assert words in message


def test_a_store_that_exists_is_not_taken_for_one_that_is_made() -> None:
    assert problem_of("local", {}, managed=False, address="192.0.2.7")[0] == "managed"
    for kind in ("local", "glusterfs"):
        assert problem_of(kind, {}, address="192.0.2.7")[0] == "address"


def test_a_local_store_is_on_every_node() -> None:
    assert problem_of("local", {}, nodes=["n1"])[0] == "nodes"


def test_a_node_has_one_pool_of_peers() -> None:
    two = {"one": {"kind": "glusterfs"}, "two": {"kind": "glusterfs"}}
    topology = Topology.model_validate({"name": "x", "stores": two})
    assert stores.REGISTRY["glusterfs"].problems(topology, "one") == []
    assert [key for key, _ in stores.REGISTRY["glusterfs"].problems(topology, "two")] == ["kind"]


def test_a_mistake_in_a_store_is_told_with_its_line() -> None:
    with pytest.raises(TopologyError) as refused:
        loads(POOL.replace("replica: 3", "replicas: 3"), "x.yaml", CATALOG, ())
    (found,) = refused.value.problems
    assert (found.line, found.key) == (3, "stores.pool.options.replicas")


def test_a_volume_that_names_no_store_has_the_only_one_of_its_kind() -> None:
    assert loads(POOL, "x.yaml", CATALOG, ()).volumes["data"].store == "pool"


def test_what_backs_a_loop_device_is_called_after_the_run() -> None:
    made = gluster()
    files = {word for step in made.prepare for word in " ".join(step.argv).split() if word.endswith(".img")}
    assert files == {f"{STORE_DATA}/harness-{RUN}-pool.img"}


def test_servers_are_only_where_the_store_says() -> None:
    made = planned(STORED.replace("[n1, n2, n3]", "[n2, n3]").replace("replica: 3", "replica: 2"))
    assert {step.node for step in made.prepare if step.phase.endswith("servers")} == {"n2", "n3"}
    assert {step.node for step in made.prepare if step.phase.endswith("mounts")} == {"n1", "n2", "n3"}
    wanted = [demand.nodes for demand in made.demands if demand.feature == "package:glusterfs-server"]
    assert wanted == [("n2", "n3")]


def test_every_server_sees_all_peers_before_there_is_a_volume() -> None:
    """The first may be connected to all while another two are not yet to each other."""
    phases = [step.phase for step in gluster().prepare]
    waiting = [step for step in gluster().prepare if step.phase == "store pool, pool"]
    assert {step.node for step in waiting} == {"n1", "n2", "n3"}
    assert all("= 3 ]" in " ".join(step.argv) for step in waiting)
    assert (
        phases.index("store pool, peers") < phases.index("store pool, pool") < phases.index("store pool, volume")
    )


def test_options_decide_what_is_promised() -> None:
    plain = gluster().volume("data")
    assert plain.promises["shared"][0] == "holds"
    assert plain.promises["read-after-write"][0] == "may"
    caches = [
        "quick-read",
        "io-cache",
        "read-ahead",
        "stat-prefetch",
        "open-behind",
        "write-behind",
        "readdir-ahead",
    ]
    off = ", ".join(f"performance.{name}: off" for name in caches)
    mount = "direct-io-mode=yes,attribute-timeout=0,entry-timeout=0"
    coherent = gluster(f'replica: 3, volume_options: {{{off}}}, mount_options: "{mount}"').volume("data")
    assert coherent.promises["read-after-write"][0] == "unproven"
    assert coherent.promises["close-to-open"][0] == "holds"


def test_options_of_the_volume_reach_the_servers_and_those_of_the_mount_the_clients() -> None:
    made = gluster('replica: 3, volume_options: {performance.write-behind: off}, mount_options: "acl"')
    volume = next(step for step in made.prepare if step.phase.endswith("volume"))
    assert "network.ping-timeout 5 performance.write-behind off" in " ".join(volume.argv)
    assert "-o backup-volfile-servers=n2:n3,acl n1:/pool" in made.document("store-pool.sh").text
