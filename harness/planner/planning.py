"""From a topology to a plan."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain

from harness.model.errors import UsageError
from harness.model.plan import Demand, NetworkPlan, NodePlan, Plan, StorePlan, Target, VolumePlan
from harness.model.topology import Topology
from harness.planner.nodes import node_plans
from harness.planner.problems import problems
from harness.planner.scopes import on_node, scoped
from harness.planner.seams import Choice
from harness.planner.targets import targets
from harness.ports import Declared
from harness.promises import overridden


def plan(
    topology: Topology,
    choice: Choice,
    *,
    run: str,
    seed: int,
    workload_image: str,
    wire_mtu: int = 1500,
    demands: Sequence[Demand] = (),
) -> Plan:
    """The plan of one run: same arguments, same plan. Raises UsageError where `problems` finds any.

    `demands` are those of the provider, of the checks and of the faults; drivers' and orchestrator's are merged
    in, so that a provider knows all of them before it makes a host. `undo` is in the order of execution.
    """
    topology = scoped(topology)
    _refuse(problems(topology, choice, wire_mtu=wire_mtu))
    nodes = node_plans(topology)
    stores = tuple(_store_plans(topology, choice))
    networks = tuple(_network_plans(topology, choice, wire_mtu))
    expected = tuple(targets(topology, choice.rendering, nodes, networks))
    bare = Plan(
        run=run,
        topology=topology,
        provider=topology.cluster.provider,
        orchestrator=topology.cluster.orchestrator,
        seed=seed,
        nodes=nodes,
        demands=merge_demands(chain(demands, _demands(topology, choice))),
        targets=expected,
        networks=tuple(_node_by_node(networks, nodes, expected)),
        volumes=tuple(_volume_plans(topology, choice, stores)),
        stores=stores,
        checks=tuple(topology.checks),
        notes=tuple(choice.rendering.notes(topology)),
        workload_image=workload_image,
        images=tuple(sorted({service.image or workload_image for service in topology.services.values()})),
    )
    return _with_steps(bare, choice, workload_image)


def merge_demands(demands: Iterable[Demand]) -> tuple[Demand, ...]:
    """One demand for each feature, part and wish, in order of appearance; nodes add up, none means all."""
    merged: dict[tuple[str, str, str], Demand] = {}
    for demand in demands:
        key = (demand.feature, demand.wanted_by, demand.part)
        known = merged.get(key, demand)
        everywhere = not (known.nodes and demand.nodes)
        nodes = () if everywhere else tuple(dict.fromkeys((*known.nodes, *demand.nodes)))
        merged[key] = replace(demand, nodes=nodes)
    return tuple(merged.values())


def _refuse(found: Sequence[tuple[str, str]]) -> None:
    if found:
        raise UsageError("\n".join(f"{key}: {message}" for key, message in found))


def _demands(topology: Topology, choice: Choice) -> Iterator[Demand]:
    for name, network in topology.networks.items():
        driver = choice.network(topology, name)
        yield from driver.demands(name, network) if driver else ()
    for name in topology.stores:
        store = choice.store(topology, name)
        yield from store.demands(topology, name) if store else ()
    for name, volume in topology.volumes.items():
        storage = choice.volume(topology, name)
        yield from storage.demands(name, volume) if storage else ()
    yield from choice.rendering.demands(topology)


def _network_plans(topology: Topology, choice: Choice, wire_mtu: int) -> Iterator[NetworkPlan]:
    for name, network in topology.networks.items():
        if driver := choice.network(topology, name):
            yield driver.plan(name, network, wire_mtu)


def _node_by_node(
    networks: Iterable[NetworkPlan], nodes: Sequence[NodePlan], targets: Sequence[Target]
) -> Iterator[NetworkPlan]:
    """A network without a link between nodes is one on each node that has a container on it."""
    for network in networks:
        if network.linked:
            yield network
            continue
        for name in (on_node(network.name, node.name) for node in nodes):
            if any(name in target.networks for target in targets):
                yield replace(network, name=name)


def _volume_plans(topology: Topology, choice: Choice, stores: Sequence[StorePlan]) -> Iterator[VolumePlan]:
    by_name = {store.name: store for store in stores}
    for name, volume in topology.volumes.items():
        if driver := choice.volume(topology, name):
            planned = driver.plan(name, volume, by_name.get(volume.store or ""))
            yield _with_overrides(planned, topology)


def _store_plans(topology: Topology, choice: Choice) -> Iterator[StorePlan]:
    for name in topology.stores:
        if store := choice.store(topology, name):
            yield store.plan(topology, name)


def _with_overrides(volume: VolumePlan, topology: Topology) -> VolumePlan:
    """What the topology states otherwise than the promise matrix, with its reason as the source."""
    for override in topology.promises:
        if override.volume == volume.name:
            stated = overridden(volume.promises, override.promise, override.expected, override.reason)
            volume = replace(volume, promises=stated)
    return volume


def _with_steps(bare: Plan, choice: Choice, image: str) -> Plan:
    networks = dict(_declared_networks(bare, choice))
    volumes = dict(_declared_volumes(bare, choice))
    services = choice.rendering.declare(bare, networks, volumes, image)
    stores = list(_declared_stores(bare, choice))
    made = [*networks.values(), *volumes.values(), services]
    undone = [services, *reversed(volumes.values()), *reversed(networks.values())]
    return replace(
        bare,
        prepare=tuple(step for part in stores for step in part.steps),
        steps=tuple(step for part in made for step in part.steps),
        undo=tuple(step for part in undone for step in part.undo),
        documents=tuple(document for part in [*stores, *made] for document in part.documents),
    )


def _declared_networks(bare: Plan, choice: Choice) -> Iterator[tuple[str, Declared]]:
    for name, network in bare.topology.networks.items():
        if driver := choice.network(bare.topology, name):
            yield name, driver.declare(name, network, bare)


def _declared_stores(bare: Plan, choice: Choice) -> Iterator[Declared]:
    for name in bare.topology.stores:
        if store := choice.store(bare.topology, name):
            yield store.declare(bare, name)


def _declared_volumes(bare: Plan, choice: Choice) -> Iterator[tuple[str, Declared]]:
    for name, volume in bare.topology.volumes.items():
        if driver := choice.volume(bare.topology, name):
            yield name, driver.declare(name, volume, bare)
