"""`stop-kubelet`: a node's kubelet is stopped, and started again when it is healed.

Its pods run on, and nobody watches over them. After 40 s the control plane calls the node NotReady; 5 min later
its pods are made elsewhere (kube-controller-manager, node-monitor-grace-period; tolerations of not-ready).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.faults import _marks, _wire
from harness.faults._rights import shell_of
from harness.model.errors import EnvironmentBroken
from harness.model.plan import Demand
from harness.ports import Cluster, Felt, Right

#: On a node whose kubelet this fault stopped. It ends with the node, which starts with a kubelet.
STOPPED = "/run/harness-kubelet-stopped"
_STATE = ("systemctl", "show", "--property=ActiveState", "--value", "kubelet")


@dataclass(frozen=True)
class StopKubelet:
    name: str = "stop-kubelet"
    orchestrator: str = "kubernetes"
    rights: frozenset[Right] = frozenset({"shell"})

    def demands(self) -> list[Demand]:
        return []

    def inject(self, cluster: Cluster, targets: Sequence[str], direction: str, *, timeout_s: float) -> None:
        del direction  # a kubelet that is stopped neither asks nor answers
        shell_of(cluster, self.name)
        states = {node: _state(cluster, node, timeout_s) for node in targets}
        idle = [node for node, state in states.items() if state != "active"]
        if idle:
            raise EnvironmentBroken(f"the fault stop-kubelet: no kubelet of systemd's runs on {', '.join(idle)}")
        for node in targets:
            _wire.run(cluster.hosts[node], ["touch", STOPPED], timeout_s)
            _wire.run(cluster.hosts[node], ["systemctl", "stop", "kubelet"], timeout_s)

    def felt(self, cluster: Cluster, targets: Sequence[str], direction: str, *, timeout_s: float) -> Felt:
        """No kubelet runs on any target."""
        del direction
        shell_of(cluster, self.name)
        states = {node: _state(cluster, node, timeout_s) for node in targets}
        told = ", ".join(f"the kubelet of {node} is {state or 'not there'}" for node, state in states.items())
        return Felt(all(state == "inactive" for state in states.values()), told)

    def heal(self, cluster: Cluster, *, timeout_s: float) -> list[str]:
        shell_of(cluster, self.name)
        undone = []
        for host in _marks.struck(cluster, STOPPED, timeout_s):
            _wire.run(host, ["systemctl", "start", "kubelet"], timeout_s)
            _wire.run(host, ["rm", "-f", STOPPED], timeout_s)
            undone.append(f"started the kubelet of {host.name}")
        return undone


def _state(cluster: Cluster, node: str, timeout_s: float) -> str:
    """Empty where the node has no systemd."""
    result = cluster.hosts[node].run(_STATE, timeout_s=timeout_s)
    return result.stdout.strip() if result.ok else ""


FAULT = StopKubelet()
