"""Ipvlan: containers share the MAC of the node's interface (kernel, Documentation/networking/ipvlan.rst)."""

from __future__ import annotations

from harness.drivers.swarm_macvlan import Link
from harness.model.topology import Network
from harness.ports import NetworkDriver


class Ipvlan(Link):
    """`driver: ipvlan` on Swarm.

    In the modes l3 and l3s nothing of the link reaches a container: nodes would have to route, so containers of
    different nodes share a name and no link.
    """

    driver = "ipvlan"
    modes = ("l2", "l3", "l3s")

    def _is_linked(self, network: Network) -> bool:
        return self.mode(network) == "l2"


NETWORKS: dict[tuple[str, str], NetworkDriver] = {("swarm", "ipvlan"): Ipvlan()}
