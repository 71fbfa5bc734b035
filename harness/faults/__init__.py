"""What goes wrong on purpose. A new fault is one module here with `FAULT`, and its test."""

from collections.abc import Mapping

from harness.model.registry import collect
from harness.ports import Fault

REGISTRY: Mapping[str, Fault] = collect("harness.faults", "FAULT")
