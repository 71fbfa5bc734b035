"""What faults on Kubernetes share: kubectl on the first control plane that answers, and pods of ours."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from harness.faults._rights import shell_of
from harness.model.errors import CommandFailed, EnvironmentBroken
from harness.model.plan import LABEL
from harness.ports import Cluster, Host

#: kubeadm's, on every control plane.
CONFIG = "/etc/kubernetes/admin.conf"
_KUBECTL = ("kubectl", "--kubeconfig", CONFIG)

Row = Mapping[str, Any]


def any_control_plane(cluster: Cluster, fault: str, timeout_s: float) -> Host | None:
    """The first host that is one. Raises EnvironmentBroken without a shell, and where the first host, which is one
    if any is, does not answer and no other is one.
    """
    shell_of(cluster, fault)
    silent: EnvironmentBroken | None = None
    for number, host in enumerate(cluster.hosts.values()):
        try:
            if host.run(("test", "-e", CONFIG), timeout_s=timeout_s).ok:
                return host
        except EnvironmentBroken as error:
            silent = error if number == 0 else silent
    if silent is not None:
        raise silent
    return None


def control_plane(cluster: Cluster, fault: str, timeout_s: float) -> Host:
    found = any_control_plane(cluster, fault, timeout_s)
    if found is None:
        raise EnvironmentBroken(f"the fault {fault} needs a control plane of Kubernetes; {cluster.name} has none")
    return found


def kubectl(host: Host, *words: str, timeout_s: float, stdin: bytes = b"") -> str:
    """Raises CommandFailed."""
    argv = (*_KUBECTL, *words)
    result = host.run(argv, timeout_s=timeout_s, stdin=stdin)
    if not result.ok:
        raise CommandFailed(list(argv), result.code, result.output, where=host.name)
    return result.stdout


def pods(host: Host, node: str, selector: str, timeout_s: float) -> list[Row]:
    """Pods of ours on a node that are not on their way out."""
    wanted = ("--selector", ",".join(filter(None, (LABEL, selector))), "--field-selector", f"spec.nodeName={node}")
    told = kubectl(host, "get", "pods", "--all-namespaces", *wanted, "-o", "json", timeout_s=timeout_s)
    return [row for row in json.loads(told)["items"] if not row["metadata"].get("deletionTimestamp")]
