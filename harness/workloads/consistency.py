"""consistency: what nodes know of a service's tasks, by names and by overlay tables, while it scales and flaps."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from pydantic import Field

from harness.model.errors import UsageError
from harness.model.history import History
from harness.model.plan import Plan, Target
from harness.model.tables import Endpoint, Tables, differences
from harness.model.topology import Check
from harness.ports import Act, Acts, Command, Commands, Look, Repeat, Scene
from harness.workloads._experiment import Experiment, Params, Stages
from harness.workloads._names import Names, lookup_load
from harness.workloads._places import members

COMMAND_TIMEOUT_S = 15.0
#: One line each: the network's endpoints on this node as the engine has them, the remote ones' MACs with the node
#: that they are behind, and their addresses. The engine keeps both tables in a namespace named after the network.
_TABLES = (
    'id=$(docker network inspect --format "{{.Id}}" "$1") || exit 1; '
    'space=/run/docker/netns/1-$(echo "$id" | cut -c1-10); '
    'docker network inspect --format "{{json .Containers}}" "$1" && '
    'nsenter --net="$space" bridge -json fdb show dev vxlan0 && echo && '
    'nsenter --net="$space" ip -json neigh show dev vxlan0'
)


class ConsistencyParams(Params):
    service: str | None = Field(None, description="A replicated service; default: the first on an overlay network")
    scale_to: int | None = Field(
        None, ge=1, le=500, description="Replicas to scale to and back; default: two more than there are"
    )
    flaps: int = Field(1, ge=0, le=20, description="How often it is scaled down to one and back at the end")
    within_s: float = Field(20.0, ge=0.5, le=600, description="How soon after a change all must agree")
    timeout_s: float = Field(2.0, ge=0.1, le=60, description="How long one lookup may take")


def run(params: ConsistencyParams, check: Check, plan: Plan, rng: random.Random) -> Stages:
    target = _target(params, check, plan)
    network = next(name for name in target.networks if plan.network(name).driver == "overlay")
    back = Act("scale", target.service, replicas=target.containers)
    more = Act("scale", target.service, replicas=params.scale_to or target.containers + 2)
    less = Act("scale", target.service, replicas=1)
    phases = [
        ("start", []),
        ("scaled-up", [more]),
        ("scaled-down", [back]),
        ("flapped", [less, back] * params.flaps),
    ]
    for phase, acts in phases:
        for act in acts:
            yield Acts((act,))
        if acts or phase == "start":
            yield from _asked(phase, params, plan, target, network, rng)


def _asked(
    phase: str, params: ConsistencyParams, plan: Plan, target: Target, network: str, rng: random.Random
) -> Stages:
    scene = yield Look(phase)
    names = Names(scene, plan, frozenset([target.service]))
    lookups = names.lookups(phase, params.timeout_s, rng)
    if lookups:
        yield Repeat(lookup_load(lookups, params.timeout_s), names.right, params.within_s)
    here = endpoints(scene, network)
    yield Repeat(Commands(tuple(_tables(phase, plan, network, scene))), _agree(here), params.within_s)


def endpoints(scene: Scene, network: str) -> list[Endpoint]:
    """All containers on a network, each with the address of its node."""
    return [
        Endpoint(c.name, c.node, scene.nodes[c.node], c.networks[network].ip, c.networks[network].mac)
        for c in members(scene, network)
    ]


def _agree(present: list[Endpoint]) -> Callable[[History], bool]:
    def agree(rows: History) -> bool:
        tables = [Tables.parse(row.host, str(row.value)) for row in rows.ops() if row.outcome == "ok"]
        return len(tables) == len(rows) and not list(differences(present, tables))

    return agree


def _tables(phase: str, plan: Plan, network: str, scene: Scene) -> Iterator[Command]:
    """On every node that has an endpoint: others know nothing of the network."""
    for node in dict.fromkeys(container.node for container in members(scene, network)):
        argv = ("sh", "-c", _TABLES, "sh", plan.engine_name(network))
        yield Command(node, f"{phase}|{network}", argv, COMMAND_TIMEOUT_S, at=node, f="tables")


def _target(params: ConsistencyParams, check: Check, plan: Plan) -> Target:
    """Raises UsageError where there is no such service."""
    for target in plan.targets:
        on_overlay = any(plan.network(name).driver == "overlay" for name in target.networks)
        if target.kind == "replicated" and on_overlay and params.service in (None, target.service):
            return target
    what = f"{params.service!r} is not a" if params.service else "there is no"
    raise UsageError(f"check {check.id}: {what} replicated service on an overlay network")


WORKLOAD = Experiment(
    "consistency",
    ConsistencyParams,
    run,
    on_nodes=True,
    subject=("swarm", "the tables of Docker's networks and the renaming of containers"),
)
