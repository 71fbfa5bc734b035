"""Which Kubernetes that exists this process works with: that of its topology, or the one that it was told.

Verbs about clusters have no topology: they look where --kubeconfig, --context and --namespace say, or
HARNESS_KUBECONFIG, HARNESS_CONTEXT and HARNESS_NAMESPACE. Where none of these says anything, none is looked at:
the one that kubectl would take may be anybody's.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.model.errors import UsageError
from harness.model.topology import NAMESPACE, Cluster
from harness.providers.kube_access import Access
from harness.providers.kubeconfig import KubeconfigProvider

KEYS = ("kubeconfig", "context", "namespace")
_HINT = "--kubeconfig FILE or --context NAME, or cluster.kubeconfig in the topology"


def variable(key: str) -> str:
    """The one of the environment that says `key` where nothing else does."""
    return f"HARNESS_{key.upper()}"


@dataclass
class _Chosen:
    """By the command line, for the whole process; and by the topology that it has read last."""

    told: dict[str, str] = field(default_factory=dict)
    used: dict[str, str] = field(default_factory=dict)


_CHOSEN = _Chosen()


def use(kubeconfig: Path | None = None, context: str | None = None, namespace: str | None = None) -> None:
    """From now on that is the cluster of provider `existing`; what is None stays as it was."""
    file = str(kubeconfig.expanduser().absolute()) if kubeconfig else None
    told = zip(KEYS, (file, context, namespace), strict=True)
    _CHOSEN.told.update({key: value for key, value in told if value})


def of_run(cluster: Cluster, folder: Path) -> Cluster:
    """`cluster` with what it is reached by, which is used from now on: what the command line says, else the
    topology, whose file is meant from its `folder`, else the environment. Raises UsageError where nothing does,
    and for a file or a context that is not there.
    """
    in_file = str((folder / Path(cluster.kubeconfig).expanduser()).absolute()) if cluster.kubeconfig else None
    of_topology = {"kubeconfig": in_file, "context": cluster.context, "namespace": cluster.namespace}
    whole = {key: _CHOSEN.told.get(key) or of_topology[key] or os.environ.get(variable(key)) for key in KEYS}
    if not whole["kubeconfig"] and not whole["context"]:
        raise UsageError("provider existing needs a kubeconfig for orchestrator kubernetes", hint=_HINT)
    _access(whole).read()
    _CHOSEN.used = {key: value for key, value in whole.items() if value}
    return Cluster.model_validate({**cluster.model_dump(), **_CHOSEN.used})


def is_meant() -> bool:
    """Whether the command line says which one, so that verbs without a topology know."""
    return bool(_CHOSEN.told)


def provider() -> KubeconfigProvider:
    """Without access where nothing says which cluster it is."""
    asked = {key: os.environ.get(variable(key)) for key in KEYS} | _CHOSEN.told
    whole = _CHOSEN.used or {key: value for key, value in asked.items() if value}
    meant = whole.get("kubeconfig") or whole.get("context")
    return KubeconfigProvider(_access(whole)) if meant else KubeconfigProvider()


def _access(chosen: Mapping[str, str | None]) -> Access:
    """Raises UsageError for a namespace that no cluster can have."""
    file, namespace = chosen.get("kubeconfig"), chosen.get("namespace")
    if namespace and not re.fullmatch(NAMESPACE, namespace):
        raise UsageError(
            f"no namespace can be called {namespace!r}",
            hint=f"--namespace, or {variable('namespace')}, takes a-z, 0-9 and -, at most 63",
        )
    return Access(Path(file) if file else None, chosen.get("context"), namespace)


def forget() -> None:
    """What this process was told and has read."""
    _CHOSEN.told, _CHOSEN.used = {}, {}
