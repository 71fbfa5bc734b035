"""`cpu-pressure`: processes on the targets use all the CPU they are given."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, Field

from harness.faults._pressure import Pressure
from harness.faults._tuned import Params, Tuned
from harness.model.plan import Demand
from harness.ports import Cluster, Felt, Right

_PRESSURE = Pressure("cpu-pressure", "while True: pass")
LOOK_S = 0.5


class CpuPressureParams(Params):
    workers: int = Field(2, ge=1, le=64, description="Processes a node, each of which would fill a core")


@dataclass(frozen=True)
class CpuPressure(Tuned):
    name: str = "cpu-pressure"
    rights: frozenset[Right] = frozenset({"shell"})
    workers: int = 2
    params: type[BaseModel] = CpuPressureParams

    def demands(self) -> list[Demand]:
        return []

    def inject(self, cluster: Cluster, targets: Sequence[str], direction: str, *, timeout_s: float) -> None:
        del direction
        for _ in range(self.workers):
            _PRESSURE.start(cluster, targets, [], timeout_s)

    def felt(self, cluster: Cluster, targets: Sequence[str], direction: str, *, timeout_s: float) -> Felt:
        """They were given time on every target since a moment ago."""
        del direction
        before = {node: _seconds(cluster, node, timeout_s) for node in targets}
        time.sleep(LOOK_S)
        used = {node: _seconds(cluster, node, timeout_s) - before[node] for node in targets}
        told = ", ".join(f"{seconds:.2f} s of CPU on {node}" for node, seconds in used.items())
        return Felt(all(seconds > 0 for seconds in used.values()), f"pressure used {told}")

    def heal(self, cluster: Cluster, *, timeout_s: float) -> list[str]:
        return _PRESSURE.end(cluster, timeout_s)


def _seconds(cluster: Cluster, node: str, timeout_s: float) -> float:
    return sum(seconds for seconds, _ in _PRESSURE.used(cluster, node, timeout_s))


FAULT = CpuPressure()
