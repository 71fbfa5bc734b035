"""The timeline of a check's faults: inject, hold until felt, heal, recover; healing in every way out."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from harness.faults import configured
from harness.model.errors import EnvironmentBroken, UsageError
from harness.model.plan import Plan
from harness.model.topology import Fault as FaultSpec
from harness.ports import Cluster, Fault, Felt, Progress
from harness.runner._journal import Journal
from harness.runner._seams import Clock
from harness.runner.targets import choose_targets

FAULT_TIMEOUT_S = 30.0
#: A fault that shows no effect is held this many times as long as it was asked for, and no longer.
HOLD_LIMIT = 3
FELT_EVERY_S = 0.25
FELT_TIMEOUT_S = 5.0
RECOVER_EVERY_S = 0.25
HEAL_ATTEMPTS = 3
#: Faults that end all that runs on the nodes that they strike.
POWER = frozenset({"kill"})
#: Faults that end pods, and with them the agents that stand in pods: those of a cluster that gives no shell.
EVICTING = frozenset({"delete-pod", "drain"})


@dataclass
class Nemesis:
    """Injects the faults of one check. `recovered` says whether the cluster is as it must be.

    Faults run one after another, in the order of their `at_s`, which counts from the start of the load. One that
    comes due while another lasts starts when that has recovered; a repetition starts `at_s` after the one before
    has recovered.
    """

    cluster: Cluster
    plan: Plan
    faults: Mapping[str, Fault]
    journal: Journal
    progress: Progress
    clock: Clock
    rng: random.Random
    recovered: Callable[[], bool]
    recover_s: float
    check: str
    unhealed: list[str] = field(default_factory=list)
    #: Nodes that lost what ran on them, agents among it. The check's runner empties it.
    downed: set[str] = field(default_factory=set)

    def refuse_nonsense(self, specs: Sequence[FaultSpec]) -> None:
        """Raises UsageError for a fault or a target that cannot be, before anything is touched."""
        for spec in specs:
            if spec.fault not in self.faults:
                known = ", ".join(sorted(self.faults)) or "none"
                raise UsageError(f"check {self.check}: no fault is called {spec.fault!r}; there are {known}")
            choose_targets(spec, self.plan, random.Random(0))  # noqa: S311 - a trial choice

    def run(self, specs: Sequence[FaultSpec], start_s: float) -> None:
        for spec in sorted(specs, key=lambda spec: spec.at_s):
            due_s = start_s + spec.at_s
            for _ in range(spec.repeat):
                self.clock.sleep_until(due_s)
                self._strike(spec, choose_targets(spec, self.plan, self.rng))
                due_s = self.clock.now_s() + spec.at_s

    def _strike(self, spec: FaultSpec, targets: tuple[str, ...]) -> None:
        fault = configured(self.faults[spec.fault], spec.params)
        self._say(f"{spec.fault} on {', '.join(targets)} ({spec.direction})")
        try:
            self._inject(fault, spec, targets)
            self._hold(fault, spec, targets)
        finally:
            self._heal(fault, targets)
        self._recover(spec.fault, targets)

    def hold(self, specs: Sequence[FaultSpec], work: Callable[[], None]) -> None:
        """All faults at once, each held until it was felt, and `work` while they hold; then all are healed."""
        struck = [
            (configured(self.faults[spec.fault], spec.params), spec, choose_targets(spec, self.plan, self.rng))
            for spec in specs
        ]
        try:
            for fault, spec, targets in struck:
                self._say(f"{spec.fault} on {', '.join(targets)} ({spec.direction})")
                self._inject(fault, spec, targets)
            for fault, spec, targets in struck:
                self._feel(fault, spec, targets)
            start_ns = self.clock.now_ns()
            work()
            for fault, _, targets in struck:
                self.journal.fault(fault.name, targets, "hold", start_ns)
        finally:
            for fault, _, targets in reversed(struck):
                self._heal(fault, targets)
        for fault, _, targets in struck:
            self._recover(fault.name, targets)

    def _feel(self, fault: Fault, spec: FaultSpec, targets: tuple[str, ...]) -> None:
        start_ns = self.clock.now_ns()
        felt = self._until_felt(fault, spec, targets, self.clock.now_s() + HOLD_LIMIT * spec.hold_s)
        self.journal.felt(spec.fault, targets, felt, start_ns)
        self._say(f"{spec.fault} {'felt' if felt.felt else 'not felt'}: {felt.evidence}")

    def _inject(self, fault: Fault, spec: FaultSpec, targets: tuple[str, ...]) -> None:
        start_ns, outcome = self.clock.now_ns(), "info"
        if fault.name in POWER or (fault.name in EVICTING and self.cluster.api is not None):
            self.downed.update(target for target in targets if target in self.cluster.hosts)
        try:
            fault.inject(self.cluster, targets, spec.direction, timeout_s=FAULT_TIMEOUT_S)
            outcome = "ok"
        finally:
            self.journal.fault(spec.fault, targets, "inject", start_ns, outcome)

    def _hold(self, fault: Fault, spec: FaultSpec, targets: tuple[str, ...]) -> None:
        """At least `hold_s`, and until it was felt, but at most HOLD_LIMIT times as long."""
        start_ns, start_s = self.clock.now_ns(), self.clock.now_s()
        felt = self._until_felt(fault, spec, targets, start_s + HOLD_LIMIT * spec.hold_s)
        self.journal.felt(spec.fault, targets, felt, start_ns)
        self._say(f"{spec.fault} {'felt' if felt.felt else 'not felt'}: {felt.evidence}")
        self.clock.sleep_until(start_s + spec.hold_s)
        self.journal.fault(spec.fault, targets, "hold", start_ns)

    def _until_felt(self, fault: Fault, spec: FaultSpec, targets: tuple[str, ...], end_s: float) -> Felt:
        while True:
            felt = self._ask(fault, spec, targets)
            if felt.felt or self.clock.now_s() + FELT_EVERY_S > end_s:
                return felt
            self.clock.sleep(FELT_EVERY_S)

    def _ask(self, fault: Fault, spec: FaultSpec, targets: tuple[str, ...]) -> Felt:
        try:
            return fault.felt(self.cluster, targets, spec.direction, timeout_s=FELT_TIMEOUT_S)
        except EnvironmentBroken as error:
            return Felt(False, f"the fault's probe failed: {error.message}")

    def _heal(self, fault: Fault, targets: tuple[str, ...]) -> None:
        """Healing is idempotent, so it is tried again. What cannot be healed leaves a dirty cluster."""
        start_ns, healed = self.clock.now_ns(), False
        try:
            healed = any(self._heals(fault) for _ in range(HEAL_ATTEMPTS))
        finally:
            if not healed:
                self.unhealed.append(f"{fault.name} on {', '.join(targets)} could not be healed")
            self.journal.fault(fault.name, targets, "heal", start_ns, "ok" if healed else "fail")

    def _heals(self, fault: Fault) -> bool:
        try:
            fault.heal(self.cluster, timeout_s=FAULT_TIMEOUT_S)
        except EnvironmentBroken as error:
            self._say(f"{fault.name} not healed yet: {error.message}")
            return False
        return True

    def _recover(self, name: str, targets: tuple[str, ...]) -> None:
        """Wait until every agent answers and nothing is unhealthy; the check goes on either way."""
        start_ns = self.clock.now_ns()
        recovered = self.clock.until(self.recovered, self.recover_s, RECOVER_EVERY_S)
        self.journal.fault(name, targets, "recover", start_ns, "ok" if recovered else "fail")
        self._say(f"{name} healed" + ("" if recovered else f", but not recovered within {self.recover_s:g} s"))

    def _say(self, text: str) -> None:
        self.progress(f"{self.check}: {text}")
