"""Placement constraints, read so that it is known before a deployment where a service may run; what nodes'
shares of a network's addresses, and mounts, cannot be.

`node.hostname` means the topology's node names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from harness.model.plan import NodePlan
from harness.model.subnets import node_slices, node_slices6
from harness.model.topology import Network, Service

#: On nodes of a Swarm: the name that the topology uses, and the role. Hostnames may be anything.
NODE_LABEL = "harness.name"
ROLE_LABEL = "harness.role"

_CONSTRAINT = re.compile(r"^\s*(?P<what>[\w.-]+)\s*(?P<sign>==|!=)\s*(?P<value>[\w.-]+)\s*$")
_BY_NAME = ("node.hostname", f"node.labels.{NODE_LABEL}")
_BY_ROLE = ("node.role", f"node.labels.{ROLE_LABEL}")
UNDERSTOOD = (*_BY_NAME, *_BY_ROLE)


def is_understood(text: str) -> bool:
    match = _CONSTRAINT.match(text)
    return match is not None and match["what"] in UNDERSTOOD


def eligible(service: Service, nodes: Sequence[NodePlan]) -> list[str]:
    """Names of the nodes that satisfy every constraint that is understood."""
    constraints = [c for c in service.effective_deploy.placement.constraints if is_understood(c)]
    return [node.name for node in nodes if all(_holds(constraint, node) for constraint in constraints)]


def problems(service: Service, nodes: Sequence[NodePlan]) -> Iterator[tuple[str, str]]:
    """What of a scheduled service's placement no orchestrator can do: (key below the service, message)."""
    deploy = service.effective_deploy
    for index, text in enumerate(deploy.placement.constraints):
        if not is_understood(text):
            known = ", ".join(UNDERSTOOD)
            yield f"deploy.placement.constraints.{index}", f"{text!r} is not one of {known} with == or !="
    fitting = eligible(service, nodes)
    if not fitting:
        yield "deploy.placement.constraints", "no node of this topology satisfies them"
    if deploy.mode == "global" and deploy.replicas != 1:
        yield "deploy.replicas", "a global service has one container a node"
    fixed = any(port.mode == "host" and port.published for port in service.ports)
    if deploy.mode == "replicated" and fixed and deploy.replicas > len(fitting):
        yield "deploy.replicas", f"a host port is free once a node, and {len(fitting)} nodes are eligible"


def slices(name: str, network: Network, nodes: int) -> Iterator[tuple[str, str]]:
    """Nodes do not know of each other's addresses: each hands out a part of its own."""
    try:
        node_slices(network, nodes)
        for config in network.subnets_of(6):
            node_slices6(config, nodes)
    except ValueError as error:
        yield f"networks.{name}.ipam", str(error)


def mounts(service: Service) -> Iterator[tuple[str, str]]:
    """What of a service's mounts no node can do."""
    for index, mount in enumerate(service.volumes):
        if mount.type == "bind" and not (mount.source or "").startswith("/"):
            yield f"volumes.{index}.source", "a bind needs the absolute path of a directory on the node"
        if mount.type == "tmpfs" and (mount.source or mount.read_only):
            yield f"volumes.{index}", "a tmpfs has no source and is never read-only"


def _holds(constraint: str, node: NodePlan) -> bool:
    match = _CONSTRAINT.match(constraint)
    assert match is not None
    actual = node.role if match["what"] in _BY_ROLE else node.name
    return (actual == match["value"]) == (match["sign"] == "==")
