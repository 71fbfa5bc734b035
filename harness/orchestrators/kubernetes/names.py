"""Names and labels of what Kubernetes runs for us. All of a run lies in one namespace, called as its cluster."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

from harness.model.plan import LABEL, POLICIES_DOCUMENT, Plan, Target
from harness.model.topology import Cluster as Wanted
from harness.model.topology import Service, Topology
from harness.ports import Cluster, Host

SERVICE_LABEL = "harness.service"
#: Prefixes of pod labels: `names.harness/www` on all that answer to www, `networks.harness/app` on all on app.
NAME_PREFIX = "names.harness/"
NETWORK_PREFIX = "networks.harness/"
#: On namespaces: what the topology calls them.
NAMESPACE_LABEL = "harness.namespace"
#: The namespace of services that name none.
DEFAULT_NAMESPACE = "default"
#: On pods that have no network but internal ones.
INTERNAL_LABEL = "harness.internal"
YES = "yes"
#: Of a node, in the terms of an affinity.
NODE_FIELD = "metadata.name"
#: The container of a pod that is the service's.
CONTAINER = "main"
OBJECTS_FILE = "objects.yaml"
POLICIES_FILE = POLICIES_DOCUMENT
NAMESPACE_FILE = "namespace.yaml"
#: Drivers of networks that are a further interface of pods (Multus's form).
ATTACHED = ("macvlan",)
#: On pods: further networks that they ask for, and what they were given (Multus's form).
NETWORKS_ANNOTATION = "k8s.v1.cni.cncf.io/networks"
STATUS_ANNOTATION = "k8s.v1.cni.cncf.io/network-status"
#: How often a state is asked for: kubectl costs a node half a second of its processor each time.
POLL_S = 1.0
#: Of a cluster whose nodes we cannot hand an image to.
IMAGE_HINT = (
    "--workload-image names the harness's image in a registry that the cluster can reach; "
    "`kind load image-archive` hands it to nodes of kind"
)
#: kubeadm's, on every control plane; kind's nodes have it there as well.
KUBECTL = Wanted(provider="kind", orchestrator="kubernetes").kubectl


def namespace(plan: Plan, name: str | None = None) -> str:
    """What the cluster calls a namespace of the topology."""
    return plan.namespace if name in (None, DEFAULT_NAMESPACE) else f"{plan.cluster}-{name}"


def namespaces(plan: Plan) -> dict[str, str]:
    """The topology's namespaces, the default one first, with what the cluster calls them."""
    named = [service.namespace for service in plan.topology.services.values() if service.namespace]
    return {name: namespace(plan, name) for name in dict.fromkeys((DEFAULT_NAMESPACE, *named))}


def namespace_labels(plan: Plan, name: str) -> dict[str, str]:
    """Of the namespace that the topology calls `name`."""
    return {LABEL: plan.run, NAMESPACE_LABEL: name}


def home(plan: Plan, service: str) -> str:
    """The cluster's namespace of a service's objects."""
    return namespace(plan, plan.topology.services[service].namespace)


def client(plan: Plan) -> tuple[str, ...]:
    """What every command of kubectl begins with."""
    return plan.topology.cluster.kubectl


def kubectl(plan: Plan, *words: str, service: str = "") -> tuple[str, ...]:
    """A command about objects of the plan's default namespace, or of that of `service`."""
    return (*client(plan), "--namespace", home(plan, service) if service else namespace(plan), *words)


def everywhere(plan: Plan, *words: str) -> tuple[str, ...]:
    """A question about objects of all namespaces of the plan; `is_ours` tells them from others."""
    spaces = namespaces(plan)
    return kubectl(plan, *words) if len(spaces) == 1 else (*client(plan), *words, "--all-namespaces")


def is_ours(plan: Plan, row: Mapping[str, Any]) -> bool:
    """Whether an object is in a namespace of the plan, or in none."""
    space = row["metadata"].get("namespace")
    return space is None or space in namespaces(plan).values()


def manager(cluster: Cluster, plan: Plan) -> Host:
    """The host on which kubectl runs."""
    return cluster.api or cluster.hosts[plan.managers[0]]


def away(cluster: Cluster, text: str) -> str:
    """Objects as the cluster wants them: nodes by the names that they have there."""
    if not cluster.called:
        return text
    return documents(_renamed(each, cluster.called) for each in yaml.safe_load_all(text))


def _renamed(value: Any, called: Mapping[str, str]) -> Any:
    """`nodeName`, and the names in `matchFields`, wherever they stand."""
    if isinstance(value, list):
        return [_renamed(each, called) for each in value]
    if not isinstance(value, dict):
        return value
    if value.get("key") == NODE_FIELD:
        return {**value, "values": [called.get(name, name) for name in value["values"]]}
    return {
        key: called.get(each, each) if key == "nodeName" else _renamed(each, called) for key, each in value.items()
    }


def home_again(cluster: Cluster, rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Pods as we want them: nodes by the topology's names. Those of other nodes keep theirs."""
    ours = {theirs: name for name, theirs in cluster.called.items()}
    return [{**row, "spec": {**row["spec"], "nodeName": _ours(ours, row)}} for row in rows] if ours else list(rows)


def _ours(ours: Mapping[str, str], row: Mapping[str, Any]) -> str:
    node = str(row["spec"].get("nodeName", ""))
    return ours.get(node, node)


def scheduled(plan: Plan) -> list[Target]:
    return [target for target in plan.targets if target.kind != "plain"]


def resource(target: Target) -> str:
    """What kubectl calls the object behind a service."""
    kind = {"replicated": "deployment", "global": "daemonset", "plain": "pod"}[target.kind]
    kind = "statefulset" if target.stable else kind
    return f"{kind}/{target.service}"


def resolving(topology: Topology, service: Service) -> list[str]:
    """The networks of a service on which names lead to it: DNS knows addresses on the cluster's network only."""
    return [name for name in service.networks if name in topology.networks and not is_attached(topology, name)]


def is_attached(topology: Topology, network: str) -> bool:
    """Whether a network is one beside the cluster's, and no part of it."""
    return topology.networks[network].driver in ATTACHED


def names_of(topology: Topology, service: str) -> list[str]:
    """All names under which a service answers, its own first; none where it is on no network that has names."""
    spec = topology.services[service]
    attachments = [spec.networks[name] for name in resolving(topology, spec)]
    aliases = (alias for each in attachments for alias in each.aliases)
    return list(dict.fromkeys([service, *aliases])) if attachments else []


def carriers(topology: Topology, network: str, name: str) -> frozenset[str]:
    """The services that answer to `name` on `network`."""
    return frozenset(
        service
        for service, spec in topology.services.items()
        if network in spec.networks and name in (service, *spec.networks[network].aliases)
    )


def is_internal(topology: Topology, service: Service) -> bool:
    """Whether a service has no network but internal ones."""
    networks = [topology.networks[name] for name in service.networks if name in topology.networks]
    return bool(networks) and all(network.internal for network in networks)


def labels(plan: Plan, service: str) -> Mapping[str, str]:
    """Of a service's pods."""
    spec = plan.topology.services[service]
    internal = {INTERNAL_LABEL: YES} if is_internal(plan.topology, spec) else {}
    return {
        LABEL: plan.run,
        SERVICE_LABEL: service,
        **{f"{NAME_PREFIX}{name}": YES for name in names_of(plan.topology, service)},
        **{f"{NETWORK_PREFIX}{network}": YES for network in spec.networks},
        **internal,
    }


def metadata(plan: Plan, name: str, service: str = "") -> dict[str, object]:
    """Of an object in the default namespace, or in that of `service`."""
    space = home(plan, service) if service else namespace(plan)
    return {"name": name, "namespace": space, "labels": {LABEL: plan.run}}


class _Dumper(yaml.SafeDumper):
    """Without anchors, and with quotes where kubectl would read a text as something else: y and n are booleans to
    it (YAML 1.1), and texts to PyYAML.
    """

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the base's signature
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = '"' if _READ_OTHERWISE.fullmatch(value) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_READ_OTHERWISE = re.compile(r"[yYnN]|0[oObB][0-9]+")
_Dumper.add_representer(str, _text)


def documents(objects: Iterable[Mapping[str, Any]]) -> str:
    """For `kubectl apply`; empty where there are none."""
    made = list(objects)
    return yaml.dump_all(made, Dumper=_Dumper, sort_keys=False, width=1000) if made else ""


def joined(parts: Iterable[str] | Sequence[str]) -> str:
    return ", ".join(sorted(parts))
