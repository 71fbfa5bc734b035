"""A plan's services as a stack file and as `docker run`. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from harness.model.errors import UsageError
from harness.model.plan import LABEL, Demand, Document, NodePlan, Plan, Step
from harness.model.topology import Service, Topology
from harness.orchestrators import constraints
from harness.orchestrators.swarm import names, rules
from harness.orchestrators.swarm.plain import run_argv
from harness.orchestrators.swarm.stackfile import stack_file
from harness.ports import Declared

DEPLOY_TIMEOUT_S = 120.0
RUN_TIMEOUT_S = 120.0
REMOVE_TIMEOUT_S = 60.0
_REMOVE = 'ids=$(docker ps -aq --filter "label=$1") || exit 1; [ -z "$ids" ] || docker rm --force --volumes $ids'
#: Swarm refuses longer service names.
MAX_SERVICE_NAME = 63


class SwarmRendering:
    """Scheduled services become one stack, those with `node` become plain containers."""

    def demands(self, topology: Topology) -> list[Demand]:
        return rules.demands(topology)

    def problems(self, topology: Topology, nodes: Sequence[NodePlan]) -> list[tuple[str, str]]:
        return rules.problems(topology, nodes)

    def notes(self, topology: Topology) -> list[str]:
        return rules.notes(topology)

    def eligible(self, service: Service, nodes: Sequence[NodePlan]) -> list[str]:
        return constraints.eligible(service, nodes)

    def tasks_name(self, service: str) -> str:
        return f"tasks.{service}"

    def declare(
        self, plan: Plan, networks: Mapping[str, Declared], volumes: Mapping[str, Declared], image: str
    ) -> Declared:
        """Raises UsageError where the run's id makes a service's name too long for Swarm."""
        _check_lengths(plan)
        document = Document(names.STACK_FILE, stack_file(plan, networks, volumes, image))
        scheduled = bool(names.scheduled(plan))
        return Declared(
            steps=(*_deploy(plan, scheduled), *_runs(plan, networks, volumes, image)),
            undo=(*_stack_removal(plan, scheduled), *_removals(plan, scheduled)),
            documents=(document,),
        )


def _check_lengths(plan: Plan) -> None:
    for target in names.scheduled(plan):
        name = names.service(plan, target.service)
        if len(name) > MAX_SERVICE_NAME:
            raise UsageError(
                f"Swarm takes service names of {MAX_SERVICE_NAME} characters; {name} has {len(name)}",
                hint="choose a shorter id for the run or a shorter name for the service",
            )


def _deploy(plan: Plan, scheduled: bool) -> Iterator[Step]:
    if not scheduled:
        return
    # engines before 26 have no --detach here; none up to 28.5 waits for services unless told to
    argv = ("docker", "stack", "deploy", "--resolve-image", "never", "-c", "-")
    yield Step(
        "services",
        "deploy the scheduled services",
        plan.managers[0],
        (*argv, names.stack(plan)),
        DEPLOY_TIMEOUT_S,
        names.STACK_FILE,
    )


def _runs(
    plan: Plan, networks: Mapping[str, Declared], volumes: Mapping[str, Declared], image: str
) -> Iterator[Step]:
    for name, service in plan.topology.services.items():
        if service.node:
            argv = run_argv(plan, name, networks, volumes, image)
            yield Step("containers", f"start {name}", service.node, argv, RUN_TIMEOUT_S)


def _removals(plan: Plan, scheduled: bool) -> Iterator[Step]:
    """Tasks as well: Swarm itself takes seconds to stop one that nobody needs any more."""
    plain = {target.node for target in plan.targets if target.kind == "plain"}
    for node in plan.nodes:
        if scheduled or node.name in plain:
            argv = ("sh", "-c", _REMOVE, "sh", f"{LABEL}={plan.run}")
            yield Step("remove containers", "remove what is left", node.name, argv, REMOVE_TIMEOUT_S)


def _stack_removal(plan: Plan, scheduled: bool) -> Iterator[Step]:
    if scheduled:
        argv = ("docker", "stack", "rm", names.stack(plan))
        yield Step("remove services", "remove the stack", plan.managers[0], argv, REMOVE_TIMEOUT_S)
