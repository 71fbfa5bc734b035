"""dns: what is looked up, when it counts as right, and that every change is taken back."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from harness.model.errors import UsageError
from harness.model.history import History, Op
from harness.ports import Act, Look, Repeat, Stage
from harness.workloads import REGISTRY
from tests.runner_fakes import NODES, acts, entries, make_check, make_plan, make_scene, walk

WEB = "10.0.0.1,10.0.0.2,10.0.0.3"


def stages_of(**params: Any) -> list[Stage]:
    check = make_check("dns", **params)
    return walk(REGISTRY["dns"].stages(check, make_plan(check), random.Random(1)), make_scene())


def test_phases_follow_the_changes_and_end_where_they_began() -> None:
    stages = stages_of()
    assert [s.phase for s in stages if isinstance(s, Look)] == ["start", "changed", "restored"]
    assert acts(stages) == [
        Act("scale", "web", replicas=5),
        Act("stop", "probe", container="probe"),
        Act("stop", "lone", container="lone"),
        Act("scale", "web", replicas=3),
        Act("start", "probe", container="probe"),
        Act("start", "lone", container="lone"),
    ]


def test_one_service_is_scaled_alone() -> None:
    assert acts(stages_of(service="web", scale_to=4)) == [
        Act("scale", "web", replicas=4),
        Act("scale", "web", replicas=3),
    ]
    assert acts(stages_of(service="probe"))[0] == Act("stop", "probe", container="probe")


def test_every_name_is_asked_from_one_container_on_each_node() -> None:
    asked = entries(stages_of(service="web"), "lookup", "lookups")
    start = [(host, e["name"]) for host, e in asked if e["key"].startswith("start|app|")]
    assert sorted(start) == sorted((n, name) for n in NODES for name in ("tasks.web", "web", "www"))


def test_somebody_is_left_on_each_network_to_ask_from() -> None:
    stages = stages_of()
    assert "mate" not in {act.service for act in acts(stages)}, "who else would ask for lone?"
    assert acts(stages_of(service="mate"))[0] == Act("stop", "mate", container="mate")


@pytest.mark.parametrize("service", ["edge", "bare", "nobody"])
def test_what_cannot_follow_a_change_is_refused(service: str) -> None:
    with pytest.raises(UsageError, match=service):
        stages_of(service=service)


def settled(value: str, key: str = "start|app|web") -> bool:
    repeat = next(s for s in stages_of() if isinstance(s, Repeat))
    row = Op("agent", "n1", "web.1", "dns", "dns", key, value)
    return repeat.settled(History.of([row]))


def test_a_lookup_is_right_when_it_gives_all_addresses_and_no_other() -> None:
    assert settled(WEB)
    assert settled("10.0.0.3,10.0.0.1,10.0.0.2")
    assert not settled("10.0.0.1,10.0.0.2")
    assert not settled(WEB + ",10.0.0.4")
    assert not settled("timeout")
    assert not settled("nxdomain")
    assert settled("10.0.0.21", "start|app|probe")


@pytest.mark.parametrize(
    ("value", "driver", "right"),
    [
        ("nxdomain", "overlay", True),
        ("timeout", "overlay", False),
        ("10.0.0.21", "overlay", False),
        ("timeout", "macvlan", True),
        ("10.0.0.21", "macvlan", False),
    ],
)
def test_a_stopped_name_must_be_gone(value: str, driver: str, right: bool) -> None:
    check = make_check("dns", service="probe")
    plan = make_plan(check)
    plan = replace(plan, networks=tuple(replace(network, driver=driver) for network in plan.networks))
    stages = REGISTRY["dns"].stages(check, plan, random.Random(1))
    next(stages)
    stopped = make_scene([c for c in make_scene().containers if c.name != "probe"])
    repeats = [stages.send(make_scene()) if i < 2 else stages.send(stopped) for i in range(4)]
    assert repeats[2] == Look("changed")
    assert isinstance(repeats[3], Repeat)
    row = Op("agent", "n1", "web.1", "dns", "dns", "changed|app|probe", value)
    assert repeats[3].settled(History.of([row])) is right


def stable_stages() -> list[Stage]:
    check = make_check("dns", service="web")
    plan = make_plan(check)
    plan = replace(plan, targets=tuple(replace(each, stable=each.service == "web") for each in plan.targets))
    scene = make_scene()
    named = [
        replace(each, aliases={"app": (f"web-{each.name[-1]}.web",)}) if each.service == "web" else each
        for each in scene.containers
    ]
    return walk(REGISTRY["dns"].stages(check, plan, random.Random(1)), replace(scene, containers=tuple(named)))


def test_names_of_single_containers_that_hold_are_asked_for_and_mean_them_alone() -> None:
    stages = stable_stages()
    asked = {(e["key"], e["name"]) for _, e in entries(stages, "lookup", "lookups")}
    assert ("start|app|web.2", "web-2.web") in asked
    repeat = next(stage for stage in stages if isinstance(stage, Repeat))

    def right(value: str) -> bool:
        return repeat.settled(History.of([Op("agent", "n1", "edge.n1", "dns", "dns", "start|app|web.2", value)]))

    assert right("10.0.0.2")
    assert not right(WEB)
    assert not right("nxdomain")
