"""Names and labels of what Kubernetes runs for us. All of a run lies in one namespace, called as its cluster."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from harness.model.plan import LABEL, Plan, Target
from harness.model.topology import Service, Topology
from harness.ports import Cluster, Host

SERVICE_LABEL = "harness.service"
#: Prefixes of pod labels: `names.harness/www` on all that answer to www, `networks.harness/app` on all on app.
NAME_PREFIX = "names.harness/"
NETWORK_PREFIX = "networks.harness/"
#: On pods that have no network but internal ones.
INTERNAL_LABEL = "harness.internal"
YES = "yes"
#: The container of a pod that is the service's.
CONTAINER = "main"
OBJECTS_FILE = "objects.yaml"
NAMESPACE_FILE = "namespace.yaml"
#: How often a state is asked for: kubectl costs a node half a second of its processor each time.
POLL_S = 1.0
#: kubeadm's, on every control plane; kind's nodes have it there as well.
KUBECTL = ("kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf")


def namespace(plan: Plan) -> str:
    return plan.cluster


def kubectl(plan: Plan, *words: str) -> tuple[str, ...]:
    """A command about objects of the plan's namespace."""
    return (*KUBECTL, "--namespace", namespace(plan), *words)


def manager(cluster: Cluster, plan: Plan) -> Host:
    """The host on which kubectl runs."""
    return cluster.hosts[plan.managers[0]]


def scheduled(plan: Plan) -> list[Target]:
    return [target for target in plan.targets if target.kind != "plain"]


def resource(target: Target) -> str:
    """What kubectl calls the object behind a service."""
    kind = {"replicated": "deployment", "global": "daemonset", "plain": "pod"}[target.kind]
    return f"{kind}/{target.service}"


def names_of(topology: Topology, service: str) -> list[str]:
    """All names under which a service answers, its own first."""
    attachments = topology.services[service].networks.values()
    return list(dict.fromkeys([service, *(alias for each in attachments for alias in each.aliases)]))


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
        **{f"{NAME_PREFIX}{name}": YES for name in (names_of(plan.topology, service) if spec.networks else ())},
        **{f"{NETWORK_PREFIX}{network}": YES for network in spec.networks},
        **internal,
    }


def metadata(plan: Plan, name: str) -> dict[str, object]:
    return {"name": name, "namespace": namespace(plan), "labels": {LABEL: plan.run}}


def joined(parts: Iterable[str] | Sequence[str]) -> str:
    return ", ".join(sorted(parts))
