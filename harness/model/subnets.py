"""How nodes share the addresses of one subnet, where each node's engine hands out its own."""

from __future__ import annotations

import ipaddress
import math
from itertools import islice

from harness.model.topology import IpamConfig, Network

#: The smallest part that a node is given: four addresses, of which the first part loses network and gateway.
LONGEST_PREFIX = 30
LONGEST_PREFIX6 = 126
#: Parts of IPv6 subnets are no larger than this, and lie side by side at their beginning.
SHORTEST_PART6 = 112


def node_slices(network: Network, nodes: int) -> list[ipaddress.IPv4Network]:
    """Aligned parts of the network's ip_range, or of its subnet: one a node, and one more that no engine uses.

    Raises ValueError where there is no IPv4 subnet, or the parts would be smaller than LONGEST_PREFIX.
    """
    config = next(iter(network.subnets_of(4)), None)
    if config is None:
        raise ValueError("an IPv4 subnet is needed: without one each node would choose the same addresses")
    whole = ipaddress.IPv4Network(config.ip_range or config.subnet)
    prefix = _prefix(whole, nodes, LONGEST_PREFIX)
    parts = list(whole.subnets(new_prefix=prefix))
    return [*parts[:nodes], parts[-1]]


def node_slices6(config: IpamConfig, nodes: int) -> list[ipaddress.IPv6Network]:
    """The same of an IPv6 subnet. Raises ValueError where the parts would be smaller than LONGEST_PREFIX6."""
    whole = ipaddress.IPv6Network(config.ip_range or config.subnet)
    prefix = max(_prefix(whole, nodes, LONGEST_PREFIX6), SHORTEST_PART6)
    return list(islice(whole.subnets(new_prefix=prefix), nodes + 1))


def _prefix(whole: ipaddress.IPv4Network | ipaddress.IPv6Network, nodes: int, longest: int) -> int:
    prefix = whole.prefixlen + math.ceil(math.log2(nodes + 1))
    if prefix > longest:
        raise ValueError(f"{whole} has {whole.num_addresses} addresses, too few to share among {nodes} nodes")
    return prefix
