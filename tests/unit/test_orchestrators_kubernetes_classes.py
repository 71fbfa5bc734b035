"""Storage classes that claims ask for: what is missing is named before anything is deployed."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from harness.model.errors import EnvironmentBroken
from harness.model.plan import Plan
from harness.orchestrators.kubernetes import Kubernetes, classes
from harness.ports import Cluster, Host, Result
from tests.fakes import FakeHost
from tests.planner_topologies import planned_on_kubernetes

TEXT = """
name: x
volumes: {{data: {{driver: claim{more}}}}}
services: {{writer: {{deploy: {{mode: global}}, volumes: ["data:/data"]}}}}
"""


def plan_of(more: str = "") -> Plan:
    return planned_on_kubernetes(TEXT.format(more=more))


def cluster_with(*names: str, default: str = "") -> Cluster:
    rows = [
        {"metadata": {"name": name, "annotations": {classes.DEFAULT: "true"} if name == default else None}}
        for name in names
    ]
    told = Result(0, json.dumps({"items": rows}), "")
    hosts: dict[str, Host] = {"n1": FakeHost("n1", answers={("kubectl",): told})}
    return Cluster("harness-r1", "r1", "kind", hosts)


def test_a_class_that_is_there_and_a_default_are_taken() -> None:
    classes.require(cluster_with("slow", "fast"), plan_of(", storage_class: fast"))
    classes.require(cluster_with("slow", default="slow"), plan_of())


def test_a_class_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(
        EnvironmentBroken, match=r"volumes\.data\.storage_class: .* no storage class 'fast'"
    ) as refused:
        classes.require(cluster_with("slow", "ssd"), plan_of(", storage_class: fast"))
    assert refused.value.hint == "storage classes that are there: slow, ssd"


def test_without_a_default_class_a_volume_must_name_one() -> None:
    with pytest.raises(EnvironmentBroken, match=r"volumes\.data: the cluster has no default storage class"):
        classes.require(cluster_with("slow"), plan_of())


def test_nothing_is_deployed_where_one_is_missing() -> None:
    cluster = cluster_with()
    with pytest.raises(EnvironmentBroken):
        Kubernetes().apply(cluster, plan_of(", storage_class: fast"), lambda _line: None)
    host = cluster.hosts["n1"]
    assert isinstance(host, FakeHost)
    assert not any("apply" in call for call in host.ran)


@pytest.mark.parametrize(
    ("claim", "words", "is_told"),
    [
        ("data", 'storageclass.storage.k8s.io "fast" not found', True),
        ("data", "no persistent volumes available for this claim and no storage class is set", True),
        ("data", "waiting for first consumer to be created before binding", False),
        ("theirs", 'storageclass.storage.k8s.io "fast" not found', False),
    ],
)
def test_who_may_not_ask_for_classes_is_told_by_the_claims_events(claim: str, words: str, is_told: bool) -> None:
    event = {"involvedObject": {"kind": "PersistentVolumeClaim", "name": claim}, "message": words}
    api = FakeHost("kubectl", answers={("kubectl",): Result(0, json.dumps({"items": [event]}), "")})
    cluster = replace(cluster_with(), api=api)
    told = list(classes.lacking(cluster, plan_of(", storage_class: fast")))
    assert told == ([f"volumes.data: {words}"] if is_told else [])
    assert list(classes.lacking(cluster_with(), plan_of())) == []  # of a cluster of ours it was asked before
