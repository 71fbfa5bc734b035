"""`memory-pressure`: a process on each target holds memory and touches it again and again.

Container nodes share the machine's memory: what is held here is taken from all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, Field

from harness.faults._pressure import Pressure
from harness.faults._tuned import Params, Tuned
from harness.model.plan import Demand
from harness.ports import Cluster, Felt, Right

MIB = 1 << 20
_PRESSURE = Pressure(
    "memory-pressure",
    "import sys, time\n"
    "held = bytearray(int(sys.argv[2]) << 20)\n"
    "while True:\n"
    "    for at in range(0, len(held), 4096): held[at] ^= 1\n"
    "    time.sleep(1)\n",
)


class MemoryPressureParams(Params):
    mib: int = Field(512, ge=1, le=1 << 20, description="How much a node's process holds")


@dataclass(frozen=True)
class MemoryPressure(Tuned):
    name: str = "memory-pressure"
    rights: frozenset[Right] = frozenset({"shell"})
    mib: int = 512
    params: type[BaseModel] = MemoryPressureParams

    def demands(self) -> list[Demand]:
        return []

    def inject(self, cluster: Cluster, targets: Sequence[str], direction: str, *, timeout_s: float) -> None:
        del direction
        _PRESSURE.start(cluster, targets, [str(self.mib)], timeout_s)

    def felt(self, cluster: Cluster, targets: Sequence[str], direction: str, *, timeout_s: float) -> Felt:
        """All of it is resident on every target."""
        del direction
        held = {node: sum(size for _, size in _PRESSURE.used(cluster, node, timeout_s)) / MIB for node in targets}
        told = ", ".join(f"{size:.0f} MiB on {node}" for node, size in held.items())
        return Felt(all(size >= self.mib for size in held.values()), f"pressure holds {told}")

    def heal(self, cluster: Cluster, *, timeout_s: float) -> list[str]:
        return _PRESSURE.end(cluster, timeout_s)


FAULT = MemoryPressure()
