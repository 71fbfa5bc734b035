"""One check: its workload's stages, one after another, on the cluster; then all is put back."""

from __future__ import annotations

import random
import secrets
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from functools import partial

from harness.model.errors import EnvironmentBroken, UsageError
from harness.model.history import History
from harness.model.plan import Plan
from harness.model.topology import Check
from harness.model.topology import Fault as FaultSpec
from harness.ports import (
    Act,
    Acts,
    Cluster,
    Command,
    Commands,
    Fault,
    Load,
    Look,
    Orchestrator,
    Progress,
    Repeat,
    Scene,
    Stage,
    State,
    Under,
    Workload,
)
from harness.runner import _commands
from harness.runner._changes import Changes
from harness.runner._faults import Nemesis
from harness.runner._journal import Journal
from harness.runner._load import LoadRunner, Rows
from harness.runner._looks import Looks
from harness.runner._seams import AgentLike, Batch, Clock, RecorderLike, Revive
from harness.transport.parallel import at_once

ALIVE_TIMEOUT_S = 2.0
UNLISTEN_TIMEOUT_S = 10.0
#: After a fault: for nodes to be Ready and their containers to run again, on top of the missed heartbeats.
RECOVER_S = 60.0
RESTORED_WITHIN_S = 30.0
RESTORED_EVERY_S = 0.5
#: A load goes on this much longer after the last healing than its longest fault held: TCP retransmits later and
#: later (RFC 6298, 5.5), so a connection may stay silent for as long again as it was cut.
TAIL_S = 0.5

#: Lists among a program's parameters whose length says how much is asked.
COUNTED = ("probes", "lookups", "transfers", "pairs", "connections", "writers", "workers", "readers")


class CheckRunner:
    """Runs one check. `left` says afterwards what was not restored; empty where the cluster is clean."""

    def __init__(
        self,
        cluster: Cluster,
        plan: Plan,
        orchestrator: Orchestrator,
        check: Check,
        *,
        faults: Mapping[str, Fault],
        agents: Mapping[str, AgentLike],
        recorder: RecorderLike,
        progress: Progress,
        clock: Clock,
        looks: Looks,
        fails: Callable[[list[Batch]], bool] | None = None,
        revive: Revive | None = None,
    ) -> None:
        self._cluster, self._plan, self._orchestrator, self._check = cluster, plan, orchestrator, check
        self._agents, self._progress, self._clock, self._looks = agents, progress, clock, looks
        self.journal = Journal(recorder, check.id, clock, keep=fails is not None)
        self._changes = Changes(cluster, plan, orchestrator, self.journal, clock)
        self._commands = _commands.Commands(cluster, self.journal, clock)
        self._nemesis = Nemesis(
            cluster=cluster,
            plan=plan,
            faults=faults,
            journal=self.journal,
            progress=progress,
            clock=clock,
            rng=self._rng("faults"),
            recovered=self._recovered,
            recover_s=RECOVER_S * cluster.slowness + 3 * plan.topology.cluster.effective_heartbeat_s,
            check=check.id,
        )
        self._revive = revive
        self._loads = LoadRunner(agents, self.journal, clock, fails=fails, downed=self._nemesis.downed)
        self._token = secrets.token_hex(8)
        self._scene = Scene((), {})
        self._before: State | None = None
        self._looked = False
        self._struck = False
        self._said = ""
        self.left: tuple[str, ...] = ()

    def run(self, workload: Workload) -> UsageError | EnvironmentBroken | None:
        """What stopped the check, if anything did; the cluster is put back either way, as far as it can be.

        Raises only what must end the run: an interrupt, a defect, a history that cannot be written.
        """
        error = None
        try:
            self._nemesis.refuse_nonsense(self._check.faults)
            self._drive(workload)
        except (UsageError, EnvironmentBroken) as stopped:
            error = stopped
        finally:
            if self._before is not None:
                self._looks.forget()
            self.left = (*self._commands.undo(), *self._changes.undo(), *self._nemesis.unhealed)
        self.left += tuple(self._unrestored())
        self.journal.raise_if_broken()
        return error

    def _drive(self, workload: Workload) -> None:
        with closing(workload.stages(self._check, self._plan, self._rng("workload"))) as stages:
            stage = next(stages, None)
            while stage is not None:
                self._perform(stage)
                stage = _following(stages, self._scene)
        if self._check.faults and not self._struck:
            raise UsageError(
                f"check {self._check.id}: {self._check.kind} has no load that faults can be timed against"
            )

    def _perform(self, stage: Stage) -> None:
        match stage:
            case Look(phase):
                self._look(phase)
            case Acts(acts):
                self._act(acts)
            case Commands(commands):
                self._run(commands)
            case Load():
                self._load(stage)
            case Repeat():
                self._repeat(stage)
            case Under(commands):
                self._under(commands)

    def _look(self, phase: str) -> None:
        """A check's first look may be the one before it; once it has looked or changed something, it asks."""
        sight = self._looks.take(anew=self._looked or self._before is not None)
        self._looked = True
        hosts = self._cluster.hosts if self._cluster.in_nodes else {}
        nodes = {name: host.address for name, host in hosts.items()}
        self._scene = Scene(sight.containers, nodes, sight.published, token=self._token)
        self.journal.look(phase, self._scene, self._plan)

    def _act(self, acts: tuple[Act, ...]) -> None:
        """All at once; the first error is raised when all have ended."""
        self._remember()
        for act in acts:
            self._say(str(act))
        at_once([partial(self._changes.perform, act, self._scene) for act in acts])

    def _run(self, commands: tuple[Command, ...]) -> None:
        self._looks.forget()
        if any(command.undo for command in commands):
            self._remember()
        self._commands.run(commands)

    def _under(self, commands: tuple[Commands, ...]) -> None:
        def work() -> None:
            for each in commands:
                self._run(each.commands)

        if not self._check.faults:
            work()
            return
        self._remember()
        self._struck = True
        self._nemesis.hold(self._check.faults, work)

    def _load(self, load: Load) -> None:
        self._announce(load)
        faults = self._check.faults if load.faults else []
        if not faults and not load.acts:
            self._loads.run(load)
            return
        self._remember()
        self._struck |= bool(faults)
        longest_s = max((fault.hold_s for fault in faults), default=0.0)
        self._loads.run(load, partial(self._meanwhile, faults, load.acts), tail_s=TAIL_S + longest_s)
        self._nemesis.downed.clear()

    def _meanwhile(self, faults: Sequence[FaultSpec], acts: Sequence[Act], start_s: float) -> None:
        self._nemesis.run(faults, start_s)
        for act in acts:
            self._say(str(act))
            self._changes.perform(act, self._scene)

    def _repeat(self, stage: Repeat) -> None:
        if isinstance(stage.load, Load):
            self._announce(stage.load)

        def settled() -> bool:
            rows: Rows = []
            if isinstance(stage.load, Load):
                self._loads.run(stage.load, into=rows)
            else:
                self._commands.run(stage.load.commands, into=rows)
            return stage.settled(History.of_batches(rows))

        if not self._clock.until(settled, stage.within_s, stage.every_s):
            self._say(f"not right within {stage.within_s:g} s")

    def _remember(self) -> None:
        """Keep the state from before the first change."""
        if self._before is None:
            self._before = self._state()

    def _unrestored(self) -> list[str]:
        """What a check left behind: agents that do not answer, and a state other than before."""
        failed = self._loads.everywhere("unlisten", {}, timeout_s=UNLISTEN_TIMEOUT_S)
        left = [f"the agent on {host} does not answer: {error.message}" for host, error in failed.items()]
        return left + (self._differences(self._before) if self._before else [])

    def _differences(self, before: State) -> list[str]:
        """How the state still differs from `before` after it had time to settle."""
        found: list[str] = []

        def restored() -> bool:
            found[:] = self._state().differs(before)
            return not found

        self._clock.until(restored, RESTORED_WITHIN_S, RESTORED_EVERY_S)
        return found

    def _recovered(self) -> bool:
        return all(self._alive(host) for host in self._agents) and not self._state().complaints

    def _alive(self, host: str) -> bool:
        """An agent that went down with its host is started anew; one that was lost otherwise is not."""
        if self._agents[host].alive(ALIVE_TIMEOUT_S):
            return True
        if self._revive is None or host not in self._nemesis.downed:
            return False
        try:
            self._revive(host)
        except EnvironmentBroken:
            return False
        return True

    def _state(self) -> State:
        try:
            return self._orchestrator.state(self._cluster, self._plan)
        except EnvironmentBroken as error:
            return State((error.message,), {})

    def _announce(self, load: Load) -> None:
        counts: Counter[str] = Counter()
        for assignment in load.assignments:
            for name, value in assignment.program.params.items():
                if name in COUNTED:
                    counts[name] += len(value)
        if counts:
            endpoints = len(self._scene.containers)
            self._say(", ".join([f"{endpoints} endpoints", *(f"{n} {what}" for what, n in counts.items())]))

    def _rng(self, purpose: str) -> random.Random:
        """The same seed, check and purpose give the same choices."""
        return random.Random(f"{self._plan.seed}/{self._check.id}/{purpose}")  # noqa: S311 - choices, no secrets

    def _say(self, text: str) -> None:
        """Say it once: stages that repeat themselves are one line."""
        if text != self._said:
            self._said = text
            self._progress(f"{self._check.id}: {text}")


def _following(stages: Generator[Stage, Scene, None], scene: Scene) -> Stage | None:
    try:
        return stages.send(scene)
    except StopIteration:
        return None
