"""What a check changed through the orchestrator, and how it is taken back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from harness.model.errors import EnvironmentBroken, UsageError
from harness.model.plan import Plan
from harness.ports import Act, Cluster, Container, Orchestrator, Scene
from harness.runner._journal import Journal
from harness.runner._seams import Clock

ACT_TIMEOUT_S = 60.0


@dataclass
class Changes:
    """Performs acts, and remembers what would undo them."""

    cluster: Cluster
    plan: Plan
    orchestrator: Orchestrator
    journal: Journal
    clock: Clock
    _scaled: dict[str, int] = field(default_factory=dict)
    _stopped: dict[str, Container] = field(default_factory=dict)

    def perform(self, act: Act, scene: Scene) -> None:
        """Raises UsageError for a container that is not there, EnvironmentBroken where the act fails."""
        if act.kind == "scale":
            self._scale(act.service, act.replicas)
        elif act.kind == "stop":
            self._stop(act.container, scene)
        else:
            self._start(act.container)

    def undo(self) -> list[str]:
        """Take back what is still changed; what could not be, for people."""
        left = []
        for service, replicas in list(self._scaled.items()):
            left += self._attempt(Act("scale", service, replicas=replicas))
        for container in list(self._stopped.values()):
            left += self._attempt(Act("start", container.service, container=container.name))
        return left

    def _attempt(self, act: Act) -> list[str]:
        try:
            self.perform(act, Scene((), {}))
        except EnvironmentBroken as error:
            return [f"{act.kind} of {act.container or act.service} failed: {error.message}"]
        return []

    def _scale(self, service: str, replicas: int) -> None:
        original = self.plan.target(service).containers
        self._scaled.setdefault(service, original)
        with _Recorded(self, f"scale|{service}", str(replicas)):
            self.orchestrator.scale(self.cluster, self.plan, service, replicas, timeout_s=ACT_TIMEOUT_S)
        if replicas == original:
            del self._scaled[service]

    def _stop(self, name: str, scene: Scene) -> None:
        container = next((c for c in scene.containers if c.name == name), None)
        if container is None:
            raise UsageError(f"the container {name!r} cannot be stopped: it does not run")
        self._stopped[name] = container
        with _Recorded(self, f"stop|{name}", container.id):
            self.orchestrator.stop(self.cluster, container, timeout_s=ACT_TIMEOUT_S)

    def _start(self, name: str) -> None:
        container = self._stopped.get(name)
        if container is None:
            raise UsageError(f"the container {name!r} cannot be started: this check did not stop it")
        with _Recorded(self, f"start|{name}", container.id):
            self.orchestrator.start(self.cluster, container, timeout_s=ACT_TIMEOUT_S)
        del self._stopped[name]


class _Recorded:
    """An `act` row for what happens inside: `info` where it did not end well, since it may have happened."""

    def __init__(self, changes: Changes, key: str, value: str) -> None:
        self._changes, self._key, self._value = changes, key, value

    def __enter__(self) -> None:
        self._start_ns = self._changes.clock.now_ns()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        outcome = "ok" if kind is None else "info"
        self._changes.journal.act(self._key, self._value, self._start_ns, outcome)


@dataclass(frozen=True)
class State:
    """What must be the same after a check as before it: complaints, and how many containers of each service."""

    unhealthy: tuple[str, ...]
    running: Mapping[str, int]

    def differs(self, before: State) -> list[str]:
        """What is worse or other than `before`, for people."""
        complaints = [text for text in self.unhealthy if text not in before.unhealthy]
        services = sorted({*self.running, *before.running})
        counts = {service: (before.running.get(service, 0), self.running.get(service, 0)) for service in services}
        return complaints + [
            f"{s} runs {now} containers, not {was}" for s, (was, now) in counts.items() if was != now
        ]


def state_of(cluster: Cluster, plan: Plan, orchestrator: Orchestrator) -> State:
    with ThreadPoolExecutor(max_workers=1) as pool:
        complaints = pool.submit(orchestrator.healthy, cluster, plan)
        running = Counter(container.service for container in orchestrator.containers(cluster, plan))
    return State(tuple(complaints.result()), running)
