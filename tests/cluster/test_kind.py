"""A real Kubernetes cluster by kind: nodes, names, packets between pods; a node that restarts; nothing left.

One cluster for the whole module, made and removed by the provider alone, in this order.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import pytest
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from harness.model.plan import NodePlan, Plan
from harness.ports import Cluster, Result
from harness.providers import images, kind_wait
from harness.providers.engine import Engine
from harness.providers.kind import KindProvider
from harness.session.planning import new_run
from tests.cluster_kind import settings
from tests.planner_topologies import topology

pytestmark = pytest.mark.cluster

TEXT = """
name: kind-live
cluster: {orchestrator: kubernetes, nodes: {manager: 1, worker: 2}}
networks: {app: {driver: overlay, ipam: {config: [{subnet: 10.60.0.0/16}]}}}
"""
#: An overlay's packets on a wire of 1500 bytes.
PACKET_BYTES = 1450
HEADERS_BYTES = 28
PATIENCE_S = 180.0


@dataclass
class Lab:
    provider: KindProvider
    plan: Plan
    cluster: Cluster
    settings: dict[str, str]

    def kubectl(self, *words: str, stdin: str = "") -> Result:
        argv = [*kind_wait.KUBECTL, *words]
        return self.cluster.hosts["n1"].run(argv, timeout_s=60, stdin=stdin.encode())

    def pods(self) -> dict[str, tuple[str, str]]:
        """Node to the name and the address of its pod that runs."""
        listed = self.kubectl("get", "pods", "--selector", "app=each", "-o", "json")
        assert listed.ok, listed.output
        return {
            pod["spec"]["nodeName"]: (pod["metadata"]["name"], pod["status"].get("podIP", ""))
            for pod in json.loads(listed.stdout)["items"]
            if not pod["metadata"].get("deletionTimestamp")
        }

    def ping(self, node: str, address: str, packet_bytes: int) -> Result:
        """From the pod on `node`, with Don't Fragment."""
        size = str(packet_bytes - HEADERS_BYTES)
        ping = ["ping", "-c", "1", "-W", "5", "-M", "do", "-s", size, address]
        return self.kubectl("exec", self.pods()[node][0], "--", *ping)


def soon() -> Retrying:
    return Retrying(
        stop=stop_after_delay(PATIENCE_S),
        wait=wait_fixed(2),
        retry=retry_if_exception_type(AssertionError),
        reraise=True,
    )


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    before = settings()
    plan = Plan(
        run=new_run(),
        topology=topology(TEXT),
        provider="kind",
        orchestrator="kubernetes",
        seed=1,
        nodes=(NodePlan("n1", "manager"), NodePlan("n2", "worker"), NodePlan("n3", "worker")),
        images=(images.tag("workload"),),
    )
    provider = KindProvider()
    try:
        cluster = provider.up(plan, print)
        provider.supply(cluster, plan, print)
        kind_wait.await_ready(cluster.hosts["n1"], ["n1", "n2", "n3"], print, Event())
        yield Lab(provider, plan, cluster, before)
    finally:
        provider.down(plan.run)


def deployed() -> str:
    """A pod on every node, and a headless service over them."""
    serve = ["python3", "-m", "http.server", "80"]
    container = {"name": "each", "image": images.tag("workload"), "command": serve}
    pod = {"terminationGracePeriodSeconds": 1, "containers": [container]}
    labels = {"app": "each"}
    each = {
        "kind": "DaemonSet",
        "apiVersion": "apps/v1",
        "metadata": {"name": "each"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }
    services = [
        {
            "kind": "Service",
            "apiVersion": "v1",
            "metadata": {"name": name},
            "spec": {**address, "selector": labels, "ports": [{"port": 80}]},
        }
        for name, address in (("each", {"clusterIP": "None"}), ("shared", {}))
    ]
    return json.dumps({"kind": "List", "apiVersion": "v1", "items": [each, *services]})


def test_nodes_are_ready_free_and_called_as_in_the_topology(lab: Lab) -> None:
    nodes = json.loads(lab.kubectl("get", "nodes", "-o", "json").stdout)["items"]
    assert {node["metadata"]["name"] for node in nodes} == {"n1", "n2", "n3"}
    assert all("taints" not in node["spec"] for node in nodes)
    assert {node["spec"]["podCIDR"].rsplit(".", 2)[0] for node in nodes} == {"10.60"}
    assert {h.name: h.address for h in lab.cluster.hosts.values()} == {
        node["metadata"]["name"]: next(
            a["address"] for a in node["status"]["addresses"] if a["type"] == "InternalIP"
        )
        for node in nodes
    }


def test_pods_of_all_nodes_reach_each_other_by_packets_of_exactly_the_overlays_size(lab: Lab) -> None:
    assert lab.kubectl("apply", "-f", "-", stdin=deployed()).ok
    done = lab.kubectl("rollout", "status", "daemonset/each", "--timeout=50s")
    assert done.ok, done.output
    pods = lab.pods()
    assert set(pods) == {"n1", "n2", "n3"}
    for node in pods:
        for other, (_name, address) in pods.items():
            if node != other:
                assert lab.ping(node, address, PACKET_BYTES).ok, (node, other)
                assert not lab.ping(node, address, PACKET_BYTES + 1).ok, (node, other)


def test_names_lead_to_all_pods_and_unknown_ones_are_refused_at_once(lab: Lab) -> None:
    ask = "import socket, sys; print(*sorted({a[4][0] for a in socket.getaddrinfo(sys.argv[1], 80)}))"
    name, _ = lab.pods()["n2"]
    expected = sorted(address for _, address in lab.pods().values())
    for each in ("each", "each.default.svc.cluster.local"):
        assert lab.kubectl("exec", name, "--", "python3", "-c", ask, each).stdout.split() == expected
    refused = lab.kubectl("exec", name, "--", "python3", "-c", ask, "nobody")
    assert "Name or service not known" in refused.stderr


def test_one_address_leads_to_several_pods_from_every_node_and_from_a_pod_of_its_own(lab: Lab) -> None:
    """Which of them answers is chance: 30 connections in a row must all be answered."""
    get = "from urllib.request import urlopen; [urlopen('http://shared/', timeout=9) for _ in range(30)]"
    ask = f"{get}; print(30)"
    for attempt in soon():
        with attempt:
            for name, _address in lab.pods().values():
                answered = lab.kubectl("exec", name, "--", "python3", "-c", ask)
                assert answered.stdout.split() == ["30"], answered.output


def test_a_worker_that_is_killed_and_started_joins_again_with_its_pods_network(lab: Lab) -> None:
    assert lab.cluster.lifecycle is not None
    lab.cluster.lifecycle.kill("n2", timeout_s=60)
    assert lab.cluster.lifecycle.state("n2", timeout_s=60) == "off"
    lab.cluster.lifecycle.start("n2", timeout_s=60)
    for attempt in soon():
        with attempt:
            pods = lab.pods()
            assert lab.ping("n2", pods["n3"][1], PACKET_BYTES).ok
            assert lab.ping("n3", pods["n2"][1], PACKET_BYTES).ok
    kind_wait.await_ready(lab.cluster.hosts["n1"], ["n1", "n2", "n3"], print, Event())


def test_logs_hold_what_kubelets_pods_and_events_say(lab: Lab, tmp_path: Path) -> None:
    lab.provider.logs(lab.plan.run, tmp_path)
    assert "kubelet" in (tmp_path / "n3" / "journal.log").read_text()
    assert "harness-cni" in (tmp_path / "n2" / "pods.log").read_text()
    assert "coredns" in (tmp_path / "n1" / "events.txt").read_text()


def test_down_leaves_no_container_network_volume_or_changed_setting(lab: Lab) -> None:
    host = next(iter(lab.cluster.hosts.values()))
    engine: Engine = host.engine  # type: ignore[attr-defined]
    client = engine.client(60)
    assert lab.provider.down(lab.plan.run)
    assert lab.provider.down(lab.plan.run) == []
    assert lab.provider.clusters() == []
    assert settings() == lab.settings
    if lab.provider.own.running() is not None:  # another cluster of this state's
        assert [c.name for c in client.container.list(all=True) if lab.plan.run in c.name] == []
        assert [n.name for n in client.network.list() if lab.plan.run in n.name] == []
        assert [v.name for v in client.volume.list() if lab.plan.run in v.name] == []
