"""Volumes on Kubernetes: what pods are given, claims, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from harness import drivers
from harness.model.plan import Plan
from harness.model.topology import Volume
from harness.planner import problems
from tests.planner_topologies import CHOICE, KUBERNETES, ON_KIND, planned_on_kubernetes, topology

TEXT = """
name: x
stores: {{pool: {{kind: glusterfs, nodes: [n1, n2, n3], options: {{replica: 3}}}}}}
volumes: {{data: {{{volume}}}}}
services: {{writer: {{deploy: {{mode: global}}, volumes: ["data:/data"]}}}}
"""
ON_STORE = "driver: glusterfs, store: pool"


def planned(volume: str) -> Plan:
    return planned_on_kubernetes(TEXT.format(volume=volume))


def source(plan: Plan) -> dict[str, Any]:
    """Of the writer's volume."""
    for each in yaml.safe_load_all(plan.document("objects.yaml").text):
        if each["kind"] == "DaemonSet":
            [found] = each["spec"]["template"]["spec"]["volumes"]
            return {key: value for key, value in found.items() if key != "name"}
    raise AssertionError


def claimed(plan: Plan) -> dict[str, dict[str, Any]]:
    return {each["kind"]: each for each in yaml.safe_load_all(plan.document("volume-data.yaml").text)}


def refused(volume: str) -> list[str]:
    found = problems(topology(TEXT.format(volume=volume), cluster=ON_KIND), KUBERNETES, wire_mtu=1500)
    return [key for key, _ in found]


def test_a_volume_of_a_store_is_its_directory_in_the_nodes_mount_and_nothing_else() -> None:
    """Of type Directory: where the mount is gone, so is the directory, and a pod does not start."""
    plan = planned(ON_STORE)
    path = plan.volume("data").device
    assert path.startswith(f"{plan.store('pool').mount}/")
    assert source(plan) == {"hostPath": {"path": path, "type": "Directory"}}


@pytest.mark.parametrize("driver", ["glusterfs", "cephfs", "nfs", "local"])
def test_a_directory_promises_the_same_on_both_orchestrators(driver: str) -> None:
    volume = Volume.model_validate({"driver": driver})
    plans = [drivers.VOLUMES[where, driver].plan("data", volume, None) for where in ("swarm", "kubernetes")]
    assert plans[0] == plans[1]


def test_an_access_mode_makes_a_volume_and_a_claim_that_are_bound_to_each_other() -> None:
    plan = planned(f"{ON_STORE}, access_mode: ReadWriteMany")
    made = claimed(plan)
    assert source(plan) == {"persistentVolumeClaim": {"claimName": "data"}}
    volume, claim = made["PersistentVolume"], made["PersistentVolumeClaim"]
    assert volume["spec"]["hostPath"] == {"path": plan.volume("data").device, "type": "Directory"}
    assert claim["spec"]["volumeName"] == volume["metadata"]["name"] == plan.engine_name("data")
    assert claim["metadata"]["namespace"] == made["Namespace"]["metadata"]["name"] == plan.cluster
    for each in (volume, claim):
        assert each["spec"]["accessModes"] == ["ReadWriteMany"]
        assert each["spec"]["storageClassName"] == ""  # none: no provisioner may take it
        assert each["metadata"]["labels"] == {"harness.run": plan.run}


def test_claims_come_before_pods_and_what_no_namespace_holds_goes_after_them() -> None:
    plan = planned(f"{ON_STORE}, access_mode: ReadWriteOnce")
    assert [step.phase for step in plan.steps] == ["volumes", "namespace", "services"]
    removed = [step.argv for step in plan.undo]
    volume = next(argv for argv in removed if plan.engine_name("data") in argv)
    space = next(argv for argv in removed if "namespaces" in argv)
    assert removed.index(space) < removed.index(volume)


def test_volumes_of_an_earlier_topology_on_the_cluster_are_removed_as_well() -> None:
    """By label: a cluster that is used again knows nothing of the plan before."""
    removed = [step.argv for step in planned(ON_STORE).undo]
    assert any("persistentvolumes" in argv and f"harness.run={planned(ON_STORE).run}" in argv for argv in removed)


def test_a_claim_asks_a_storage_class_by_name_or_leaves_it_to_the_cluster() -> None:
    named = claimed(planned("driver: claim, storage_class: fast, driver_opts: {size: 5Gi}"))
    spec = named["PersistentVolumeClaim"]["spec"]
    assert (spec["storageClassName"], spec["resources"]) == ("fast", {"requests": {"storage": "5Gi"}})
    default = claimed(planned("driver: claim"))["PersistentVolumeClaim"]["spec"]
    assert "storageClassName" not in default
    assert default["accessModes"] == ["ReadWriteMany"]


def test_a_claim_of_many_nodes_is_shared_and_one_of_one_node_promises_nothing() -> None:
    many, one = (
        planned("driver: claim").volume("data"),
        planned("driver: claim, access_mode: ReadWriteOnce").volume("data"),
    )
    assert many.shared
    assert not one.shared
    assert {name for name, (expected, _) in many.promises.items() if expected == "holds"} == {"shared"}
    assert {expected for expected, _ in one.promises.values()} == {"unproven"}


@pytest.mark.parametrize(
    ("volume", "key"),
    [
        ("driver: local, access_mode: Everybody", "volumes.data.access_mode"),
        ("driver: local, storage_class: fast", "volumes.data.storage_class"),
        (f"{ON_STORE}, storage_class: fast", "volumes.data.storage_class"),
        (f"{ON_STORE}, driver_opts: {{via: plugin}}", "volumes.data.driver_opts.via"),
        (f"{ON_STORE}, driver_opts: {{type: none}}", "volumes.data.driver_opts.type"),
        ("driver: claim, driver_opts: {type: none}", "volumes.data.driver_opts.type"),
        (f"{ON_STORE}, driver_opts: {{via: in-tree}}", "volumes.data.driver_opts.via"),
        ("driver: claim, store: pool", "volumes.data.store"),
    ],
)
def test_what_a_volume_cannot_have_is_refused_by_its_key(volume: str, key: str) -> None:
    assert refused(volume) == [key]


def test_a_store_brings_no_volume_plugin_of_dockers() -> None:
    assert not [step for step in planned(ON_STORE).prepare if "plugin" in step.title]


# --- NFS, mounted by kubelets

NFS = """
name: x
stores: {{pool: {{kind: nfs, nodes: [n2]{store}}}}}
volumes: {{data: {{driver: nfs, store: pool, driver_opts: {{via: in-tree}}{volume}}}}}
services: {{writer: {{deploy: {{mode: global}}, volumes: ["data:/data"]}}}}
"""


def in_tree(store: str = "", volume: str = "") -> Plan:
    return planned_on_kubernetes(NFS.format(store=store, volume=volume))


def test_a_pod_names_server_and_path_and_kubelets_mount_them() -> None:
    plan = in_tree()
    assert source(plan) == {"nfs": {"server": "n2", "path": "/pool/data"}}
    assert plan.volume("data").source == "n2:/pool"  # as a pod's mount will begin
    assert not [document for document in plan.documents if document.name == "volume-data.yaml"]


@pytest.mark.parametrize(
    ("store", "options"),
    [
        (", options: {version: 4.1}", ["vers=4.1"]),
        (', options: {mount_options: "hard,noac"}', ["vers=4.2", "hard", "noac"]),
    ],
)
def test_how_it_is_mounted_a_persistent_volume_says(store: str, options: list[str]) -> None:
    plan = in_tree(store)
    spec = claimed(plan)["PersistentVolume"]["spec"]
    assert (spec["nfs"], spec["mountOptions"]) == ({"server": "n2", "path": "/pool/data"}, options)
    assert spec["accessModes"] == ["ReadWriteMany"]
    assert "hostPath" not in spec
    assert source(plan) == {"persistentVolumeClaim": {"claimName": "data"}}


def test_an_access_mode_makes_a_claim_of_it_too() -> None:
    made = claimed(in_tree(volume=", access_mode: ReadWriteOnce"))
    assert made["PersistentVolume"]["spec"]["accessModes"] == ["ReadWriteOnce"]
    assert made["PersistentVolumeClaim"]["spec"]["accessModes"] == ["ReadWriteOnce"]


def test_of_a_server_that_exists_the_runs_own_directory_is_mounted() -> None:
    there = "stores: {pool: {kind: nfs, managed: false, address: ADDRESS, options: {path: /srv}}}"
    text = NFS.format(store="", volume="").replace("stores: {pool: {kind: nfs, nodes: [n2]}}", there)
    for address, server in (("192.0.2.7", "192.0.2.7"), ('"2001:db8::7"', "2001:db8::7")):
        plan = planned_on_kubernetes(text.replace("ADDRESS", address))
        assert source(plan) == {"nfs": {"server": server, "path": f"/srv/{plan.cluster}-pool/data"}}


def test_a_kernel_without_a_client_is_named_before_anything_is_made_either_way() -> None:
    for plan in (in_tree(), in_tree(", options: {version: 3}")):
        client = "fs-nfs" if plan.store("pool").options["version"] == "3" else "fs-nfs4"
        assert client in [demand.feature for demand in plan.demands if demand.wanted_by == "store pool"]


def test_on_swarm_no_kubelet_mounts_it() -> None:
    text = NFS.format(store="", volume="")
    assert "volumes.data.driver_opts.via" in [key for key, _ in problems(topology(text), CHOICE, wire_mtu=1500)]
