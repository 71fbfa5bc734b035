"""Faults apart from runs: by hand, on a cluster that was kept."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from harness import faults
from harness.model.errors import EnvironmentBroken, UsageError
from harness.ports import Cluster, Fault, Felt
from harness.runner.targets import COUNTS, OF_DAEMONS
from harness.session.clusters import find

INJECT_TIMEOUT_S = 30.0
FELT_TIMEOUT_S = 15.0
FELT_EVERY_S = 0.25
#: An engine that is told to end stops its containers first.
SHOWS_WITHIN_S = 10.0


def inject(cluster: str, fault: str, targets: Sequence[str], direction: str, keys: Mapping[str, Any]) -> Felt:
    """Inject, and ask the fault's own probe until it shows, for a while. What breaks on the way is healed again.

    Raises UsageError for what cannot be before anything is touched, EnvironmentBroken.
    """
    chosen = _configured(fault, keys)
    live = find(cluster)
    struck = _targets(live, fault, targets)
    lacking = sorted(chosen.rights - live.rights)
    if lacking:
        raise UsageError(f"{live.name} does not give the right `{lacking[0]}`, which the fault {fault} needs")
    try:
        chosen.inject(live, struck, direction, timeout_s=INJECT_TIMEOUT_S)
    except EnvironmentBroken:
        chosen.heal(live, timeout_s=INJECT_TIMEOUT_S)
        raise
    deadline = time.monotonic() + SHOWS_WITHIN_S
    while True:
        felt = chosen.felt(live, struck, direction, timeout_s=FELT_TIMEOUT_S)
        if felt.felt or time.monotonic() > deadline:
            return felt
        time.sleep(FELT_EVERY_S)


def known_faults() -> Iterator[tuple[str, Fault, dict[str, Any]]]:
    """Name, fault, and its own keys with their defaults."""
    for name, fault in sorted(faults.REGISTRY.items()):
        model = faults.PARAMS.get(name)
        yield name, fault, model().model_dump() if model else {}


def _configured(name: str, keys: Mapping[str, Any]) -> Fault:
    if name not in faults.REGISTRY:
        known = ", ".join(sorted(faults.REGISTRY))
        raise UsageError(f"no fault is called {name!r}", hint=f"there are {known}")
    model = faults.PARAMS.get(name)
    unknown = sorted(set(keys) - set(model.model_fields if model else ()))
    if unknown:
        known = ", ".join(model.model_fields) if model else "none"
        raise UsageError(f"the fault {name} has no key {unknown[0]!r}", hint=f"its keys: {known}")
    try:
        return faults.configured(faults.REGISTRY[name], keys)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"the fault {name}: {key}: {first['msg']}") from error


def _targets(live: Cluster, fault: str, named: Sequence[str]) -> list[str]:
    """Nodes in the cluster's order, or daemons of stores. Raises UsageError, naming the nodes that are there."""
    if fault in OF_DAEMONS and any("/" in name for name in named):
        return list(named)
    nodes = list(live.hosts)
    chosen: set[str] = set()
    for name in named:
        if name in COUNTS:
            chosen |= set(random.SystemRandom().sample(nodes, COUNTS[name](len(nodes))))
        elif name in nodes:
            chosen.add(name)
        else:
            words = ", ".join([*nodes, *COUNTS])
            raise UsageError(f"{live.name} has no node {name!r} to strike", hint=f"targets: {words}")
    return [node for node in nodes if node in chosen]
