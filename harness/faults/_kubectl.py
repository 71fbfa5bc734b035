"""What faults on Kubernetes share: its API, by kubectl on a control plane or on this machine, and pods of ours."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.faults._rights import right_of
from harness.model.errors import CommandFailed, EnvironmentBroken
from harness.model.plan import LABEL
from harness.ports import Cluster, Host, Right
from harness.transport.kubectl import PodHost

#: kubeadm's, on every control plane.
CONFIG = "/etc/kubernetes/admin.conf"
_KUBECTL = ("kubectl", "--kubeconfig", CONFIG)
#: On pods of services, and on none else of ours.
SERVICE = "harness.service"

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Api:
    """kubectl on `host`, and what its commands begin with. `space` is the namespace that holds all of the run's;
    empty where there are several. `called` is what the cluster calls the topology's nodes, where that differs.
    """

    host: Host
    client: tuple[str, ...]
    run: str
    space: str
    called: Mapping[str, str]

    def kubectl(self, *words: str, timeout_s: float, stdin: bytes = b"") -> str:
        """Raises CommandFailed."""
        argv = (*self.client, *words)
        result = self.host.run(argv, timeout_s=timeout_s, stdin=stdin)
        if not result.ok:
            raise CommandFailed(list(argv), result.code, result.output, where=self.host.name)
        return result.stdout

    @property
    def everywhere(self) -> tuple[str, ...]:
        """Says in which namespaces to look."""
        return ("--namespace", self.space) if self.space else ("--all-namespaces",)

    def node(self, name: str) -> str:
        """What the cluster calls a node of the topology."""
        return self.called.get(name, name)

    def pods(self, node: str, selector: str, timeout_s: float) -> list[Row]:
        """Pods of the run's services on a node that are not on their way out."""
        selected = ",".join(filter(None, (f"{LABEL}={self.run}", SERVICE, selector)))
        where = ("--selector", selected, "--field-selector", f"spec.nodeName={self.node(node)}")
        told = self.kubectl("get", "pods", *self.everywhere, *where, "-o", "json", timeout_s=timeout_s)
        return [row for row in json.loads(told)["items"] if not row["metadata"].get("deletionTimestamp")]


def any_api(cluster: Cluster, fault: str, right: Right, timeout_s: float) -> Api | None:
    """That of a cluster that exists, or on the first host that is a control plane. Raises EnvironmentBroken
    without the right, and where the first host, which is one if any is, does not answer and no other is one.
    """
    right_of(cluster, fault, right)
    if cluster.api is not None:
        [first, *_] = [host for host in cluster.hosts.values() if isinstance(host, PodHost)]
        return Api(cluster.api, first.client, cluster.run, first.home.namespace, cluster.called)
    plane = _control_plane(cluster, timeout_s)
    return Api(plane, _KUBECTL, cluster.run, "", {}) if plane else None


def _control_plane(cluster: Cluster, timeout_s: float) -> Host | None:
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


def api(cluster: Cluster, fault: str, right: Right, timeout_s: float) -> Api:
    found = any_api(cluster, fault, right, timeout_s)
    if found is None:
        raise EnvironmentBroken(f"the fault {fault} needs a control plane of Kubernetes; {cluster.name} has none")
    return found
