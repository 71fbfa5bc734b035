"""Names and labels of what Swarm runs for us."""

from __future__ import annotations

from harness.model.plan import Plan, Target

SERVICE_LABEL = "harness.service"
STACK_FILE = "stack.yaml"


def stack(plan: Plan) -> str:
    return plan.cluster


def service(plan: Plan, name: str) -> str:
    """What `docker service ls` calls it."""
    return f"{stack(plan)}_{name}"


def plain(plan: Plan, name: str) -> str:
    """The name of a plain container."""
    return plan.engine_name(name)


def scheduled(plan: Plan) -> list[Target]:
    return [target for target in plan.targets if target.kind != "plain"]
