"""What can stand in a topology: names that are built, names that are known but not built yet, and parameters.

The loader is given one; session fills it from the registries.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel

from harness.model.topology import Topology


@dataclass(frozen=True)
class Names:
    """`built` can be used; `later` is part of the format and refused as "not supported yet"."""

    built: frozenset[str]
    later: frozenset[str] = frozenset()

    @property
    def known(self) -> frozenset[str]:
        return self.built | self.later


@dataclass(frozen=True)
class Catalog:
    """`problems` is the last pass, over a topology whose names are right: what drivers, orchestrator and
    provider cannot express, as (dotted key, message). It is pure.
    """

    providers: Names
    orchestrators: Names
    network_drivers: Names
    volume_drivers: Names
    store_kinds: Names
    faults: Names
    checks: Mapping[str, type[BaseModel]]
    checks_later: frozenset[str] = frozenset()
    fault_params: Mapping[str, type[BaseModel]] = field(default_factory=dict)
    problems: Callable[[Topology], list[tuple[str, str]]] = lambda _topology: []
