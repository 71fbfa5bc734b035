"""How nodes share the addresses of one subnet, where each node's engine hands out its own."""

from __future__ import annotations

import ipaddress
import math

from harness.model.topology import Network

#: The smallest part that a node is given: four addresses, of which the first part loses network and gateway.
LONGEST_PREFIX = 30


def node_slices(network: Network, nodes: int) -> list[ipaddress.IPv4Network]:
    """Aligned parts of the network's ip_range, or of its subnet: one a node, and one more that no engine uses.

    Raises ValueError where there is no IPv4 subnet, or the parts would be smaller than LONGEST_PREFIX.
    """
    config = next((config for config in network.ipam.config if config.subnet and ":" not in config.subnet), None)
    if config is None:
        raise ValueError("an IPv4 subnet is needed: without one each node would choose the same addresses")
    whole = ipaddress.IPv4Network(config.ip_range or config.subnet)
    prefix = whole.prefixlen + math.ceil(math.log2(nodes + 1))
    if prefix > LONGEST_PREFIX:
        raise ValueError(f"{whole} has {whole.num_addresses} addresses, too few to share among {nodes} nodes")
    parts = list(whole.subnets(new_prefix=prefix))
    return [*parts[:nodes], parts[-1]]
