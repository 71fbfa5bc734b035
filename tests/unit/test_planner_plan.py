"""From a topology to a plan: what is expected, what is done, what is refused."""

from __future__ import annotations

import json
from itertools import groupby

import pytest

from harness.model.errors import UsageError
from harness.model.plan import Demand, plan_from_json, plan_to_json
from harness.planner import describe
from harness.planner.planning import merge_demands
from tests.planner_topologies import EXAMPLE, planned, problem_keys


def test_the_same_arguments_give_the_same_plan_and_json_gives_it_back() -> None:
    made = planned()
    assert made == planned()
    assert plan_from_json(json.loads(json.dumps(plan_to_json(made)))) == made


def test_targets_say_how_many_containers_answer_under_which_names() -> None:
    made = planned()
    assert {(t.service, t.kind, t.containers, t.node, t.host) for t in made.targets} == {
        ("web", "replicated", 3, "", False),
        ("edge", "global", 3, "", False),
        ("probe", "plain", 1, "n1", False),
        ("bare", "plain", 1, "n2", True),
    }
    assert made.target("web").networks == {"app": ("web", "www")}
    assert made.target("web").mounts == {"shared": "/data"}
    assert made.target("bare").networks == {}
    assert made.target("edge").ports == ({"target": 5000, "published": 8000, "protocol": "tcp", "mode": "host"},)


def test_a_global_service_counts_only_the_nodes_that_its_constraints_allow() -> None:
    deploy = {"mode": "global", "placement": {"constraints": ["node.role == worker", "node.hostname!=n3"]}}
    made = planned("name: a", services={"edge": {"deploy": deploy}})
    assert made.target("edge").containers == 1


def test_steps_run_networks_first_and_are_undone_last() -> None:
    made = planned()
    assert [phase for phase, _ in groupby(made.steps, key=lambda step: step.phase)] == [
        "networks",
        "volumes",
        "services",
        "containers",
    ]
    assert [phase for phase, _ in groupby(made.undo, key=lambda step: step.phase)] == [
        "remove services",
        "remove containers",
        "remove volumes",
        "remove networks",
    ]
    assert all(step.timeout_s > 0 for step in (*made.steps, *made.undo))
    assert {step.node for step in made.steps if step.phase in ("networks", "services")} == {"n1"}


def test_demands_of_everyone_are_merged_before_a_host_is_made() -> None:
    extra = [Demand("vxlan", "network app"), Demand("bridge", "provider docker")]
    vip = {"web": {"deploy": {"endpoint_mode": "vip"}, "ports": ["8000:80"]}}
    found = [(d.feature, d.wanted_by, d.part) for d in planned(demands=extra, services=vip).demands]
    assert found == [
        ("vxlan", "network app", ""),
        ("bridge", "provider docker", ""),
        ("ipvs", "service web", "vip"),
        ("ipvs", "service web", "ingress"),
    ]


def test_merged_demands_add_nodes_up_and_none_means_all() -> None:
    wanted = [Demand("loop", "store a", nodes=("n1",)), Demand("loop", "store a", nodes=("n2", "n1"))]
    assert merge_demands(wanted) == (Demand("loop", "store a", nodes=("n1", "n2")),)
    assert merge_demands([*wanted, Demand("loop", "store a")]) == (Demand("loop", "store a"),)
    assert merge_demands([Demand("loop", "store a"), *wanted]) == (Demand("loop", "store a"),)


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("networks: {a: {driver: weave}}", ["networks.a.driver"]),
        ("volumes: {v: {driver: floppy}}", ["volumes.v.driver"]),
        (
            "networks: {a: {driver: overlay, driver_opts: {com.docker.network.driver.mtu: 1501}}}",
            ["networks.a.driver_opts.com.docker.network.driver.mtu"],
        ),
        (
            "networks: {a: {driver: overlay, ipam: {config: [{subnet: 10.9.0.0/16}]}}, "
            "b: {driver: overlay, ipam: {config: [{subnet: 10.9.8.0/24}]}}}",
            ["networks.b.ipam.config.0.subnet"],
        ),
    ],
)
def test_problems_name_the_key(text: str, keys: list[str]) -> None:
    assert problem_keys(f"name: x\n{text}") == keys


def test_the_example_has_no_problem_and_a_jumbo_wire_allows_a_jumbo_mtu() -> None:
    assert problem_keys(EXAMPLE) == []
    jumbo = "name: x\nnetworks: {a: {driver: overlay, driver_opts: {com.docker.network.driver.mtu: 9000}}}"
    assert problem_keys(jumbo, wire_mtu=9000) == []


def test_a_topology_with_problems_is_never_planned() -> None:
    with pytest.raises(UsageError, match=r"networks\.a\.driver: .* no driver 'weave'; there is .*overlay"):
        planned("name: x", networks={"a": {"driver": "weave"}})


def test_a_description_shows_every_step_and_every_document() -> None:
    made = planned()
    text = describe(made)
    for step in (*made.steps, *made.undo):
        assert step.argv[-1] in text
        assert step.title in text
    assert "docker stack deploy --resolve-image never -c - harness-r1 < stack.yaml" in text
    assert all(f"  {line}" in text for line in made.documents[0].text.splitlines())
