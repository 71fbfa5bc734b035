"""A bridge network: made on each node by itself, so containers of different nodes share a name and no link."""

from __future__ import annotations

from harness.drivers import _networks
from harness.model.plan import Demand, NetworkPlan, Plan
from harness.model.topology import Network
from harness.ports import Declared, NetworkDriver

MTU = "com.docker.network.driver.mtu"
OPTIONS = frozenset(
    {
        MTU,
        "com.docker.network.bridge.name",
        "com.docker.network.bridge.enable_icc",
        "com.docker.network.bridge.enable_ip_masquerade",
        "com.docker.network.bridge.host_binding_ipv4",
    }
)
#: The engine's own default; it does not follow the wire.
DEFAULT_MTU = 1500


class Bridge:
    """`driver: bridge` on the nodes of a Swarm."""

    def demands(self, name: str, network: Network) -> list[Demand]:
        return [Demand("bridge", f"network {name}"), *_networks.ipv6_demands(name, network)]

    def problems(self, name: str, network: Network) -> list[tuple[str, str]]:
        found = [*_networks.unknown_options(network, OPTIONS), *_networks.range_problems(network)]
        if network.scope == "swarm":
            message = "Swarm schedules nothing on a bridge: give the services on it a `node`"
            found.append(("driver", f"{message}, or network {name} `driver: overlay`"))
        if network.attachable:
            found.append(("attachable", "only networks of the whole swarm are attachable; leave it out"))
        return found

    def plan(self, name: str, network: Network, wire_mtu: int) -> NetworkPlan:  # noqa: ARG002
        return NetworkPlan(
            name=name,
            driver="bridge",
            packet_bytes=network.mtu or DEFAULT_MTU,
            resolves_names=True,
            internal=network.internal,
            subnets=tuple(network.subnets),
            linked=False,
            same_node=network.driver_opts.get("com.docker.network.bridge.enable_icc") != "false",
            ipv6=network.enable_ipv6,
            resolves_ipv6=network.enable_ipv6,
        )

    def declare(self, name: str, network: Network, plan: Plan) -> Declared:
        """One network on each node that has a container on it."""
        made, nodes = plan.engine_name(name), _networks.nodes_on(plan, name)
        flags = (
            *("--driver", "bridge"),
            *(("--internal",) if network.internal else ()),
            *_networks.ipv6_flags(network),
            *_networks.ipam_flags(network.ipam.config),
            *_networks.option_flags(network.driver_opts),
        )
        return Declared(
            steps=tuple(_networks.create(plan, f"create network {name}", node, made, flags) for node in nodes),
            undo=tuple(_networks.remove(f"remove network {name}", node, made) for node in nodes),
            stack={"name": made, "external": True},
        )


NETWORKS: dict[tuple[str, str], NetworkDriver] = {("swarm", "bridge"): Bridge()}
