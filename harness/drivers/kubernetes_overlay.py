"""Kubernetes' overlay: the cluster's own CNI, which all networks of a topology share.

What keeps networks apart are NetworkPolicy objects (harness/orchestrators/kubernetes/isolation.py); a CNI that
does not enforce them is found by the checks of connectivity. Docker's options have no meaning and are noted.
"""

from __future__ import annotations

from collections.abc import Iterator

from harness.drivers.swarm_overlay import ENCRYPTED, OPTIONS, VXLAN_BYTES
from harness.model.plan import Demand, NetworkPlan, Plan
from harness.model.topology import Network
from harness.ports import Declared, NetworkDriver


class Overlay:
    """`driver: overlay` on Kubernetes."""

    def demands(self, name: str, network: Network) -> list[Demand]:  # noqa: ARG002
        return [Demand("vxlan", f"network {name}")]

    def problems(self, name: str, network: Network) -> list[tuple[str, str]]:  # noqa: ARG002
        return list(_problems(network))

    def plan(self, name: str, network: Network, wire_mtu: int) -> NetworkPlan:
        """`packet_bytes` is that of a CNI on VXLAN; the parameter of check mtu says otherwise for others."""
        return NetworkPlan(
            name=name,
            driver="overlay",
            packet_bytes=wire_mtu - VXLAN_BYTES,
            resolves_names=True,
            internal=network.internal,
        )

    def declare(self, name: str, network: Network, plan: Plan) -> Declared:  # noqa: ARG002
        """Nothing is made: the CNI is there, and policies come with the services."""
        return Declared()


def _problems(network: Network) -> Iterator[tuple[str, str]]:
    for key in network.driver_opts:
        if key == ENCRYPTED:
            yield f"driver_opts.{key}", "whether pods' traffic is encrypted is the CNI's to say, for all networks"
        elif key not in OPTIONS:
            known = ", ".join(sorted(OPTIONS - {ENCRYPTED}))
            yield f"driver_opts.{key}", f"the overlay driver knows {known}, not {key!r}"
    if network.enable_ipv6:
        yield "enable_ipv6", "the addresses of pods are the cluster's, and ours gives IPv4 only"
    if network.scope == "local":
        yield "scope", "an overlay is a network of the whole cluster"


NETWORKS: dict[tuple[str, str], NetworkDriver] = {("kubernetes", "overlay"): Overlay()}
