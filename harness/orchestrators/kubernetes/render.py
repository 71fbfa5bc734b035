"""A plan's services as steps of kubectl. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from harness.model.plan import LABEL, Demand, Document, NodePlan, Plan, Step
from harness.model.topology import Service, Topology
from harness.orchestrators import constraints
from harness.orchestrators.kubernetes import names, objects, rules
from harness.ports import Declared

APPLY_TIMEOUT_S = 60.0
REMOVE_TIMEOUT_S = 120.0
#: Kinds of what makes pods.
MAKERS = "deployments,daemonsets,statefulsets"
FOREGROUND = "--cascade=foreground"
WAITING = ("--ignore-not-found", "--wait=true")
GOING = ("--ignore-not-found", "--wait=false")
#: Of undo steps: after the first one of them pods are waited for.
PODS_PHASE, REST_PHASE = "remove services", "remove namespaces"
#: Whose clusters are ours as a whole: elsewhere we may have no say over what is in no namespace.
MADE = "kind"


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
        networks: Mapping[str, Declared],
        volumes: Mapping[str, Declared],
        image: str,
    ) -> Declared:
        documents, steps = list[Document](), list[Step]()
        if not plan.topology.cluster.is_foreign_kubernetes:  # there, its provider makes it or was given one
            documents.append(Document(names.NAMESPACE_FILE, objects.namespace(plan)))
            steps.append(_apply(plan, "namespace", "make the namespace", names.NAMESPACE_FILE))
        if policies := objects.policies(plan):  # before any pod, so that none is ever open
            documents.append(Document(names.POLICIES_FILE, policies))
            steps.append(_apply(plan, "policies", "apply policies", names.POLICIES_FILE))
        documents.append(Document(names.OBJECTS_FILE, objects.objects(plan, networks, volumes, image)))
        steps.append(_apply(plan, "services", "apply names and services", names.OBJECTS_FILE))
        removals = _removals_from_one if plan.topology.cluster.is_foreign_kubernetes else _removals
        return Declared(steps=tuple(steps), undo=tuple(removals(plan)), documents=tuple(documents))


def _apply(plan: Plan, phase: str, title: str, document: str) -> Step:
    argv = (*names.client(plan), "apply", "-f", "-")
    return Step(phase, title, plan.managers[0], argv, APPLY_TIMEOUT_S, document)


def _removals(plan: Plan) -> Iterator[Step]:
    """Whatever of the run is there, also of a topology before this one that had other namespaces.

    Pods first: a namespace's controller asks ever more rarely whether they are gone. They are told to go, and
    `Kubernetes.delete` sees to it that they do. What is not a service's (the enforcer of policies) stays with the
    cluster.
    """
    services = ("--all-namespaces", "-l", f"{LABEL}={plan.run},{names.SERVICE_LABEL}", *GOING)
    ours = ("-l", f"{LABEL}={plan.run}", *WAITING)
    yield _delete(plan, PODS_PHASE, "remove what makes pods", (MAKERS, *services, FOREGROUND))
    yield _delete(plan, PODS_PHASE, "remove pods", ("pods", *services))
    yield _delete(plan, REST_PHASE, "remove the namespaces", ("namespaces", *ours))
    if plan.provider == MADE:
        yield _delete(plan, REST_PHASE, "remove the volumes of no namespace", ("persistentvolumes", *ours))


def _removals_from_one(plan: Plan) -> Iterator[Step]:
    """From a namespace on which more may stand: the pods of agents are no services'."""
    services = ("--namespace", plan.namespace, "-l", f"{LABEL}={plan.run},{names.SERVICE_LABEL}")
    ours = ("--namespace", plan.namespace, "-l", f"{LABEL}={plan.run}", *WAITING)
    yield _delete(plan, PODS_PHASE, "remove what makes pods", (MAKERS, *services, *GOING, FOREGROUND))
    yield _delete(plan, PODS_PHASE, "remove pods", ("pods", *services, *GOING))
    yield _delete(plan, REST_PHASE, "see that what makes pods is gone", (MAKERS, *services, *WAITING))
    yield _delete(plan, REST_PHASE, "remove names and policies", ("services,networkpolicies", *ours))


def _delete(plan: Plan, phase: str, title: str, words: tuple[str, ...]) -> Step:
    argv = (*names.client(plan), "delete", *words)
    return Step(phase, title, plan.managers[0], argv, REMOVE_TIMEOUT_S)
