"""The last reads are repeated from a fresh mount where a store has one, by readers of their own; it is undone."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from harness.model.plan import Plan, StorePlan, Target
from harness.model.topology import Topology
from harness.ports import Commands, Container, Load, Repeat, Scene, Stage
from harness.workloads import REGISTRY
from tests.checkers_scene import make_check, make_plan, volume_plan

SCENE = Scene(
    tuple(Container(f"edge.{node}", "edge", node, f"id-{node}", 7) for node in ("n1", "n2")),
    {"n1": "10.0.0.1", "n2": "10.0.0.2"},
)


def plan_with(fresh: str) -> Plan:
    store = StorePlan("pool", "glusterfs", ("n1",), "/harness/stores/pool", ("data",), fresh=fresh)
    volume = replace(volume_plan(shared=True), store="pool")
    target = Target("edge", 2, "global", {}, mounts={"data": "/data"})
    services = {"edge": {"deploy": {"mode": "global"}}}
    volumes = {"data": {"driver": "glusterfs", "store": "pool"}}
    topology = Topology.model_validate({"name": "t", "services": services, "volumes": volumes})
    return replace(make_plan(volumes=(volume,), targets=(target,)), stores=(store,), topology=topology)


def stages(kind: str, plan: Plan) -> list[Stage]:
    check = make_check(
        kind,
        volume="data",
        **REGISTRY[kind].params.model_validate({"volume": "data"}).model_dump(exclude={"volume"}),
    )
    running, found = REGISTRY[kind].stages(check, plan, random.Random(1)), []
    stage = next(running, None)
    while stage is not None:
        found.append(stage)
        try:
            stage = running.send(SCENE)
        except StopIteration:
            break
    return found


KINDS = ("concurrent-append", "counter", "durability")


@pytest.mark.parametrize("kind", KINDS)
def test_readers_on_every_node_read_again_beside_its_containers(kind: str) -> None:
    made = stages(kind, plan_with("/harness/fresh/pool"))
    at = next(place for place, stage in enumerate(made) if isinstance(stage, Commands))
    mounts, _looks, reads = made[at:]
    assert isinstance(mounts, Commands)
    assert [command.argv for command in mounts.commands] == [
        ("sh", "-eu", "/var/lib/harness/stores/pool/fresh", "on")
    ] * 2
    assert {command.undo[-1] for command in mounts.commands} == {"off"}
    load = reads.load if isinstance(reads, Repeat) else reads
    assert isinstance(load, Load)
    for assignment in load.assignments:
        readers: list[dict[str, Any]] = (
            assignment.program.params.get("readers") or assignment.program.params["workers"]
        )
        assert [(r["process"], r["pid"]) for r in readers] == [(f"fresh-{assignment.host}", 0)]
        assert readers[0]["path"].startswith("/harness/fresh/pool/data/.harness-")


@pytest.mark.parametrize("kind", KINDS)
def test_a_volume_without_a_fresh_mount_is_read_as_before(kind: str) -> None:
    assert not any(isinstance(stage, Commands) for stage in stages(kind, plan_with("")))


@pytest.mark.parametrize("kind", sorted({"register", "close-to-open", "names", "blocks", "visibility"}))
def test_other_checks_mount_nothing(kind: str) -> None:
    assert not any(isinstance(stage, Commands) for stage in stages(kind, plan_with("/harness/fresh/pool")))
