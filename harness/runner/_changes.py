"""What a check changed through the orchestrator, and how it is taken back."""

from __future__ import annotations

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
    #: By what they changed: the act that takes it back, and the container that it is about.
    _undo: dict[tuple[str, str], tuple[Act, Container | None]] = field(default_factory=dict)

    def perform(self, act: Act, scene: Scene) -> None:
        """Raises UsageError for a container that is not there, EnvironmentBroken where the act fails."""
        known = self._undo.get(_subject(act))
        container = known[1] if known else self._container(act, scene)
        reverse = self._reverse(act)
        if reverse is not None:
            self._undo[_subject(act)] = (reverse, container)
        with _Recorded(self, act):
            self.orchestrator.perform(self.cluster, self.plan, act, container, timeout_s=ACT_TIMEOUT_S)
        if act == reverse:
            del self._undo[_subject(act)]

    def undo(self) -> list[str]:
        """Take back what is still changed; what could not be, for people."""
        left = []
        for act, _ in list(self._undo.values()):
            try:
                self.perform(act, Scene((), {}))
            except EnvironmentBroken as error:
                left.append(f"{act.kind} of {act.container or act.service} failed: {error.message}")
        return left

    def _container(self, act: Act, scene: Scene) -> Container | None:
        if not act.container:
            return None
        if act.kind == "start":
            raise UsageError(f"the container {act.container!r} cannot be started: this check did not stop it")
        found = next((c for c in scene.containers if c.name == act.container), None)
        if found is None:
            raise UsageError(f"the container {act.container!r} is not there to {act.kind}: it does not run")
        return found

    def _reverse(self, act: Act) -> Act | None:
        """What takes `act` back; the act itself where it is that, None where there is nothing to take back."""
        match act.kind:
            case "scale":
                return Act("scale", act.service, replicas=self.plan.target(act.service).containers)
            case "stop" | "start":
                return Act("start", act.service, container=act.container)
            case "rename":
                return Act("rename", act.service, container=act.container)
            case _:
                return None


def _subject(act: Act) -> tuple[str, str]:
    """What of the cluster an act changes: the scale of a service, whether a container runs, its name."""
    kind = "stop" if act.kind == "start" else act.kind
    return kind, act.container or act.service


class _Recorded:
    """An `act` row for what happens inside: `info` where it did not end well, since it may have happened."""

    def __init__(self, changes: Changes, act: Act) -> None:
        self._changes, self._act = changes, act

    def __enter__(self) -> None:
        self._start_ns = self._changes.clock.now_ns()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        outcome = "ok" if kind is None else "info"
        self._changes.journal.act(self._act.key, self._act.value, self._start_ns, outcome)
