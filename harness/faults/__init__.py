"""What goes wrong on purpose. A new fault is one module here with `FAULT`, and its test."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from harness.model.registry import collect
from harness.ports import Fault, Tunable

REGISTRY: Mapping[str, Fault] = collect("harness.faults", "FAULT")

#: The keys that faults have of their own, beside target and times.
PARAMS: Mapping[str, type[BaseModel]] = {
    name: fault.params for name, fault in REGISTRY.items() if isinstance(fault, Tunable)
}


def configured(fault: Fault, params: Mapping[str, Any]) -> Fault:
    """The fault with its own keys as a topology gives them."""
    return fault.given(params) if isinstance(fault, Tunable) else fault
