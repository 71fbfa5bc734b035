"""Faults need rights; what is missing is named."""

from __future__ import annotations

from harness.model.errors import EnvironmentBroken
from harness.ports import Cluster, Lifecycle, Right, Wire


def lifecycle_of(cluster: Cluster, fault: str) -> Lifecycle:
    if cluster.lifecycle is None:
        raise _lacking(cluster, fault, "lifecycle")
    return cluster.lifecycle


def wire_of(cluster: Cluster, fault: str) -> Wire:
    if cluster.wire is None:
        raise _lacking(cluster, fault, "wire")
    return cluster.wire


def shell_of(cluster: Cluster, fault: str) -> None:
    right_of(cluster, fault, "shell")


def right_of(cluster: Cluster, fault: str, right: Right) -> None:
    if right not in cluster.rights:
        raise _lacking(cluster, fault, right)


def _lacking(cluster: Cluster, fault: str, right: Right) -> EnvironmentBroken:
    return EnvironmentBroken(f"the fault {fault} needs the right `{right}`, which {cluster.name} does not give")
