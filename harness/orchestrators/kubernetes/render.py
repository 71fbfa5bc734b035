"""A plan's services as steps of kubectl. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from harness.model.plan import Demand, Document, NodePlan, Plan, Step
from harness.model.topology import Service, Topology
from harness.orchestrators import constraints
from harness.orchestrators.kubernetes import names, objects, rules
from harness.ports import Declared

APPLY_TIMEOUT_S = 60.0
REMOVE_TIMEOUT_S = 120.0


class KubernetesRendering:
    """Scheduled services become Deployments and DaemonSets, those with `node` Pods; all in one namespace."""

    def demands(self, topology: Topology) -> list[Demand]:
        return rules.demands(topology)

    def problems(self, topology: Topology, nodes: Sequence[NodePlan]) -> list[tuple[str, str]]:
        return rules.problems(topology, nodes)

    def notes(self, topology: Topology) -> list[str]:
        return rules.notes(topology)

    def eligible(self, service: Service, nodes: Sequence[NodePlan]) -> list[str]:
        return constraints.eligible(service, nodes)

    def tasks_name(self, service: str) -> str:  # noqa: ARG002 - the seam's signature
        """None: a headless service's own name means its pods exactly."""
        return ""

    def declare(
        self,
        plan: Plan,
        networks: Mapping[str, Declared],  # noqa: ARG002 - a network is no object here
        volumes: Mapping[str, Declared],
        image: str,
    ) -> Declared:
        return Declared(
            steps=(
                _apply(plan, "namespace", "make the namespace", names.NAMESPACE_FILE),
                _apply(plan, "services", "apply policies, names and services", names.OBJECTS_FILE),
            ),
            undo=tuple(_removals(plan)),
            documents=(
                Document(names.NAMESPACE_FILE, objects.namespace(plan)),
                Document(names.OBJECTS_FILE, objects.objects(plan, volumes, image)),
            ),
        )


def _apply(plan: Plan, phase: str, title: str, document: str) -> Step:
    argv = (*names.KUBECTL, "apply", "-f", "-")
    return Step(phase, title, plan.managers[0], argv, APPLY_TIMEOUT_S, document)


def _removals(plan: Plan) -> Iterator[Step]:
    """Pods first: the namespace's controller asks ever more rarely whether they are gone."""
    all_of = ("--all", "--ignore-not-found", "--wait=true")
    for title, argv in (
        ("remove what makes pods", ("deployments,daemonsets", *all_of, "--cascade=foreground")),
        ("remove pods", ("pods", *all_of)),
        ("remove the namespace", ("namespace", names.namespace(plan), "--ignore-not-found", "--wait=true")),
    ):
        command = names.kubectl(plan, "delete", *argv)
        yield Step("remove services", title, plan.managers[0], command, REMOVE_TIMEOUT_S)
