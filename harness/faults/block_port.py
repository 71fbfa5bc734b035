"""`block-port`: packets to one port are dropped on the wire, as a firewall in front of the targets would.

Swarm speaks on 2377 (orders, TCP), 7946 (gossip, TCP and UDP) and 4789 (VXLAN, UDP). `in` drops what goes to the
targets' port, `out` what they send to that of others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, Field

from harness.faults import _wire
from harness.faults._rights import wire_of
from harness.faults._tuned import Params, Tuned
from harness.faults.partition import paths_of
from harness.model.plan import Demand
from harness.ports import Cluster, Felt, Right

#: One packet of each kind to the port: bash opens it as a file. Prints `silent` where TCP had no answer.
_KNOCK = (
    'echo x 2>/dev/null >"/dev/udp/$1/$2"; timeout 0.5 bash -c ": >/dev/tcp/$1/$2" 2>/dev/null; '
    "[ $? != 124 ] || echo silent"
)
Protocol = Literal["tcp", "udp", "both"]


class BlockPortParams(Params):
    port: int = Field(4789, ge=1, le=65535, description="Swarm's are 2377, 7946 and 4789 (VXLAN)")
    protocol: Protocol = Field("both", description="tcp, udp or both")


@dataclass(frozen=True)
class BlockPort(Tuned):
    name: str = "block-port"
    rights: frozenset[Right] = frozenset({"wire"})
    port: int = 4789
    protocol: Protocol = "both"
    params: type[BaseModel] = BlockPortParams

    def demands(self) -> list[Demand]:
        return [Demand("nft-bridge", "fault block-port")]

    def inject(self, cluster: Cluster, targets: Sequence[str], direction: str, *, timeout_s: float) -> None:
        protocols = "{ tcp, udp }" if self.protocol == "both" else self.protocol
        match = f"meta l4proto {protocols} th dport {self.port}"
        paths, name = paths_of(cluster, targets, direction), _wire.table(cluster, self.name)
        _wire.drop(cluster, self.name, name, paths, match, needed=targets, timeout_s=timeout_s)

    def felt(self, cluster: Cluster, targets: Sequence[str], direction: str, *, timeout_s: float) -> Felt:
        """A packet that was sent to the port was dropped, and who opened a connection to it heard nothing."""
        wire = wire_of(cluster, self.name)
        (sources, sinks), *_ = paths_of(cluster, targets, direction)
        source, target = sources[0], next(node for node in sinks if node != sources[0])
        address = cluster.hosts[target].address
        knock = ["bash", "-c", _KNOCK, "bash", address, str(self.port)]
        before = _wire.dropped(wire.host, _wire.table(cluster, self.name), timeout_s)
        silent = "silent" in cluster.hosts[source].run(knock, timeout_s=timeout_s).stdout
        dropped = _wire.dropped(wire.host, _wire.table(cluster, self.name), timeout_s)
        hears = self.protocol == "udp" or silent
        told = f"{dropped} packets to port {self.port} dropped; {source} to {target}:{self.port} by TCP: "
        return Felt(hears and dropped > before, told + ("no answer" if silent else "an answer"))

    def heal(self, cluster: Cluster, *, timeout_s: float) -> list[str]:
        return _wire.remove_table(wire_of(cluster, self.name).host, _wire.table(cluster, self.name), timeout_s)


FAULT = BlockPort()
