"""The server side of volumes. A new store is one module here with `STORE`, a `Store` of ports, and its test.

Most are `Scripted` (`_scripted.py`): what a node does stands in scripts that the node keeps.
"""

from collections.abc import Mapping

from harness.model.registry import collect
from harness.ports import Store
from harness.stores._removal import clear

__all__ = ["REGISTRY", "clear"]

REGISTRY: Mapping[str, Store] = collect("harness.stores", "STORE")
