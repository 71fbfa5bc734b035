"""The check of NetworkPolicy: what is asked, and what each answer says; a CNI that enforces nothing is named."""

from __future__ import annotations

import json
import random
from dataclasses import asdict, replace
from itertools import permutations, product
from typing import Any

import pytest
import yaml

from harness import checkers, workloads
from harness.model.errors import UsageError
from harness.model.history import History, Op
from harness.model.plan import POLICIES_DOCUMENT, Document, Plan
from harness.model.policies import Connection, NetworkPolicy, Pod, shut_by
from harness.model.verdict import Verdict
from harness.ports import Commands, Container, Load, Repeat, Scene
from tests.checkers_scene import NODES, make_check, make_plan, row
from tests.runner_fakes import walk

PODS = {name: Pod("a", f"10.0.0.{number}", {"app": name}, {"team": "a"}) for number, name in enumerate("xyz", 1)}
NODE = {"x": "n1", "y": "n2", "z": "n2"}
PORTS, PROTOCOLS = (80, 81), ("tcp", "udp")
CHECK = make_check("policies", ports=list(PORTS), protocols=list(PROTOCOLS))
CNI = '{"cniVersion": "0.4.0", "name": "some-cni", "plugins": []}'


def policy(app: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": f"p-{app}", "namespace": "a"},
        "spec": {"podSelector": {"matchLabels": {"app": app}}, **spec},
    }


#: x takes TCP on port 80 from y only; z sends nothing.
POLICIES = [
    policy(
        "x",
        ingress=[{"from": [{"podSelector": {"matchLabels": {"app": "y"}}}], "ports": [{"port": 80}]}],
    ),
    policy("z", policyTypes=["Egress"]),
]


def plan_of(policies: list[dict[str, Any]] = POLICIES) -> Plan:
    document = Document(POLICIES_DOCUMENT, yaml.safe_dump_all(policies))
    return make_plan(documents=(document,) if policies else ())


def answers(
    policies: list[dict[str, Any]] = POLICIES, *, ignore: tuple[str, ...] = ()
) -> dict[tuple[str, ...], str]:
    """What a CNI answers that enforces all but `ignore`: (from, to, protocol, port) to the answer."""
    known = [NetworkPolicy.model_validate(each) for each in policies]
    told: dict[tuple[str, ...], str] = {}
    for (source, target), protocol, port in product(permutations(PODS, 2), PROTOCOLS, PORTS):
        shut = shut_by(known, Connection(PODS[source], PODS[target], protocol, port))
        is_open = not set(shut) - set(ignore)
        told[source, target, protocol, str(port)] = f"ok {target}" if is_open else "timeout"
    for target, protocol, port in product(PODS, PROTOCOLS, PORTS):
        told[NODE[target], target, protocol, str(port)] = f"ok {target}"
    return told


def rows(told: dict[tuple[str, ...], str]) -> list[Op]:
    looked = [
        row("pod", "policies", at=name, key="start|a", value=json.dumps(asdict(pod))) for name, pod in PODS.items()
    ]
    named = [row("cni", "policies", at=node, key="cni", value=CNI, outcome="ok") for node in NODES]
    probed = [
        row(
            protocol, "policies", at=source, value=value, outcome="ok" if value.startswith("ok") else "fail",
            key=f"port-{port}|-|4|{target}|{PODS[target].address}",
        )
        for (source, target, protocol, port), value in told.items()
    ]  # fmt: skip
    return [*looked, *named, *probed]


def judged(told: dict[tuple[str, ...], str], plan: Plan | None = None) -> Verdict:
    return checkers.judge(History.of(rows(told)), plan or plan_of(), CHECK)


def test_a_table_that_is_what_the_policies_say_passes() -> None:
    verdict = judged(answers())
    assert verdict.verdict == "pass", verdict.reason
    assert verdict.reason == "3 pods: 13 connections are open, 11 are shut"
    assert (verdict.correct, verdict.figures["connections"], verdict.figures["shut"]) == (24, 24, 11)


@pytest.mark.parametrize("got", ["refused", "unreachable", "timeout"])
def test_a_cni_may_drop_or_reject(got: str) -> None:
    assert judged({**answers(), ("z", "y", "tcp", "80"): got}).verdict == "pass"


def test_every_single_cell_that_differs_fails_and_is_named() -> None:
    right = answers()
    for cell in (cell for cell in right if cell[0] in PODS):
        source, target, protocol, port = cell
        wrong = "timeout" if right[cell].startswith("ok") else f"ok {target}"
        verdict = judged({**right, cell: wrong})
        assert verdict.verdict == "fail"
        [failure] = verdict.failures
        assert (failure.source, failure.target, failure.protocol, failure.via) == (
            source, target, protocol, f"port-{port}",
        )  # fmt: skip
        assert "enforces no" not in verdict.reason


def test_a_cni_that_enforces_nothing_is_named_as_such() -> None:
    verdict = judged(answers(ignore=("Ingress", "Egress")))
    assert verdict.verdict == "fail"
    expected = "the CNI (some-cni) enforces no NetworkPolicy: all 11 connections that must be shut are open"
    assert verdict.reason.startswith(expected)
    assert len(verdict.failures) == 11


def test_a_direction_that_is_not_enforced_is_named() -> None:
    verdict = judged(answers(ignore=("Egress",)))
    assert verdict.reason.startswith("the CNI (some-cni) enforces no egress: all 4 connections")


def test_silence_of_a_listener_that_does_not_answer_its_own_node_says_nothing() -> None:
    verdict = judged({**answers(), ("n1", "x", "udp", "81"): "timeout"})
    assert verdict.verdict == "unknown"
    assert "x does not answer its own node on 81/udp" in verdict.reason


def test_what_nobody_probed_is_unknown() -> None:
    told = answers()
    del told["x", "y", "tcp", "80"]
    verdict = judged(told)
    assert verdict.verdict == "unknown"
    assert "not probed: x -> y 80/tcp" in verdict.reason


def test_somebody_elses_answer_fails_and_a_foreign_listeners_is_unknown() -> None:
    assert judged({**answers(), ("x", "y", "tcp", "80"): "ok z"}).verdict == "fail"
    assert judged({**answers(), ("x", "y", "tcp", "80"): "ok ?"}).verdict == "unknown"


def test_policies_that_shut_nothing_prove_nothing() -> None:
    everybody = [policy("x", ingress=[{}])]
    assert judged(answers(everybody), plan_of(everybody)).verdict == "unknown"


def test_the_last_round_counts() -> None:
    early = rows(answers(ignore=("Ingress", "Egress")))
    verdict = checkers.judge(History.of([*early, *rows(answers())]), plan_of(), CHECK)
    assert verdict.verdict == "pass", verdict.reason


# --- what is asked


def scene() -> Scene:
    pods = [
        Container(name, name, NODE[name], f"id-{name}", 100 + number, pod=pod)
        for number, (name, pod) in enumerate(PODS.items())
    ]
    return Scene((*pods, Container("bare", "bare", "n3", "id-bare", 99, host=True)), NODES, token="secret")


def stages(plan: Plan, **params: Any) -> list[Any]:
    workload = workloads.REGISTRY["policies"]
    return walk(workload.stages(make_check("policies", **params), plan, random.Random(1)), scene())


def test_every_pair_by_every_port_and_protocol_is_asked_from_the_pod_and_from_its_own_node() -> None:
    _look, commands, listen, repeat = stages(plan_of())
    assert isinstance(commands, Commands)
    assert isinstance(listen, Load)
    assert isinstance(repeat, Repeat)
    assert isinstance(repeat.load, Load)
    probes = [probe for each in repeat.load.assignments for probe in each.program.params["probes"]]
    asked = {(probe["at"], probe["key"].split("|")[3], probe["protocol"], str(probe["port"])) for probe in probes}
    assert asked == set(answers())
    listening = [e for each in listen.assignments for e in each.program.params["endpoints"]]
    assert {(entry["at"], *entry["ports"]) for entry in listening} == {(name, *PORTS) for name in PODS}


def test_it_is_settled_when_a_round_is_what_the_policies_say() -> None:
    repeat = stages(plan_of())[3]
    assert repeat.settled(History.of(rows(answers())))
    assert not repeat.settled(History.of(rows(answers(ignore=("Egress",)))))
    assert not repeat.settled(History.of(rows({**answers(), ("n1", "x", "tcp", "80"): "timeout"})))


def test_without_policies_or_with_an_impossible_port_it_is_not_asked() -> None:
    with pytest.raises(UsageError, match="no policies"):
        stages(replace(plan_of(), documents=()))
    with pytest.raises(UsageError, match="70000"):
        stages(plan_of(), ports=[70000])
