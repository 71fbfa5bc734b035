"""`loss`: a share of the frames between the targets and all others is dropped at random, on the wire.

By nft's `numgen random` in the bridge's forward hook, with or without netem in the kernel: each frame is drawn
by itself, what is dropped is counted, and both ways are struck from the wire (docs/decisions/014).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, Field

from harness.faults import _wire
from harness.faults._rights import wire_of
from harness.faults._tuned import Params, Tuned
from harness.faults.partition import paths_of
from harness.model.plan import Demand
from harness.ports import Cluster, Felt, Right

PINGS = 50


class LossParams(Params):
    percent: float = Field(20.0, gt=0, le=100, description="Share of frames that are dropped, each way")


@dataclass(frozen=True)
class Loss(Tuned):
    name: str = "loss"
    rights: frozenset[Right] = frozenset({"wire"})
    percent: float = 20.0
    params: type[BaseModel] = LossParams

    def demands(self) -> list[Demand]:
        return [Demand("nft-bridge", "fault loss"), Demand("nft-numgen", "fault loss")]

    def inject(self, cluster: Cluster, targets: Sequence[str], direction: str, *, timeout_s: float) -> None:
        match = f"numgen random mod 10000 < {max(1, round(self.percent * 100))}"
        paths, name = paths_of(cluster, targets, direction), _wire.table(cluster, self.name)
        _wire.drop(cluster, self.name, name, paths, match, needed=targets, timeout_s=timeout_s)

    def felt(self, cluster: Cluster, targets: Sequence[str], direction: str, *, timeout_s: float) -> Felt:
        """Frames were dropped while the target was spoken to."""
        del direction
        wire, name = wire_of(cluster, self.name), _wire.table(cluster, self.name)
        before = _wire.dropped(wire.host, name, timeout_s)
        peer = cluster.hosts[_wire.peer_of(cluster, targets)]
        ping = ["ping", "-q", "-c", str(PINGS), "-i", "0.01", "-W", "0.4", peer.address]
        cluster.hosts[targets[0]].run(ping, timeout_s=timeout_s)
        dropped = _wire.dropped(wire.host, name, timeout_s)
        told = f"{dropped} frames dropped at {self.percent:g} % (nft, each frame by itself)"
        return Felt(dropped > before, f"{told}; {dropped - before} during {PINGS} pings")

    def heal(self, cluster: Cluster, *, timeout_s: float) -> list[str]:
        return _wire.remove_table(wire_of(cluster, self.name).host, _wire.table(cluster, self.name), timeout_s)


FAULT = Loss()
