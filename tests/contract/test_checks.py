"""What every kind of check keeps to: its workload and its checker, which stand under one name."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from pydantic import BaseModel

from harness import checkers, workloads
from harness.features import feature
from harness.model.history import History
from harness.model.topology import Check, Cluster
from harness.ports import Commands, Load, Look, Repeat, Stage, Under
from harness.session import CATALOG
from harness.session.registries import ORCHESTRATORS
from tests.runner_fakes import APP, make_check, make_plan, make_scene, walk

#: Parameters without a default: the volume that a check is about.
NEEDED: dict[str, dict[str, Any]] = {
    kind: {"volume": "shared"}
    for kind, workload in workloads.REGISTRY.items()
    if "volume" in workload.params.model_fields
}
NEEDED["commands"] = {"steps": [{"name": "look", "node": "n1", "run": "true"}]}
kinds = pytest.mark.parametrize("kind", sorted(workloads.REGISTRY))


def check_of(kind: str) -> Check:
    params = workloads.REGISTRY[kind].params.model_validate(NEEDED.get(kind, {}))
    return make_check(kind, **params.model_dump(mode="json"))


def test_workloads_and_checkers_have_the_same_names_and_the_catalogue_knows_them() -> None:
    assert set(workloads.REGISTRY) == set(checkers.REGISTRY) == set(CATALOG.checks)
    assert not set(CATALOG.checks) & CATALOG.checks_later


@kinds
def test_a_workload_bears_its_name_and_all_its_parameters_are_described(kind: str) -> None:
    workload = workloads.REGISTRY[kind]
    assert workload.name == kind
    assert list(_undescribed(workload.params)) == []


def _undescribed(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        if not field.description:
            yield name
        for inner in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                yield from (f"{name}.{below}" for below in _undescribed(inner))


@kinds
def test_what_a_check_does_not_know_is_refused(kind: str) -> None:
    with pytest.raises(ValueError, match="Extra inputs"):
        workloads.REGISTRY[kind].params.model_validate({**NEEDED.get(kind, {}), "no_such_parameter": 1})


@pytest.mark.parametrize("orchestrator", sorted(ORCHESTRATORS))
@kinds
def test_a_check_of_what_only_one_orchestrator_has_is_refused_on_others(kind: str, orchestrator: str) -> None:
    check = check_of(kind)
    cluster = Cluster(provider={"swarm": "docker", "kubernetes": "kind"}[orchestrator], orchestrator=orchestrator)
    topology = make_plan(check).topology.model_copy(update={"cluster": cluster, "checks": [check]})
    told = [message for key, message in CATALOG.problems(topology) if key == f"checks.{check.id}"]
    subject = workloads.REGISTRY[kind].subject
    if subject is None or subject[0] == orchestrator:
        assert told == []
    else:
        assert told == [f"this check is about {subject[1]}: only orchestrator {subject[0]} has that"]


@kinds
def test_demands_are_features_that_can_be_probed(kind: str) -> None:
    check, plan = check_of(kind), make_plan()
    demands = workloads.REGISTRY[kind].demands(check, plan.topology)
    assert [feature(demand.feature).name for demand in demands] == [demand.feature for demand in demands]


@kinds
def test_stages_begin_with_a_look_and_at_most_one_load_takes_the_faults(kind: str) -> None:
    check = check_of(kind)
    plan = make_plan(check)
    stages = walk(workloads.REGISTRY[kind].stages(check, plan, random.Random(1)), make_scene())
    assert isinstance(stages[0], Look)
    assert all(isinstance(stage, Stage) for stage in stages)
    assert sum(isinstance(stage, Load) and stage.faults for stage in stages) <= 1
    assert any(isinstance(stage, Load | Repeat | Commands | Under) for stage in stages)


@kinds
def test_every_call_has_a_deadline_and_goes_to_a_node_of_the_scene(kind: str) -> None:
    check, scene = check_of(kind), make_scene()
    stages = walk(workloads.REGISTRY[kind].stages(check, make_plan(check), random.Random(1)), scene)
    whole = [stage.load if isinstance(stage, Repeat) else stage for stage in stages]
    for assignment in (each for load in whole if isinstance(load, Load) for each in load.assignments):
        assert assignment.program.timeout_s > 0
        assert assignment.host in scene.nodes
    for command in (each for stage in whole if isinstance(stage, Commands) for each in stage.commands):
        assert command.timeout_s > 0
        assert command.host in {"", *scene.nodes}


@kinds
def test_the_same_seed_gives_the_same_stages(kind: str) -> None:
    check = check_of(kind)
    first, again = (
        walk(workloads.REGISTRY[kind].stages(check, make_plan(check), random.Random(5)), make_scene())
        for _ in range(2)
    )
    assert [_plain(stage) for stage in first] == [_plain(stage) for stage in again]


def _plain(stage: object) -> object:
    """A stage without the function in it, which is made anew each time."""
    return stage.load if isinstance(stage, Repeat) else stage


@kinds
def test_an_empty_history_is_unknown_and_never_an_error(kind: str) -> None:
    check = check_of(kind)
    verdict = checkers.judge(History.of([]), make_plan(check), check)
    assert (verdict.verdict, verdict.name, verdict.id) == ("unknown", kind, check.id)
    assert "nothing was recorded" in verdict.reason


@kinds
def test_rows_of_another_check_are_not_this_ones(kind: str) -> None:
    check = check_of(kind)
    other = History.of_batches(
        [{"n": 3, "f": "tcp", "check": "other", "key": "ip|app|4|web.1|10.0.0.1", "value": "ok"}]
    )
    assert checkers.judge(other, make_plan(check), check).verdict == "unknown"


@kinds
def test_the_same_rows_give_the_same_verdict_and_are_left_as_they_were(kind: str) -> None:
    check, history = check_of(kind), some_rows(kind)
    before = list(history.ops())
    first, again = (checkers.judge(history, make_plan(check), check) for _ in range(2))
    assert first == again
    assert "crashed" not in first.reason
    assert list(history.ops()) == before


@kinds
def test_a_network_that_is_gone_from_the_plan_is_no_crash_for_the_caller(kind: str) -> None:
    """Whatever does not fit together: judge answers, and never with pass."""
    check = check_of(kind)
    bare = replace(make_plan(check), networks=(), volumes=(), targets=())
    assert checkers.judge(some_rows(kind), bare, check).verdict != "pass"


def some_rows(kind: str) -> History:
    """A few rows of every kind, none of which a checker may trip over."""
    probe = f"ip|{APP}|4|web.2|10.0.0.2"
    rows = [
        ("tcp", "web.1", probe, "timeout"),
        ("icmp", "web.1", probe, "ok"),
        ("df", "web.1", probe, "mtu"),
        ("bulk", "web.1", probe, "ok web.2"),
        ("dns", "web.1", f"start|{APP}|web", "10.0.0.1,10.0.0.2"),
        ("truth", "", f"start|{APP}|web", "10.0.0.1"),
        ("stream", "web.1", probe, "ok web.2"),
        ("rtt", "web.1", probe, "ok web.2"),
        ("beat", "web.1", probe, "ok web.2"),
        ("append", "web.1", "shared", (1 << 32) | 1),
        ("read", "web.2", "shared", "0" * 64),
        ("put", "web.1", "shared|0", (1 << 32) | 1),
        ("get", "web.2", "shared|0", (1 << 32) | 1),
        ("save", "web.1", "shared|0", (1 << 32) | 2),
        ("load", "web.2", "shared|0", 0),
        ("mount", "web.2", "start|shared", "1 ext4 /dev/x"),
        ("nonce", "web.2", "shared|web.1", "seen"),
        ("endpoint", "web.1", f"start|{APP}", "10.0.0.1"),
    ]
    shared = {"n": 1, "host": "n1", "check": kind, "process": "p1", "length": 100, "start_ns": 5, "end_ns": 9}
    return History.of_batches([{**shared, "f": f, "at": at, "key": key, "value": v} for f, at, key, v in rows])
