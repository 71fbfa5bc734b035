"""The experiments behind the ready checks: one module a kind, each with a `WORKLOAD` (ports.Workload)."""

from __future__ import annotations

from harness.model.registry import collect
from harness.ports import Workload

__all__ = ["REGISTRY"]

#: Kind of check (`concurrent-append`) to its workload.
REGISTRY: dict[str, Workload] = collect("harness.workloads", "WORKLOAD")
