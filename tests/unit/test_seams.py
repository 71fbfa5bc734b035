"""Three later guests walk through the seams: kind, a VM by SSH, a cluster that gives little.

Small fakes, real planner, real ports: what a guest needs and a seam does not carry would not type-check here.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness import faults
from harness.model.errors import EnvironmentBroken, HarnessError
from harness.model.plan import Demand, Document, NetworkPlan, NodePlan, Plan, Step
from harness.model.topology import Network, Service, Topology
from harness.orchestrators.swarm import Swarm
from harness.planner import Choice, Rendering, plan, problems
from harness.ports import (
    Act,
    Address,
    Cluster,
    ClusterInfo,
    Container,
    Declared,
    Host,
    NetworkDriver,
    Orchestrator,
    Progress,
    Provider,
    Result,
    Sight,
    State,
)
from tests.fake_swarm import FakeSwarm
from tests.fakes import Answer, FakeHost
from tests.planner_topologies import EXAMPLE, IMAGE, RUN, planned

#: What a fake host answers, by the beginning of a command.
Answers = dict[tuple[str, ...], Result | Answer]


def quiet(_line: str) -> None:
    pass


# --- kind: the CNI is chosen when the cluster is made; nodes have joined already


class Cilium:
    """A network driver whose demand decides how nodes are made: kind's own CNI must stay off."""

    def demands(self, name: str, network: Network) -> list[Demand]:
        return [Demand("default-cni-off", f"network {name}")]

    def problems(self, name: str, network: Network) -> list[tuple[str, str]]:
        return [("attachable", "pods have no attachable networks")] if network.attachable else []

    def plan(self, name: str, network: Network, wire_mtu: int) -> NetworkPlan:
        return NetworkPlan(name, "cilium", wire_mtu - 50, resolves_names=True)

    def declare(self, name: str, network: Network, plan: Plan) -> Declared:
        argv = ("kubectl", "apply", "-f", "-")
        step = Step("networks", "install the CNI", plan.managers[0], argv, 60.0, "cilium.yaml")
        return Declared(steps=(step,), documents=(Document("cilium.yaml", "kind: DaemonSet\n"),))


class Pods:
    """Services as Kubernetes objects."""

    def demands(self, topology: Topology) -> list[Demand]:
        return []

    def problems(self, topology: Topology, nodes: Sequence[NodePlan]) -> list[tuple[str, str]]:
        return []

    def notes(self, topology: Topology) -> list[str]:
        return ["heartbeat_s has no meaning on Kubernetes"] if topology.cluster.heartbeat_s else []

    def eligible(self, service: Service, nodes: Sequence[NodePlan]) -> list[str]:
        return [node.name for node in nodes if node.role == "worker"]

    def tasks_name(self, service: str) -> str:
        return ""

    def declare(
        self, plan: Plan, networks: Mapping[str, Declared], volumes: Mapping[str, Declared], image: str
    ) -> Declared:
        pods = [{"kind": "Deployment", "name": t.service, "replicas": t.containers} for t in plan.targets]
        step = Step("services", "apply", plan.managers[0], ("kubectl", "apply", "-f", "-"), 60.0, "pods.yaml")
        undo = Step("remove", "delete", plan.managers[0], ("kubectl", "delete", "-f", "-"), 60.0, "pods.yaml")
        return Declared((step,), (undo,), (Document("pods.yaml", yaml.safe_dump_all(pods)),))


class Kind:
    """Makes nodes that are one cluster already. `config` is what it was made with."""

    name = "kind"

    def __init__(self) -> None:
        self.config: dict[str, Any] = {}

    def demands(self, topology: Topology) -> list[Demand]:
        return []

    def up(self, plan: Plan, progress: Progress) -> Cluster:
        wanted = {demand.feature for demand in plan.demands}
        self.config = {"networking": {"disableDefaultCNI": "default-cni-off" in wanted}}
        nodes = [{"name": node.name, "ready": True} for node in plan.nodes]
        answers: Answers = {("kubectl", "get", "nodes"): Result(0, json.dumps(nodes), "")}
        hosts: dict[str, Host] = {
            node.name: FakeHost(node.name, rights=frozenset(), answers=answers) for node in plan.nodes
        }
        return Cluster("lab", plan.run, self.name, hosts)

    def supply(self, cluster: Cluster, plan: Plan, progress: Progress) -> None: ...

    def find(self, name: str) -> Cluster:
        raise NotImplementedError

    def clusters(self) -> list[ClusterInfo]:
        return []

    def logs(self, name: str, into: Path) -> None: ...

    def down(self, name: str) -> list[str]:
        return []

    def tidy(self) -> list[str]:
        return []


class Kubernetes:
    """Adopts nodes; knows its pods through an API and not through any host's shell."""

    name = "kubernetes"

    def __init__(self) -> None:
        self.pods: list[Container] = []

    def demands(self, topology: Topology) -> list[Demand]:
        return []

    def join(self, cluster: Cluster, plan: Plan, progress: Progress) -> None:
        api = cluster.hosts[plan.managers[0]]
        found = json.loads(api.run(["kubectl", "get", "nodes"], timeout_s=5).stdout)
        missing = {node.name for node in plan.nodes} - {row["name"] for row in found if row["ready"]}
        if missing:
            raise EnvironmentBroken(f"not in the cluster: {', '.join(sorted(missing))}")

    def apply(self, cluster: Cluster, plan: Plan, progress: Progress) -> None:
        nodes = Pods().eligible(Service(), plan.nodes)
        for target in plan.targets:
            address = {name: Address(f"10.1.0.{i}", 24) for i, name in enumerate(target.networks)}
            self.pods += [
                Container(f"{target.service}.{i + 1}", target.service, nodes[i % len(nodes)], f"u{i}", 0, address)
                for i in range(target.containers)
            ]

    def containers(self, cluster: Cluster, plan: Plan, service: str | None = None) -> list[Container]:
        return [pod for pod in self.pods if service in (None, pod.service)]

    def look(self, cluster: Cluster, plan: Plan) -> Sight:
        return Sight(tuple(self.pods))

    def perform(
        self, cluster: Cluster, plan: Plan, act: Act, container: Container | None, *, timeout_s: float
    ) -> None: ...

    def state(self, cluster: Cluster, plan: Plan) -> State:
        running = Counter(pod.service for pod in self.pods)
        return State(tuple(t.service for t in plan.targets if running[t.service] < t.containers), running)

    def delete(self, cluster: Cluster, plan: Plan) -> None:
        self.pods.clear()


KIND_TOPOLOGY = """
name: pods
cluster: {provider: kind, orchestrator: kubernetes, heartbeat_s: 5}
networks: {app: {driver: cilium}}
services: {web: {deploy: {replicas: 2}, networks: [app]}, edge: {deploy: {mode: global}, networks: [app]}}
"""
NETWORK: NetworkDriver = Cilium()
PODS: Rendering = Pods()
KIND_CHOICE = Choice(PODS, {("kubernetes", "cilium"): NETWORK}, {})


def kind_plan() -> Plan:
    topology = Topology.model_validate(yaml.safe_load(KIND_TOPOLOGY))
    return plan(topology, KIND_CHOICE, run=RUN, seed=1, workload_image=IMAGE)


def test_kind_learns_of_the_cni_before_it_makes_a_node() -> None:
    kind = Kind()
    provider: Provider = kind
    provider.up(kind_plan(), quiet)
    assert kind.config == {"networking": {"disableDefaultCNI": True}}


def test_kinds_nodes_are_adopted_and_never_joined() -> None:
    made, orchestrator = kind_plan(), Kubernetes()
    seam: Orchestrator = orchestrator
    cluster = Kind().up(made, quiet)
    seam.join(cluster, made, quiet)
    ran = [argv for host in cluster.hosts.values() if isinstance(host, FakeHost) for argv in host.ran]
    assert ran == [("kubectl", "get", "nodes")]


def test_the_planner_speaks_no_swarm() -> None:
    made = kind_plan()
    assert made.target("edge").containers == 2
    assert made.notes == ("heartbeat_s has no meaning on Kubernetes",)
    assert all(step.argv[0] == "kubectl" for step in (*made.steps, *made.undo))
    assert [document.name for document in made.documents] == ["cilium.yaml", "pods.yaml"]
    attachable = yaml.safe_load(KIND_TOPOLOGY)
    attachable["networks"]["app"]["attachable"] = True
    found = problems(Topology.model_validate(attachable), KIND_CHOICE, wire_mtu=1500)
    assert [key for key, _ in found] == ["networks.app.attachable"]


# --- a VM by SSH only: a shell, and nothing outside it


def test_a_vm_by_ssh_carries_a_whole_swarm() -> None:
    vms = FakeSwarm()
    cluster, made = vms.cluster(RUN, "vagrant"), planned()
    assert cluster.rights == {"shell", "pods", "nodes"}
    Swarm().join(cluster, made, quiet)
    Swarm().apply(cluster, made, quiet)
    assert len(Swarm().containers(cluster, made)) == sum(target.containers for target in made.targets)
    assert Swarm().state(cluster, made).complaints == ()


def test_a_vms_swarm_keeps_a_heartbeat_that_a_slow_machine_can_hold() -> None:
    vms, text = FakeSwarm(), EXAMPLE.replace("heartbeat_s: 2", "provider: vagrant")
    Swarm().join(vms.cluster(RUN, "vagrant"), planned(text), quiet)
    assert vms.heartbeat_ns == 30 * 10**9


@pytest.mark.parametrize(("fault", "right"), [("partition", "wire"), ("pause", "lifecycle")])
def test_a_fault_that_needs_more_than_a_shell_names_the_right(fault: str, right: str) -> None:
    cluster = FakeSwarm().cluster(RUN, "vagrant")
    assert faults.REGISTRY[fault].rights - cluster.rights == {right}
    with pytest.raises(HarnessError, match=right):
        faults.REGISTRY[fault].inject(cluster, ["n2"], "both", timeout_s=5)


# --- an existing cluster without shell and wire


def bare_cluster() -> Cluster:
    hosts: dict[str, Host] = {name: FakeHost(name, address="", rights=frozenset()) for name in ("n1", "n2", "n3")}
    return Cluster("theirs", RUN, "existing", hosts)


def test_a_cluster_without_rights_says_so_and_every_fault_names_what_it_lacks() -> None:
    cluster = bare_cluster()
    assert cluster.rights == frozenset()
    for fault in faults.REGISTRY.values():
        assert fault.rights - cluster.rights == fault.rights != frozenset()


def test_pods_are_seen_without_a_shell_on_any_host() -> None:
    made, cluster = kind_plan(), bare_cluster()
    orchestrator: Orchestrator = Kubernetes()
    orchestrator.apply(cluster, made, quiet)
    assert [pod.name for pod in orchestrator.containers(cluster, made, "web")] == ["web.1", "web.2"]
    assert orchestrator.state(cluster, made).complaints == ()
    assert not any(host.ran for host in cluster.hosts.values() if isinstance(host, FakeHost))


def test_swarm_without_a_shell_breaks_with_the_host_and_the_command() -> None:
    with pytest.raises(EnvironmentBroken, match="on n1: `docker info"):
        Swarm().join(bare_cluster(), planned(), quiet)
