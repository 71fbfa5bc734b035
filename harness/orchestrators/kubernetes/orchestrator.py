"""The Orchestrator seam, for Kubernetes."""

from __future__ import annotations

import itertools
from collections import Counter
from functools import partial

from harness.model.errors import CommandFailed, EnvironmentBroken, HarnessError
from harness.model.plan import LABEL, Demand, Plan, Step
from harness.model.topology import Topology
from harness.orchestrators import phases
from harness.orchestrators.hosts import must
from harness.orchestrators.kubernetes import (
    acting,
    attaching,
    classes,
    enforcement,
    joining,
    looking,
    names,
    rules,
    waiting,
)
from harness.orchestrators.kubernetes.render import PODS_PHASE, REMOVE_TIMEOUT_S
from harness.ports import Act, Cluster, Container, Host, Progress, Sight, State
from harness.transport import admission
from harness.transport.pods import await_gone


class Kubernetes:
    """Kubernetes by kubectl. Keeps no state: what it knows stands in labels and in the plan."""

    name = "kubernetes"

    def demands(self, topology: Topology) -> list[Demand]:
        return rules.demands(topology)

    def join(self, cluster: Cluster, plan: Plan, progress: Progress) -> None:
        joining.join(cluster, plan, progress)

    def apply(self, cluster: Cluster, plan: Plan, progress: Progress) -> None:
        classes.require(cluster, plan)
        is_ours = enforcement.enforce(cluster, plan, progress)
        attaching.attach(cluster, plan, progress)
        phases.execute(cluster, plan, plan.steps, partial(_run, cluster), progress)
        waiting.await_running(cluster, plan, progress)
        waiting.await_dns(cluster, plan, progress)
        if is_ours:
            enforcement.await_enforced(cluster, plan)
        enforcement.await_known(cluster, plan)

    def containers(self, cluster: Cluster, plan: Plan, service: str | None = None) -> list[Container]:
        return looking.containers(cluster, plan, service)

    def look(self, cluster: Cluster, plan: Plan) -> Sight:
        return looking.sight(cluster, plan)

    def perform(
        self, cluster: Cluster, plan: Plan, act: Act, container: Container | None, *, timeout_s: float
    ) -> None:
        acting.perform(cluster, plan, act, container, timeout_s=timeout_s)

    def state(self, cluster: Cluster, plan: Plan) -> State:
        try:
            running = Counter(container.service for container in looking.containers(cluster, plan))
            complaints = waiting.complaints(cluster, plan, running)
        except HarnessError as error:
            return State((f"the control plane does not answer: {error.message}",), {})
        absent = [t.service for t in plan.targets if t.kind == "plain" and not running[t.service]]
        return State((*complaints, *(f"container {name} does not run" for name in absent)), running)

    def delete(self, cluster: Cluster, plan: Plan) -> None:
        """All undo steps are tried; then the first error is raised. What comes after pods waits for their end."""
        errors: list[HarnessError] = []

        def attempt(host: Host, plan: Plan, step: Step) -> None:
            try:
                _run(cluster, host, plan, step)
            except HarnessError as error:
                errors.append(error)

        for phase, steps in itertools.groupby(plan.undo, key=lambda step: step.phase):
            phases.execute(cluster, plan, list(steps), attempt, lambda _line: None)
            if phase == PODS_PHASE:
                _await_gone(cluster, plan, errors)
        if errors:
            raise errors[0]


def _await_gone(cluster: Cluster, plan: Plan, errors: list[HarnessError]) -> None:
    where = ("--all-namespaces",) if cluster.api is None else ("--namespace", plan.namespace)
    selected = (*where, "-l", f"{LABEL}={plan.run},{names.SERVICE_LABEL}")
    try:
        await_gone(names.manager(cluster, plan), names.client(plan), selected, timeout_s=REMOVE_TIMEOUT_S)
    except HarnessError as error:
        errors.append(error)


def _run(cluster: Cluster, host: Host, plan: Plan, step: Step) -> None:
    """Once. Raises CommandFailed; where pods are not let in EnvironmentBroken with the cluster's words."""
    document = names.away(cluster, plan.document(step.document).text).encode() if step.document else b""
    try:
        must(cluster.api or host, step.argv, timeout_s=step.timeout_s, stdin=document)
    except CommandFailed as error:
        if refused := [line for line in error.output.splitlines() if admission.is_refused(line)]:
            raise EnvironmentBroken("; ".join(refused), hint=admission.HINT) from error
        raise
