"""What NetworkPolicy objects mean, held against the plain definition and against itself; and what is no policy."""

from __future__ import annotations

import random
from itertools import permutations, product
from typing import Any

import pytest
from pydantic import ValidationError

from harness.model.policies import Connection, NetworkPolicy, Pod, shut_by
from harness.model.topology import Topology
from tests.policies_definition import PODS, SPACES, Object, allows, random_policy

WAYS = list(product(("tcp", "udp"), (80, 81)))
LABELS: dict[str, dict[str, str]] = {s["metadata"]["name"]: s["metadata"]["labels"] for s in SPACES}


def seen(pod: Object) -> Pod:
    space = pod["metadata"]["namespace"]
    ports = (("web", "tcp", 80),)
    return Pod(space, pod["status"]["podIP"], pod["metadata"]["labels"], LABELS[space], ports)


def parsed(policy: Object) -> NetworkPolicy:
    head = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy"}
    return NetworkPolicy.model_validate({**head, **policy})


def policy(spec: dict[str, Any], space: str = "a") -> NetworkPolicy:
    return parsed({"metadata": {"name": "p", "namespace": space}, "spec": {"podSelector": {}, **spec}})


def pods(count: int = len(PODS)) -> list[Pod]:
    return [seen(pod) for pod in PODS[:count]]


def open_ways(*policies: NetworkPolicy, among: list[Pod] | None = None) -> set[tuple[str, str, str, int]]:
    return {
        (one.address[-1], other.address[-1], protocol, port)
        for one, other in permutations(among or pods(), 2)
        for protocol, port in WAYS
        if not shut_by(policies, Connection(one, other, protocol, port))
    }


@pytest.mark.parametrize("seed", range(300))
def test_random_policies_mean_what_the_definition_says_for_every_pair_port_and_protocol(seed: int) -> None:
    rng = random.Random(seed)
    raw = [random_policy(rng) for _ in range(rng.randrange(5))]
    policies = [parsed(each) for each in raw]
    for source, target in permutations(PODS, 2):
        for protocol, port in WAYS:
            shut = shut_by(policies, Connection(seen(source), seen(target), protocol, port))
            assert bool(shut) != allows(raw, source, target, protocol, port)


@pytest.mark.parametrize("seed", range(40))
def test_another_rule_never_shuts_and_the_order_of_policies_does_not_matter(seed: int) -> None:
    rng = random.Random(seed)
    policies = [parsed(random_policy(rng)) for _ in range(4)]
    before = open_ways(*policies)
    assert open_ways(*reversed(policies)) == before
    first = policies[0].spec
    wider = first.model_copy(
        update={"ingress": [*(first.ingress or []), {}], "egress": [*(first.egress or []), {}]}
    )
    more = NetworkPolicy.model_validate({**policies[0].model_dump(), "spec": wider.model_dump(warnings=False)})
    assert before <= open_ways(more, *policies[1:])


@pytest.mark.parametrize("seed", range(40))
def test_what_is_written_for_the_api_reads_back_as_the_same_policy(seed: int) -> None:
    made = parsed(random_policy(random.Random(seed)))
    assert NetworkPolicy.model_validate(made.as_object()) == made
    assert "from_" not in str(made.as_object())
    topology = Topology(name="x", policies=[made])
    assert Topology.model_validate(topology.model_dump(mode="json")) == topology


def test_without_policies_all_is_open() -> None:
    assert len(open_ways()) == len(PODS) * (len(PODS) - 1) * len(WAYS)


def test_the_directions_that_shut_a_connection_are_named() -> None:
    one, other = pods()[1], pods()[3]  # both of namespace a
    both = policy({"policyTypes": ["Ingress", "Egress"]})
    assert shut_by([both], Connection(one, other, "tcp", 80)) == ("Egress", "Ingress")
    assert shut_by([policy({"policyTypes": ["Egress"]})], Connection(one, other, "tcp", 80)) == ("Egress",)


def test_types_that_are_left_out_are_ingress_and_egress_where_there_are_rules_of_it() -> None:
    assert policy({}).spec.directions == ["Ingress"]
    assert policy({"egress": []}).spec.directions == ["Ingress"]
    assert policy({"egress": [{}]}).spec.directions == ["Ingress", "Egress"]
    assert policy({"policyTypes": ["Egress"], "ingress": [{}]}).spec.directions == ["Egress"]


def test_a_rule_without_peers_is_for_all_and_a_list_of_rules_without_any_for_nobody() -> None:
    space_a = [pod for pod in pods() if pod.namespace == "a"]
    assert open_ways(policy({"ingress": [{}]})) == open_ways()
    assert not open_ways(policy({"ingress": []}), among=space_a)


def test_a_named_port_is_that_of_the_pod_that_is_connected_to() -> None:
    one, other = (pod for pod in pods()[1:4:2])
    rule = policy({"ingress": [{"ports": [{"port": "web"}]}]})
    assert not shut_by([rule], Connection(one, other, "tcp", 80))
    assert shut_by([rule], Connection(one, other, "tcp", 81))
    assert shut_by([rule], Connection(one, other, "udp", 80))


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"kind": "Pod"}, "NetworkPolicy"),
        ({"spec": {}}, "podSelector"),
        ({"spec": {"podSelector": {}, "ingres": []}}, "ingres"),
        ({"spec": {"podSelector": {}, "ingress": [{"from": [{}]}]}}, "a peer has"),
        (
            {
                "spec": {
                    "podSelector": {},
                    "ingress": [{"from": [{"podSelector": {}, "ipBlock": {"cidr": "::/0"}}]}],
                }
            },
            "a peer has",
        ),
        ({"spec": {"podSelector": {}, "egress": [{"to": [{"ipBlock": {"cidr": "10.0.0/8"}}]}]}}, "10.0.0/8"),
        (
            {
                "spec": {
                    "podSelector": {},
                    "egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/9"]}}]}],
                }
            },
            "does not lie within",
        ),
        ({"spec": {"podSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}}}, "have values"),
        ({"spec": {"podSelector": {}, "ingress": [{"ports": [{"port": 0}]}]}}, "port"),
        ({"spec": {"podSelector": {}, "policyTypes": ["Ingress", "Ingress"]}}, "twice"),
    ],
)
def test_what_is_no_policy_is_refused_by_name(changed: dict[str, Any], word: str) -> None:
    whole = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "p"}}
    with pytest.raises(ValidationError, match=word):
        NetworkPolicy.model_validate({**whole, "spec": {"podSelector": {}}, **changed})
