"""Registries are filled from the modules of a package, so that a new guest is one file and its test."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any


def collect(package: str, attribute: str) -> dict[str, Any]:
    """Every module of `package` that has `attribute`, by module name with `_` as `-`.

    Modules that start with an underscore are helpers and are passed over.
    """
    found = {}
    path = importlib.import_module(package).__path__
    for module in pkgutil.iter_modules(path):
        if module.name.startswith("_"):
            continue
        loaded = importlib.import_module(f"{package}.{module.name}")
        if hasattr(loaded, attribute):
            found[module.name.replace("_", "-")] = getattr(loaded, attribute)
    return found
