"""Nodes of a Kubernetes that a run has shut for new pods: by a label that says whose they are, so that whoever
heals or removes the run needs to know nothing else, and leaves alone what somebody else has shut.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from harness.model.errors import CommandFailed, EnvironmentBroken
from harness.ports import Host

#: On a node; its value is the run.
LABEL = "harness.drained"


def mark(host: Host, client: Sequence[str], run: str, node: str, *, timeout_s: float) -> None:
    """It comes before the change itself. Raises CommandFailed; EnvironmentBroken where somebody else has shut the
    node, since healing would open it.
    """
    row = json.loads(_must(host, (*client, "get", "node", node, "-o", "json"), timeout_s))
    if row["spec"].get("unschedulable") and LABEL not in row["metadata"].get("labels", {}):
        raise EnvironmentBroken(f"node {node} is shut for new pods already, and not by a run of ours")
    _must(host, (*client, "label", "node", node, f"{LABEL}={run}", "--overwrite"), timeout_s)


def release(host: Host, client: Sequence[str], run: str, *, timeout_s: float) -> list[str]:
    """Nodes that the run has marked take pods again; returns their names. Raises CommandFailed."""
    listed = (*client, "get", "nodes", "--selector", f"{LABEL}={run}", "-o", "name")
    marked = _must(host, listed, timeout_s).split()
    for node in marked:
        _must(host, (*client, "uncordon", node), timeout_s)
        _must(host, (*client, "label", node, f"{LABEL}-"), timeout_s)
    return [node.removeprefix("node/") for node in marked]


def _must(host: Host, argv: Sequence[str], timeout_s: float) -> str:
    result = host.run(argv, timeout_s=timeout_s)
    if not result.ok:
        raise CommandFailed(list(argv), result.code, result.output, where=host.name)
    return result.stdout
