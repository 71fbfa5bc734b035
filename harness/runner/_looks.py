"""What the orchestrator said of the cluster, for as long as nothing was changed since."""

from __future__ import annotations

from dataclasses import dataclass

from harness.model.plan import Plan
from harness.ports import Cluster, Orchestrator, Sight
from harness.runner._seams import Clock

#: A look costs a question to each engine; checks that follow each other and change nothing share one this old.
SHARED_S = 10.0


@dataclass
class Looks:
    """One list of checks' looks. A container that ended by itself since is found by the check that asks it."""

    cluster: Cluster
    plan: Plan
    orchestrator: Orchestrator
    clock: Clock
    _last: tuple[float, Sight] | None = None

    def take(self, *, anew: bool) -> Sight:
        """What is there now; with `anew` asked again whatever is known. Raises EnvironmentBroken."""
        if self._last is not None and not anew and self.clock.now_s() - self._last[0] <= SHARED_S:
            return self._last[1]
        asked_s = self.clock.now_s()
        sight = self.orchestrator.look(self.cluster, self.plan)
        self._last = (asked_s, sight)
        return sight

    def forget(self) -> None:
        """Something is about to change."""
        self._last = None
