"""`rate`: what goes to the targets, and what they send, is held to a rate: tc-tbf(8), also where netem is there.

A token bucket sends what fits at once and queues or drops the rest, as a slow link with a short buffer does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, Field

from harness.faults import _tc, _wire
from harness.faults._tuned import Params, Tuned
from harness.model.plan import Demand
from harness.ports import Cluster, Felt, Right

#: More than the rate lets through in its time: UDP to a port that nobody has.
_FLOOD = (
    "import socket, sys\n"
    "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
    "for _ in range(int(sys.argv[2])):\n"
    "    s.sendto(bytes(1400), (sys.argv[1], 9))\n"
)
LATENCY_MS = 50
MOST_PACKETS = 30_000


class RateParams(Params):
    mbit: float = Field(10.0, ge=0.1, le=10_000, description="Megabits a second, each way")


@dataclass(frozen=True)
class Rate(Tuned):
    name: str = "rate"
    rights: frozenset[Right] = frozenset({"wire", "shell"})
    mbit: float = 10.0
    params: type[BaseModel] = RateParams

    def demands(self) -> list[Demand]:
        return [Demand("tbf", "fault rate")]

    def inject(self, cluster: Cluster, targets: Sequence[str], direction: str, *, timeout_s: float) -> None:
        # tc-tbf(8): at 10 Mbit a bucket of 10 kB at least; a segment that the sender left whole must fit
        burst = max(70_000, int(self.mbit * 1250))
        limits = ["rate", f"{self.mbit:g}mbit", "burst", str(burst), "latency", f"{LATENCY_MS}ms"]
        _tc.inject(cluster, self.name, targets, direction, ["tbf", *limits], timeout_s)

    def felt(self, cluster: Cluster, targets: Sequence[str], direction: str, *, timeout_s: float) -> Felt:
        """A flood was held back at every end."""
        before = list(_tc.counted(cluster, self.name, targets, direction, timeout_s))
        peer = _wire.peer_of(cluster, targets)
        count = str(min(MOST_PACKETS, 500 + int(self.mbit * 30)))
        for target in targets:
            for source, sink in ((target, peer), (peer, target)):
                flood = ["python3", "-c", _FLOOD, cluster.hosts[sink].address, count]
                cluster.hosts[source].run(flood, timeout_s=timeout_s)
        after = list(_tc.counted(cluster, self.name, targets, direction, timeout_s))
        held = [now - was for was, now in zip(before, after, strict=True)] if len(before) == len(after) else []
        told = f"tbf held {sum(held)} packets back at {self.mbit:g} Mbit/s, on {len(held)} ends of links"
        return Felt(bool(held) and all(count > 0 for count in held), told)

    def heal(self, cluster: Cluster, *, timeout_s: float) -> list[str]:
        return _tc.heal(cluster, self.name, timeout_s)


FAULT = Rate()
