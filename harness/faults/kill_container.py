"""`kill-container`: the containers of a service on the targets end by SIGKILL, as after a crash.

Swarm makes its tasks anew by itself; plain containers are started by the healing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, Field

from harness.faults import _marks, _plain, _wire
from harness.faults._rights import shell_of
from harness.faults._tuned import Params, Tuned
from harness.model.errors import EnvironmentBroken
from harness.model.plan import Demand
from harness.ports import Cluster, Felt, Right

#: On a node whose containers were killed: their ids. It ends with the node, as they do.
KILLED = "/run/harness-killed"


class KillContainerParams(Params):
    service: str | None = Field(None, description="Whose containers; default: those of all services")


@dataclass(frozen=True)
class KillContainer(Tuned):
    name: str = "kill-container"
    orchestrator: str = "swarm"
    rights: frozenset[Right] = frozenset({"shell"})
    service: str | None = None
    params: type[BaseModel] = KillContainerParams

    def demands(self) -> list[Demand]:
        return []

    def inject(self, cluster: Cluster, targets: Sequence[str], direction: str, *, timeout_s: float) -> None:
        del direction  # who is dead neither sends nor receives
        shell_of(cluster, self.name)
        struck = {node: _plain.running(cluster.hosts[node], self.service, timeout_s) for node in targets}
        empty = [node for node, found in struck.items() if not found]
        if empty:
            what = f"of service {self.service}" if self.service else "of ours"
            raise EnvironmentBroken(f"the fault kill-container: no container {what} runs on {', '.join(empty)}")
        for node, found in struck.items():
            kill = f'printf "%s\\n" "$@" >>{KILLED} && docker kill "$@"'
            _wire.run(cluster.hosts[node], ["sh", "-c", kill, "sh", *found], timeout_s)

    def felt(self, cluster: Cluster, targets: Sequence[str], direction: str, *, timeout_s: float) -> Felt:
        """None of those that were killed runs."""
        del direction
        shell_of(cluster, self.name)
        dead = {}
        for node in targets:
            host = cluster.hosts[node]
            killed = set(host.run(["cat", KILLED], timeout_s=timeout_s).stdout.split())
            dead[node] = killed - set(_plain.running(host, None, timeout_s))
        told = ", ".join(
            f"{len(found)} containers of {node} were killed and do not run" for node, found in dead.items()
        )
        return Felt(all(dead.values()), told)

    def heal(self, cluster: Cluster, *, timeout_s: float) -> list[str]:
        shell_of(cluster, self.name)
        undone = []
        for host in _marks.struck(cluster, KILLED, timeout_s):
            _plain.start_exited(host, timeout_s)
            _wire.run(host, ["rm", "-f", KILLED], timeout_s)
            undone.append(f"started what was killed on {host.name}")
        return undone


FAULT = KillContainer()
