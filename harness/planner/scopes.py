"""Where a network is made: once for all nodes, or on each node by itself."""

from __future__ import annotations

from harness.model.topology import Network, Topology

#: Drivers that know both.
EITHER = ("macvlan", "ipvlan", "bridge")


def scoped(topology: Topology) -> Topology:
    """The topology with all scopes written out: of the whole swarm where a scheduled service needs it."""
    networks = {name: _scoped(topology, name, network) for name, network in topology.networks.items()}
    return topology.model_copy(update={"networks": networks})


def _scoped(topology: Topology, name: str, network: Network) -> Network:
    if network.scope or network.driver not in EITHER:
        return network
    scheduled = any(name in service.networks for service in topology.services.values() if not service.node)
    return network.model_copy(update={"scope": "swarm" if scheduled else "local"})


def on_node(network: str, node: str) -> str:
    """What a network without a link between nodes is called on one of them."""
    return f"{network}@{node}"
