"""A plan: what a topology means on one provider and orchestrator, before anything is changed.

All of it is plain data and goes into plan.json; `plan_from_json(plan_to_json(p)) == p`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import yaml

from harness.model.places import PLUGIN_FOLDER
from harness.model.policies import NetworkPolicy
from harness.model.topology import Check, Topology

LABEL = "harness.run"
#: The document of a plan that holds all NetworkPolicy objects; a plan without any has none.
POLICIES_DOCUMENT = "policies.yaml"
#: Every cluster, namespace and nft table of a run starts with this: names are labels where there are none.
PREFIX = "harness-"


def cluster_key(topology: Topology) -> str:
    """Clusters with one key can be used for one another's topologies (`--reuse`). Stores want nodes with more on
    them.
    """
    shape = {**topology.cluster.model_dump(mode="json"), **({"stores": True} if topology.stores else {})}
    return json.dumps(shape, sort_keys=True, separators=(",", ":"))


def serves(key: str, topology: Topology) -> bool:
    """Whether a cluster of that key can carry `topology`: nodes with servers of volumes do without them, too."""
    have, want = json.loads(key), json.loads(cluster_key(topology))
    return have in (want, {**want, "stores": True})


def cluster_name(run: str) -> str:
    return f"{PREFIX}{run}"


@dataclass(frozen=True)
class Demand:
    """Something that a host must be able to do. `feature` is a name of the features room (`vxlan`, `ipvs`).

    `part` narrows what is skipped when it is missing (`ingress`); empty: everything that `wanted_by` names.
    `wanted_by` is what a user wrote (`network app`, `check mtu`). `nodes` empty: every node.
    """

    feature: str
    wanted_by: str
    part: str = ""
    nodes: tuple[str, ...] = ()


@dataclass(frozen=True)
class NodePlan:
    name: str
    role: Literal["manager", "worker"]


@dataclass(frozen=True)
class Document:
    """A file that a step hands to a command on standard input, or that a user may want to read."""

    name: str
    text: str


@dataclass(frozen=True)
class Step:
    """One command on one node. Steps of one `phase` may run in parallel; phases run in order of appearance.

    `node` is a node's name. `document` names the Document that goes to standard input, if any. One that
    `only_looks` changes nothing: what it prints when it fails is for users.
    """

    phase: str
    title: str
    node: str
    argv: tuple[str, ...]
    timeout_s: float
    document: str = ""
    only_looks: bool = False


@dataclass(frozen=True)
class Target:
    """A kind of endpoint that connectivity is expected from or to: one per service, live ones by number.

    `containers` is how many must run: replicas, nodes (global), or 1 (a plain container).
    `networks` maps a network to the names under which the service answers there, besides addresses:
    the service's name, aliases. `host` is true for network_mode host. `tasks` is a further name there that means
    its containers exactly, where the orchestrator has one. `stable`: each of them has a name of its own there,
    which holds when it is replaced.
    """

    service: str
    containers: int
    kind: Literal["replicated", "global", "plain"]
    networks: Mapping[str, tuple[str, ...]]
    node: str = ""
    host: bool = False
    ports: tuple[Mapping[str, Any], ...] = ()
    endpoint_mode: Literal["vip", "dnsrr"] = "dnsrr"
    mounts: Mapping[str, str] = field(default_factory=dict)
    tasks: str = ""
    stable: bool = False


@dataclass(frozen=True)
class NetworkPlan:
    """`packet_bytes` is the largest IP packet that must pass unfragmented.

    `linked`: containers of different nodes are on one link. A network that is not is a network of its own on each
    node, and is called so: `lan@n1`. `same_node`: containers of one node reach each other on it. `ipv6`:
    containers have addresses of both families; `resolves_ipv6`: names lead to those of IPv6 as well.
    """

    name: str
    driver: str
    packet_bytes: int
    resolves_names: bool
    internal: bool = False
    subnets: tuple[str, ...] = ()
    linked: bool = True
    same_node: bool = True
    ipv6: bool = False
    resolves_ipv6: bool = False

    @property
    def families(self) -> tuple[int, ...]:
        return (4, 6) if self.ipv6 else (4,)

    @property
    def base(self) -> str:
        """Its name in the topology."""
        return self.name.partition("@")[0]

    @property
    def silent_on_unknown(self) -> bool:
        """Whether silence may be all that follows a name that means nothing.

        An engine's resolver asks further up from the container's own place, and what stands on the node's link
        itself reaches no resolver on its node, nor anything else where nobody has the gateway's address.
        """
        return self.driver in ("macvlan", "ipvlan")

    def joins(self, node: str, other: str) -> bool:
        """Whether a container on `node` reaches one on `other` through this network, both being on it."""
        return self.same_node or node != other


@dataclass(frozen=True)
class VolumePlan:
    """`shared`: all nodes must see one content. `promises` maps a promise to (expected, source).

    `device` is the directory on each node that containers are given, if it is one of the node's. `fstype` and
    `source` are what the mount under it must be: a file system's name, and the beginning of its source as
    /proc/self/mountinfo has them; empty: anything. A volume that is seen on another one voids its checks.
    `settle_s`: how long a host may go on seeing what it has cached of it after the last write: what all hosts
    must agree on in the end is read again until then.
    """

    name: str
    driver: str
    shared: bool
    promises: Mapping[str, tuple[str, str]]
    device: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    store: str = ""
    fstype: str = ""
    source: str = ""
    settle_s: float = 0.0


@dataclass(frozen=True)
class StorePlan:
    """A store on this run's nodes. `nodes` have its servers; every node of the cluster mounts it at `mount`, with
    a directory for each of `volumes`. `options` are whole: defaults stand for what the topology leaves out.
    `address` is the server's where the store exists already; then `nodes` is empty. `source` is how the mount's
    source begins, as /proc/self/mountinfo has it; empty where its kind alone tells. `fresh` is where a node can
    mount it once more, such that nothing is read from a cache; empty where it cannot.
    """

    name: str
    kind: str
    nodes: tuple[str, ...]
    mount: str
    volumes: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    address: str = ""
    source: str = ""
    fresh: str = ""

    def mounted_from(self, run: str) -> str:
        """What nodes mount of a server with exports, as mountinfo shows it: of one that exists a directory of the
        run's own, since another run's files are not its own.
        """
        return f"{self.source}/{cluster_name(run)}-{self.name}" if self.address else self.source

    @property
    def served_by(self) -> str:
        """For people."""
        return ", ".join(self.nodes) or self.address


@dataclass(frozen=True)
class Plan:
    run: str
    topology: Topology
    provider: str
    orchestrator: str
    seed: int
    nodes: tuple[NodePlan, ...]
    demands: tuple[Demand, ...] = ()
    prepare: tuple[Step, ...] = ()
    steps: tuple[Step, ...] = ()
    undo: tuple[Step, ...] = ()
    documents: tuple[Document, ...] = ()
    targets: tuple[Target, ...] = ()
    networks: tuple[NetworkPlan, ...] = ()
    volumes: tuple[VolumePlan, ...] = ()
    stores: tuple[StorePlan, ...] = ()
    checks: tuple[Check, ...] = ()
    notes: tuple[str, ...] = ()
    #: What the services run in; the nodes need all of them.
    images: tuple[str, ...] = ()
    #: What services without an image of their own run in.
    workload_image: str = ""
    #: Demands that the live hosts do not meet: what they name is skipped, by workloads and checkers alike.
    unmet: tuple[Demand, ...] = ()

    def lacks(self, wanted_by: str, part: str) -> bool:
        """Whether `part` (`vip`, `ingress`) of `wanted_by` (`service web`) is skipped for a missing feature."""
        return any(demand.wanted_by == wanted_by and demand.part == part for demand in self.unmet)

    @property
    def cluster(self) -> str:
        return cluster_name(self.run)

    @property
    def namespace(self) -> str:
        """Of Kubernetes: one of ours, called as the cluster, or the one that we were told to use."""
        cluster = self.topology.cluster
        return (cluster.namespace if cluster.is_foreign_kubernetes else None) or self.cluster

    def is_ambiguous(self, name: str, network: str, networks: Iterable[str]) -> bool:
        """Whether a container on `networks` that asks for `name` may be told what another one than `network` says:
        a resolver answers from whichever network knows the name.
        """
        others = set(networks) - {network}
        return any(name in target.networks.get(other, ()) for target in self.targets for other in others)

    def engine_name(self, thing: str) -> str:
        """What engines call a network, a volume or a plain container of this plan: names are labels."""
        return f"{self.cluster}-{thing}"

    def within_store(self, volume: str) -> str:
        """The directory of a volume, from the root of its store on."""
        served = self.topology.volumes[volume].via == "plugin"
        return f"{PLUGIN_FOLDER}/{self.engine_name(volume)}" if served else volume

    def joining(self, node: str, networks: Iterable[str], other: str, others: Iterable[str]) -> list[str]:
        """Through which networks a container on `node` with `networks` reaches one on `other` with `others`."""
        shared = set(networks) & set(others)
        return [network.name for network in self.networks if network.name in shared and network.joins(node, other)]

    @property
    def managers(self) -> list[str]:
        return [node.name for node in self.nodes if node.role == "manager"]

    @property
    def policies(self) -> list[NetworkPolicy]:
        """All that are applied: the topology's own, and those that keep its networks apart."""
        texts = [document.text for document in self.documents if document.name == POLICIES_DOCUMENT]
        return [NetworkPolicy.model_validate(each) for text in texts for each in yaml.safe_load_all(text)]

    def document(self, name: str) -> Document:
        return next(document for document in self.documents if document.name == name)

    def target(self, service: str) -> Target:
        return next(target for target in self.targets if target.service == service)

    def network(self, name: str) -> NetworkPlan:
        return next(network for network in self.networks if network.name == name)

    def volume(self, name: str) -> VolumePlan:
        return next(volume for volume in self.volumes if volume.name == name)

    def store(self, name: str) -> StorePlan:
        return next(store for store in self.stores if store.name == name)


def plan_to_json(plan: Plan) -> dict[str, Any]:
    data = asdict(plan)
    data["topology"] = plan.topology.model_dump(mode="json")
    data["checks"] = [check.model_dump(mode="json") for check in plan.checks]
    return {"schema": 1, **data}


def plan_from_json(data: Mapping[str, Any]) -> Plan:
    """The plan of an earlier run. Raises ValueError where `data` is not one that this version can read."""
    if data.get("schema") != 1:
        raise ValueError(f"plan.json has schema {data.get('schema')!r}; this version reads 1")
    try:
        return Plan(
            run=data["run"],
            topology=Topology.model_validate(data["topology"]),
            provider=data["provider"],
            orchestrator=data["orchestrator"],
            seed=data["seed"],
            nodes=tuple(NodePlan(**row) for row in data["nodes"]),
            demands=tuple(_demand(row) for row in data["demands"]),
            prepare=tuple(_step(row) for row in data["prepare"]),
            steps=tuple(_step(row) for row in data["steps"]),
            undo=tuple(_step(row) for row in data["undo"]),
            documents=tuple(Document(**row) for row in data["documents"]),
            targets=tuple(_target(row) for row in data["targets"]),
            networks=tuple(NetworkPlan(**{**row, "subnets": tuple(row["subnets"])}) for row in data["networks"]),
            volumes=tuple(_volume(row) for row in data["volumes"]),
            stores=tuple(_store(row) for row in data.get("stores", ())),
            checks=tuple(Check.model_validate(row) for row in data["checks"]),
            notes=tuple(data["notes"]),
            images=tuple(data["images"]),
            workload_image=data.get("workload_image", ""),
            unmet=tuple(_demand(row) for row in data["unmet"]),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"plan.json lacks or misspells {error}") from error


def _demand(row: Mapping[str, Any]) -> Demand:
    return Demand(**{**row, "nodes": tuple(row["nodes"])})


def _step(row: Mapping[str, Any]) -> Step:
    return Step(**{**row, "argv": tuple(row["argv"])})


def _target(row: Mapping[str, Any]) -> Target:
    networks = {name: tuple(names) for name, names in row["networks"].items()}
    tasks = "" if row["kind"] == "plain" else f"tasks.{row['service']}"  # plans that do not say are Swarm's
    return Target(**{"tasks": tasks, **row, "networks": networks, "ports": tuple(row["ports"])})


def _store(row: Mapping[str, Any]) -> StorePlan:
    return StorePlan(**{**row, "nodes": tuple(row["nodes"]), "volumes": tuple(row["volumes"])})


def _volume(row: Mapping[str, Any]) -> VolumePlan:
    return VolumePlan(**{**row, "promises": {k: tuple(v) for k, v in row["promises"].items()}})
