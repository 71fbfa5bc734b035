"""Every implementation by name, and the catalogue that the loader is given."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from harness import drivers, faults, stores, workloads
from harness.model.catalog import Catalog, Names
from harness.model.errors import UsageError
from harness.model.topology import Topology
from harness.orchestrators.kubernetes import Kubernetes, KubernetesRendering
from harness.orchestrators.swarm import Swarm, SwarmRendering
from harness.planner import Choice, problems
from harness.ports import Orchestrator, Provider, Tied
from harness.providers.docker import DockerProvider
from harness.providers.existing import ExistingProvider
from harness.providers.kind import KindProvider
from harness.providers.kubeconfig import KubeconfigProvider
from harness.providers.releases import DEFAULT, offered, release_of
from harness.providers.vagrant import VagrantProvider
from harness.session import inventories, kubeconfigs

#: By this name the Kubernetes that exists stands beside hosts that do: to users both are provider `existing`.
FOREIGN_KUBERNETES = KubeconfigProvider.name
#: Hosts that exist first: an engine of this machine may be one of them, and what marks it as such goes last.
PROVIDERS: Mapping[str, Callable[[], Provider]] = {
    "existing": inventories.provider,
    FOREIGN_KUBERNETES: kubeconfigs.provider,
    "docker": DockerProvider,
    "kind": KindProvider,
    "vagrant": VagrantProvider,
}
_NAMED = [name for name in PROVIDERS if name != FOREIGN_KUBERNETES]
ORCHESTRATORS: Mapping[str, Callable[[], Orchestrator]] = {"swarm": Swarm, "kubernetes": Kubernetes}
CHOICES: Mapping[str, Choice] = {
    "swarm": Choice(SwarmRendering(), drivers.REGISTRY, drivers.VOLUMES, stores.REGISTRY),
    "kubernetes": Choice(KubernetesRendering(), drivers.REGISTRY, drivers.VOLUMES, stores.REGISTRY),
}

#: Of the wire between container nodes: a bridge's default.
WIRE_MTU = 1500

#: Parts of the format that are not built yet: the loader says so, with the line.
_LATER: Mapping[str, frozenset[str]] = {"faults": frozenset({"restart"})}


def provider(name: str = "docker") -> Provider:
    if name not in PROVIDERS:
        raise UsageError(f"provider {name!r} is not supported yet; there is {', '.join(_NAMED)}")
    return PROVIDERS[name]()


def provider_of(topology: Topology) -> Provider:
    """Who makes the hosts of a topology."""
    cluster = topology.cluster
    return provider(FOREIGN_KUBERNETES if cluster.is_foreign_kubernetes else cluster.provider)


def orchestrator(name: str) -> Orchestrator:
    return ORCHESTRATORS[name]()


def _names(built: set[str], kind: str) -> Names:
    return Names(frozenset(built), _LATER.get(kind, frozenset()) - built)


def _problems(topology: Topology) -> list[tuple[str, str]]:
    return [
        *_unbuilt(topology),
        *_of_kind(topology),
        *_inventory(topology),
        *_subjects(topology),
        *_tied_faults(topology),
        *problems(topology, CHOICES[topology.cluster.orchestrator], wire_mtu=WIRE_MTU),
    ]


def _unbuilt(topology: Topology) -> Iterator[tuple[str, str]]:
    """Keys of `cluster` that the provider cannot act on: refused, never dropped."""
    cluster = topology.cluster
    if cluster.engine and cluster.provider not in ("docker", "kind"):
        yield (
            "cluster.engine",
            f"hosts of provider {cluster.provider} have engines of their own: leave it out",
        )
    if cluster.engine and cluster.provider == "docker":
        yield from (("cluster.engine", why) for why in _engine(cluster.engine, topology))
    sizes = {"cluster.memory_mb": cluster.memory_mb, "cluster.cpus": cluster.cpus}
    if cluster.provider != "vagrant":
        message = f"nodes of provider {cluster.provider} have the machine's; only those of vagrant have their own"
        yield from ((key, message) for key, value in sizes.items() if value)


def _engine(wanted: str, topology: Topology) -> Iterator[str]:
    found = release_of(wanted)
    if found is None:
        yield f"no engine {wanted} can be had for container nodes; there is {offered()}, or the beginning of one"
    elif topology.stores and found != DEFAULT:
        yield f"the servers of stores are built for nodes with engine {DEFAULT.engine} only: leave it out"


def _of_kind(topology: Topology) -> Iterator[tuple[str, str]]:
    """What provider `kind` cannot do, and what no other one can."""
    if topology.cluster.provider != "kind":
        if topology.cluster.cni:
            yield "cluster.cni", "only provider kind makes a cluster without a network for pods: leave it out"
        if topology.cluster.orchestrator == "kubernetes" and not topology.cluster.is_foreign_kubernetes:
            provider = topology.cluster.provider
            yield "cluster.provider", f"{provider} has no Kubernetes: leave provider out, or say kind, or existing"
        return
    if topology.cluster.orchestrator != "kubernetes":
        yield "cluster.provider", "kind makes clusters of Kubernetes: say orchestrator: kubernetes"


def _inventory(topology: Topology) -> Iterator[tuple[str, str]]:
    cluster = topology.cluster
    if cluster.inventory and cluster.provider != ExistingProvider.name:
        yield "cluster.inventory", f"provider {cluster.provider} makes its own hosts: leave it out"
    if cluster.inventory and cluster.is_foreign_kubernetes:
        yield "cluster.inventory", "a Kubernetes that exists is reached by its kubeconfig, not by its hosts"
    for key in ("kubeconfig", "context", "namespace"):
        if getattr(cluster, key) and not cluster.is_foreign_kubernetes:
            yield f"cluster.{key}", "it is for provider existing with orchestrator kubernetes: leave it out"


def _subjects(topology: Topology) -> Iterator[tuple[str, str]]:
    """Checks of what another orchestrator has."""
    for check in topology.checks:
        subject = workloads.REGISTRY[check.kind].subject
        if subject and subject[0] != topology.cluster.orchestrator:
            orchestrator, what = subject
            yield f"checks.{check.id}", f"this check is about {what}: only orchestrator {orchestrator} has that"


def _tied_faults(topology: Topology) -> Iterator[tuple[str, str]]:
    """Faults that act on what another orchestrator has."""
    for check in topology.checks:
        for index, planned in enumerate(check.faults):
            fault = faults.REGISTRY[planned.fault]
            if isinstance(fault, Tied) and fault.orchestrator != topology.cluster.orchestrator:
                key = f"checks.{check.id}.faults.{index}.fault"
                yield key, f"the fault {fault.name} acts on what only orchestrator {fault.orchestrator} has"


CATALOG = Catalog(
    providers=_names(set(_NAMED), "providers"),
    orchestrators=_names(set(ORCHESTRATORS), "orchestrators"),
    network_drivers=_names({driver for _, driver in drivers.REGISTRY}, "networks"),
    volume_drivers=_names({driver for _, driver in drivers.VOLUMES}, "volumes"),
    store_kinds=_names(set(stores.REGISTRY), "stores"),
    faults=_names(set(faults.REGISTRY), "faults"),
    checks={name: workload.params for name, workload in workloads.REGISTRY.items()},
    checks_later=_LATER.get("checks", frozenset()) - set(workloads.REGISTRY),
    fault_params=faults.PARAMS,
    problems=_problems,
)
