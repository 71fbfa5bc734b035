"""`kill-engine`: a node's Docker engine ends by SIGKILL (or SIGTERM) and is started again when it is healed.

After a SIGKILL its containers run on until it is back, which ends them and starts tasks anew; plain containers are
started by the healing. Container nodes only: their first process holds the engine back meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, Field

from harness.faults import _marks, _plain, _wire
from harness.faults._rights import shell_of
from harness.faults._tuned import Params, Tuned
from harness.model.errors import CommandFailed, EnvironmentBroken
from harness.model.plan import Demand
from harness.ports import Cluster, Felt, Host, Right
from harness.transport.deadlines import answer_of

#: The entrypoint of a node does not start its engine while this file is there (ci/images/entrypoint.sh).
HELD = "/run/harness-engine-held"
#: Is there until all of the healing is done, so that a healing that was cut short is taken up again.
STRUCK = "/run/harness-engine-struck"
_ALIVE = 'pid=$(cat /run/docker.pid 2>/dev/null) && [ "$(cat /proc/$pid/comm 2>/dev/null)" = dockerd ]'
_KILL = f"""
grep -qs {HELD} /usr/lib/harness/entrypoint.sh || {{ echo nobody holds the engine of this node back; exit 3; }}
{_ALIVE} || {{ echo the engine of this node does not run; exit 4; }}
touch {HELD} {STRUCK} && kill -"$1" "$pid"
"""
BACK_WITHIN_S = 60.0


class KillEngineParams(Params):
    signal: Literal["KILL", "TERM"] = Field("KILL", description="TERM lets it stop its containers first")


@dataclass(frozen=True)
class KillEngine(Tuned):
    name: str = "kill-engine"
    orchestrator: str = "swarm"
    rights: frozenset[Right] = frozenset({"shell"})
    signal: Literal["KILL", "TERM"] = "KILL"
    params: type[BaseModel] = KillEngineParams

    def demands(self) -> list[Demand]:
        return []

    def inject(self, cluster: Cluster, targets: Sequence[str], direction: str, *, timeout_s: float) -> None:
        del direction  # an engine that is dead neither sends nor receives
        shell_of(cluster, self.name)
        for target in targets:
            _wire.run(cluster.hosts[target], ["sh", "-c", _KILL, "sh", self.signal], timeout_s)

    def felt(self, cluster: Cluster, targets: Sequence[str], direction: str, *, timeout_s: float) -> Felt:
        """No engine runs on any target."""
        del direction
        shell_of(cluster, self.name)
        alive = {node: _alive(cluster.hosts[node], timeout_s) for node in targets}
        told = ", ".join(f"the engine of {node} {'runs' if alive[node] else 'has no process'}" for node in targets)
        return Felt(not any(alive.values()), told)

    def heal(self, cluster: Cluster, *, timeout_s: float) -> list[str]:
        """Every engine that is held back runs again, and the plain containers that ended with it."""
        shell_of(cluster, self.name)
        struck = list(_marks.struck(cluster, STRUCK, timeout_s))
        for host in struck:
            if host.run(["test", "-e", HELD], timeout_s=timeout_s).ok:
                _await_end(host, timeout_s)
                _wire.run(host, ["rm", "-f", HELD], timeout_s)
        for host in struck:
            _await_engine(host, timeout_s)
            _start_plain(host, timeout_s)
            _wire.run(host, ["rm", "-f", STRUCK], timeout_s)
        return [f"started the engine of {host.name}" for host in struck]


def _start_plain(host: Host, timeout_s: float) -> None:
    """An engine that has just come back may not have its swarm's networks yet, and then refuses."""

    def started() -> bool:
        try:
            _plain.start_exited(host, timeout_s)
        except CommandFailed:
            return False
        return True

    _until(started, f"the plain containers of {host.name} cannot be started again")


def _alive(host: Host, timeout_s: float) -> bool:
    return host.run(["sh", "-c", _ALIVE], timeout_s=timeout_s).ok


def _await_end(host: Host, timeout_s: float) -> None:
    """An engine that was told to end, and has not yet, would end the node with it once nothing holds it back."""
    _until(lambda: not _alive(host, timeout_s), f"the engine of {host.name} does not end")


def _await_engine(host: Host, timeout_s: float) -> None:
    ask = ["docker", "info", "--format", "{{.ID}}"]
    _until(lambda: answer_of(host, ask, timeout_s=timeout_s).ok, f"the engine of {host.name} does not answer")


def _until(done: Callable[[], bool], what: str) -> None:
    """Raises EnvironmentBroken."""
    deadline = time.monotonic() + BACK_WITHIN_S
    while not done():
        if time.monotonic() > deadline:
            raise EnvironmentBroken(f"{what} within {BACK_WITHIN_S:g} s")
        time.sleep(0.2)


FAULT = KillEngine()
