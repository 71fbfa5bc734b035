"""`mtu`: the wire carries smaller packets than the nodes believe, and tells nobody: a black hole for large ones.

The wire's end of a link gets a smaller MTU; a bridge drops what is larger, without ICMP. Segments that a kernel
leaves to be cut by a later hand (GSO) pass such a test whole, so nodes cut their own meanwhile (ethtool tso, gso).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from pydantic import BaseModel, Field

from harness.faults import _wire
from harness.faults._rights import shell_of, wire_of
from harness.faults._tuned import Params, Tuned
from harness.model.errors import EnvironmentBroken
from harness.model.plan import Demand
from harness.ports import Cluster, Felt, Host, Right
from harness.transport.parallel import at_once

#: What a wire of ours carries; the header of IPv4 with that of ICMP; and what a bridge lets pass beyond an MTU,
#: whether there is a VLAN tag or not (Linux, is_skb_forwardable).
USUAL_BYTES = 1500
HEADERS_BYTES = 28
VLAN_BYTES = 4


class MtuParams(Params):
    packet_bytes: int = Field(1400, ge=576, lt=USUAL_BYTES, description="The largest IP packet that still passes")


@dataclass(frozen=True)
class Mtu(Tuned):
    name: str = "mtu"
    rights: frozenset[Right] = frozenset({"wire", "shell"})
    packet_bytes: int = 1400
    params: type[BaseModel] = MtuParams

    def demands(self) -> list[Demand]:
        return []

    def inject(self, cluster: Cluster, targets: Sequence[str], direction: str, *, timeout_s: float) -> None:
        del direction  # a link's MTU holds both ways
        shell_of(cluster, self.name)
        host = wire_of(cluster, self.name).host
        ports = _wire.ports(cluster, self.name, needed=targets)
        at_once([partial(_offload, cluster.hosts[node], "off", timeout_s) for node in ports])
        for target in targets:
            _wire.run(host, ["ip", "link", "set", "dev", ports[target], "mtu", str(self.packet_bytes)], timeout_s)

    def felt(self, cluster: Cluster, targets: Sequence[str], direction: str, *, timeout_s: float) -> Felt:
        """A packet of the size passes, one larger than with a VLAN tag does not."""
        del direction
        wire_of(cluster, self.name)
        shell_of(cluster, self.name)
        peer = _wire.peer_of(cluster, targets)
        larger = self.packet_bytes + VLAN_BYTES + 1
        sizes = [size - HEADERS_BYTES for size in (self.packet_bytes, larger)]
        small, large = (
            _wire.pinged(cluster, targets[0], peer, timeout_s, "-M", "do", "-s", str(size)) for size in sizes
        )
        words = {True: "passes", False: "does not pass"}
        told = f"{targets[0]} to {peer}: a packet of {self.packet_bytes} bytes {words[small]}, one of {larger}"
        return Felt(small and not large, f"{told} {words[large]}")

    def heal(self, cluster: Cluster, *, timeout_s: float) -> list[str]:
        shell_of(cluster, self.name)
        host = wire_of(cluster, self.name).host
        ports = _wire.ports(cluster, self.name)
        links = json.loads(_wire.run(host, ["ip", "-json", "link", "show"], timeout_s))
        mtus = {link["ifname"]: link["mtu"] for link in links}
        small = {node: port for node, port in ports.items() if mtus.get(port, USUAL_BYTES) < USUAL_BYTES}
        for port in small.values():
            _wire.run(host, ["ip", "link", "set", "dev", port, "mtu", str(USUAL_BYTES)], timeout_s)
        if small:
            at_once([partial(_offload, cluster.hosts[node], "on", timeout_s) for node in ports])
        return [f"gave the link of {node} {USUAL_BYTES} bytes again" for node in small]


def _offload(host: Host, state: str, timeout_s: float) -> None:
    """Raises EnvironmentBroken: where it stays on, large packets would pass."""
    argv = ["ethtool", "-K", "eth0", "tso", state, "gso", state]
    result = host.run(argv, timeout_s=timeout_s)
    if not result.ok:
        raise EnvironmentBroken(f"the fault mtu: {host.name} cannot turn segmentation {state}: {result.output}")


FAULT = Mtu()
