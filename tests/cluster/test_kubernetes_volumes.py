"""Volumes on Kubernetes for real: stores on kind's nodes, claims, access modes, a node that starts anew.

One cluster for the whole module, in this order. What takes minutes of waiting for kubelets is for the night.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness import faults, session
from harness.ports import Cluster
from tests.cluster_bench import done
from tests.cluster_cli import Ended, harness, only_run, start
from tests.cluster_kind import storage_class
from tests.cluster_traces import Traces

TOPOLOGY = Path(__file__).parent / "topologies" / "kubernetes-volumes.yaml"
#: Making the node image is not part of it, making the cluster is.
RUN_TIMEOUT_S = 1500.0
BACK_WITHIN_S = 240.0
FAULT_TIMEOUT_S = 60.0
KUBECTL = ("kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf")
CLASS = "harness-test"
BY_CLASS = f"volumes.one={{driver: claim, storage_class: {CLASS}, access_mode: ReadWriteOnce}}"
MOUNT = "/harness/stores/pool"


@dataclass(frozen=True)
class Kept:
    ended: Ended
    results: dict[str, Any]

    @property
    def cluster(self) -> Cluster:
        return session.find(f"harness-{self.results['run']}")

    def check(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = next(check for check in self.results["checks"] if check["id"] == name)
        return found

    def promise(self, check: str, name: str) -> dict[str, Any]:
        found: dict[str, Any] = next(p for p in self.check(check)["promises"] if p["name"] == name)
        return found


def run(runs: Path, *arguments: str) -> Kept:
    common = ("--runs-dir", str(runs), "--seed", "5", "--keep")
    ended = start("run", TOPOLOGY, *common, *arguments).end(RUN_TIMEOUT_S)
    return Kept(ended, json.loads((only_run(runs) / "results.json").read_text()))


@pytest.fixture(scope="module")
def kept(own_engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    yield run(tmp_path_factory.mktemp("runs"))
    session.down_all(lambda _line: None)


def test_a_store_of_all_nodes_is_shared_and_one_of_each_node_is_not(kept: Kept) -> None:
    assert kept.ended.code == 0, kept.ended.told
    assert kept.promise("shared", "shared")["observed"] == "kept"
    assert kept.promise("shared", "append-loses-nothing")["observed"] == "kept"
    assert kept.promise("apart", "shared")["observed"] == "broken"
    assert "not shared, as a local volume promises" in " ".join(kept.ended.stdout.split())


def test_many_nodes_are_let_in_and_nobody_keeps_a_second_one_from_a_volume_of_one(kept: Kept) -> None:
    for check in ("mode-many", "mode-one"):
        assert kept.check(check)["verdict"] == "pass", kept.check(check)["reason"]
        assert kept.check(check)["figures"] == {"nodes_let_in": 2, "nodes_refused": 0}
    assert "nothing enforces it" in kept.check("mode-one")["reason"]


@pytest.mark.nightly
@pytest.mark.parametrize("name", ["drain", "delete-pod", "stop-kubelet"])
def test_a_fault_of_kubernetes_is_felt_and_healed_by_who_knows_the_cluster_only(kept: Kept, name: str) -> None:
    fault, cluster = faults.REGISTRY[name], kept.cluster
    eventually(lambda: len(places(cluster)) == 1, "single does not run")
    [node] = places(cluster)
    fault.inject(cluster, [node], "both", timeout_s=FAULT_TIMEOUT_S)
    eventually(lambda: fault.felt(cluster, [node], "both", timeout_s=FAULT_TIMEOUT_S).felt, f"{name} is not felt")
    healed = session.heal(cluster.name)
    assert len(healed) == 1, healed
    assert not fault.felt(cluster, [node], "both", timeout_s=FAULT_TIMEOUT_S).felt
    assert session.heal(cluster.name) == []
    eventually(lambda: ready(cluster, node), f"{node} is not Ready")
    eventually(lambda: len(places(cluster)) == 1, "single does not run again")


def places(cluster: Cluster) -> list[str]:
    """The nodes of the containers of `single` that are ready."""
    which = ("--namespace", cluster.name, "get", "pods", "-l", "harness.service=single", "-o", "json")
    rows = json.loads(done(cluster.hosts["n1"], [*KUBECTL, *which]))["items"]
    return [
        row["spec"]["nodeName"]
        for row in rows
        if not row["metadata"].get("deletionTimestamp")
        and any(c["type"] == "Ready" and c["status"] == "True" for c in row["status"].get("conditions", ()))
    ]


@pytest.mark.nightly
def test_a_claim_gets_what_a_storage_class_provides(kept: Kept, tmp_path: Path) -> None:
    plane = kept.cluster.hosts["n1"]
    made = storage_class(CLASS, "ReadWriteOnce", "/harness/shared/provided")
    done(plane, [*KUBECTL, "apply", "-f", "-"], made)
    given = run(tmp_path, "--reuse", "--only", "mode-one", "--set", BY_CLASS)
    assert given.ended.code == 0, given.ended.told
    assert given.check("mode-one")["figures"]["nodes_let_in"] == 2
    done(plane, [*KUBECTL, "delete", "persistentvolume", CLASS, "--wait=true"])


@pytest.mark.nightly
def test_a_storage_class_that_is_not_there_is_named_before_anything_is_deployed(
    kept: Kept, tmp_path: Path
) -> None:
    wrong = BY_CLASS.replace(CLASS, "nowhere")
    ended = harness("run", TOPOLOGY, "--runs-dir", tmp_path, "--reuse", "--keep", "--set", wrong)
    assert ended.code == 70, ended.told
    told = " ".join(ended.told.split())
    assert "volumes.one.storage_class: the cluster has no storage class 'nowhere'" in told
    assert CLASS in told


@pytest.mark.nightly
def test_a_node_that_starts_anew_has_its_servers_and_mounts_before_its_pods(kept: Kept, tmp_path: Path) -> None:
    kill, cluster = faults.REGISTRY["kill"], kept.cluster
    kill.inject(cluster, ["n3"], "both", timeout_s=FAULT_TIMEOUT_S)
    assert kill.felt(cluster, ["n3"], "both", timeout_s=FAULT_TIMEOUT_S).felt
    assert cluster.lifecycle is not None
    cluster.lifecycle.start("n3", timeout_s=FAULT_TIMEOUT_S)
    host = cluster.hosts["n3"]
    up = f'mountpoint -q {MOUNT} && pgrep -x glusterfsd && [ "$(uname -n)" = n3 ]'
    eventually(lambda: host.run(["sh", "-c", up], timeout_s=FAULT_TIMEOUT_S).ok, "the store of n3 is not back")
    eventually(lambda: ready(cluster, "n3"), "n3 is not Ready")
    again = run(tmp_path, "--reuse", "--only", "shared")
    assert again.ended.code == 0, again.ended.told
    assert again.promise("shared", "shared")["observed"] == "kept"


def ready(cluster: Cluster, node: str) -> bool:
    asked = ("get", "node", node, "-o", "jsonpath={.status.conditions[?(@.type=='Ready')].status}")
    return cluster.hosts["n1"].run([*KUBECTL, *asked], timeout_s=FAULT_TIMEOUT_S).stdout.strip() == "True"


def eventually(what: Any, why: str) -> None:
    deadline = time.monotonic() + BACK_WITHIN_S
    while not what():
        assert time.monotonic() < deadline, why
        time.sleep(1)


@pytest.mark.nightly
@pytest.mark.parametrize("topology", ["volume-cephfs", "volume-local-ext4", "volume-glusterfs"])
def test_the_file_of_swarms_volumes_passes_the_same_checks(traces: Traces, tmp_path: Path, topology: str) -> None:
    ended = start("run", topology, "--orchestrator", "kubernetes", "--runs-dir", str(tmp_path)).end(RUN_TIMEOUT_S)
    assert ended.code == 0, ended.told
