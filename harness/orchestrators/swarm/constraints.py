"""Placement constraints, read so that it is known before a deployment where a service may run.

`node.hostname` means the topology's node names: Swarm is given the label that says so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness.model.plan import NodePlan
from harness.model.topology import Service
from harness.orchestrators.swarm.names import NODE_LABEL, ROLE_LABEL

_CONSTRAINT = re.compile(r"^\s*(?P<what>[\w.-]+)\s*(?P<sign>==|!=)\s*(?P<value>[\w.-]+)\s*$")
_BY_NAME = ("node.hostname", f"node.labels.{NODE_LABEL}")
_BY_ROLE = ("node.role", f"node.labels.{ROLE_LABEL}")
UNDERSTOOD = (*_BY_NAME, *_BY_ROLE)


def is_understood(text: str) -> bool:
    match = _CONSTRAINT.match(text)
    return match is not None and match["what"] in UNDERSTOOD


def translated(text: str) -> str:
    """The constraint as Swarm is given it."""
    match = _CONSTRAINT.match(text)
    if match and match["what"] == "node.hostname":
        return f"node.labels.{NODE_LABEL}{match['sign']}{match['value']}"
    return text


def eligible(service: Service, nodes: Sequence[NodePlan]) -> list[str]:
    """Names of the nodes that satisfy every constraint that is understood."""
    constraints = [c for c in service.effective_deploy.placement.constraints if is_understood(c)]
    return [node.name for node in nodes if all(_holds(constraint, node) for constraint in constraints)]


def _holds(constraint: str, node: NodePlan) -> bool:
    match = _CONSTRAINT.match(constraint)
    assert match is not None
    actual = node.role if match["what"] in _BY_ROLE else node.name
    return (actual == match["value"]) == (match["sign"] == "==")
