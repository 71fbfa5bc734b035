"""`link-down`: the wire's end of the targets' link is set down; their own end sees no carrier.

Not `docker network disconnect`: the interface would come back under another name, and macvlans would break.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from harness.faults import _wire
from harness.faults._rights import wire_of
from harness.model.plan import Demand
from harness.ports import Cluster, Felt, Host, Right


@dataclass(frozen=True)
class LinkDown:
    name: str = "link-down"
    rights: frozenset[Right] = frozenset({"wire"})

    def demands(self) -> list[Demand]:
        return []

    def inject(self, cluster: Cluster, targets: Sequence[str], direction: str, *, timeout_s: float) -> None:
        del direction  # a link without carrier carries nothing either way
        wire = wire_of(cluster, self.name)
        ports = _wire.ports(cluster, self.name, needed=targets)
        for target in targets:
            _wire.run(wire.host, ["ip", "link", "set", "dev", ports[target], "down"], timeout_s)

    def felt(self, cluster: Cluster, targets: Sequence[str], direction: str, *, timeout_s: float) -> Felt:
        """The links are down, and a target cannot reach another node."""
        del direction
        wire = wire_of(cluster, self.name)
        ports = _wire.ports(cluster, self.name, needed=targets)
        down = _down(wire.host, timeout_s)
        peer = _wire.peer_of(cluster, targets)
        cut = not _wire.pinged(cluster, targets[0], peer, timeout_s)
        states = ", ".join(f"{node}'s link is {'down' if ports[node] in down else 'up'}" for node in targets)
        answer = "no answer" if cut else "an answer"
        felt = cut and all(ports[node] in down for node in targets)
        return Felt(felt, f"{states}; ping {targets[0]} to {peer}: {answer}")

    def heal(self, cluster: Cluster, *, timeout_s: float) -> list[str]:
        """Every link of the cluster is up again: nobody else sets one down."""
        host = wire_of(cluster, self.name).host
        down = _down(host, timeout_s)
        mine = {node: port for node, port in _wire.ports(cluster, self.name).items() if port in down}
        for port in mine.values():
            _wire.run(host, ["ip", "link", "set", "dev", port, "up"], timeout_s)
        return [f"set the link of {node} up" for node in mine]


def _down(host: Host, timeout_s: float) -> set[str]:
    links = json.loads(_wire.run(host, ["ip", "-json", "link", "show"], timeout_s))
    return {link["ifname"] for link in links if "UP" not in link["flags"]}


FAULT = LinkDown()
