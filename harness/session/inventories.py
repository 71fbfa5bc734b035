"""Which hosts that exist this process works with: those of its topology, or those that it was told.

Verbs about clusters have no topology: they look at the hosts of --inventory, or of HARNESS_INVENTORY.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from harness.loader import load_inventory
from harness.model.errors import UsageError
from harness.model.plan import Plan
from harness.ports import Progress
from harness.providers.existing import ExistingProvider
from harness.providers.inspection import Complaint
from harness.session import kubeconfigs

VARIABLE = "HARNESS_INVENTORY"


def use(path: Path | None) -> None:
    """From now on the hosts in `path` are those of provider `existing`; None: no change. Raises TopologyError."""
    if path is not None:
        _provider(path.absolute())
        os.environ[VARIABLE] = str(path.absolute())


def of_run(in_file: str | None, folder: Path, chosen: Path | None) -> Path:
    """The inventory of a run, which is used from now on: the one chosen, else the topology's, which is meant from
    its `folder`, else HARNESS_INVENTORY. Raises UsageError, TopologyError.
    """
    named = chosen or (folder / Path(in_file).expanduser() if in_file else None) or os.environ.get(VARIABLE)
    if not named:
        hint = "--inventory hosts.yaml, or cluster.inventory in the topology"
        raise UsageError("provider existing needs an inventory of hosts", hint=hint)
    path = Path(named).absolute()
    use(path)
    return path


def provider() -> ExistingProvider:
    """One for each inventory, so that its connections are kept. Raises TopologyError."""
    path = os.environ.get(VARIABLE)
    return _provider(Path(path).absolute()) if path else ExistingProvider()


def inspect_existing(plan: Plan | None, progress: Progress) -> list[Complaint]:
    """What stands in the way on the hosts that exist, or in the Kubernetes that does, or is worth a note. Changes
    nothing.
    """
    if plan is not None and plan.topology.cluster.is_foreign_kubernetes:
        return kubeconfigs.provider().inspect(plan)
    if plan is None and kubeconfigs.is_meant():
        return kubeconfigs.provider().inspect(None)
    return provider().inspect(plan, progress)


@cache
def _provider(path: Path) -> ExistingProvider:
    return ExistingProvider(load_inventory(path))
