"""What NetworkPolicy means, written down once more, pair by pair; pods and random policies to hold it against."""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Mapping
from typing import Any

from harness.orchestrators.kubernetes.enforcer import selects

Object = Mapping[str, Any]
SPACES: list[Object] = [{"metadata": {"name": name, "labels": {"team": name}}} for name in ("a", "b")]
PORTS = [("tcp", 80), ("tcp", 81), ("udp", 80), ("icmp", 0)]


def pod(number: int, space: str, labels: Mapping[str, str], node: str = "n1") -> Object:
    return {
        "metadata": {"name": f"p{number}", "namespace": space, "labels": labels},
        "spec": {"nodeName": node, "containers": [{"ports": [{"name": "web", "containerPort": 80}]}]},
        "status": {"podIP": f"10.1.{number // 200}.{number}", "phase": "Running"},
    }


PODS = [pod(i, "ab"[i % 2], {"app": "xyz"[i % 3], "tier": str(i % 4)}) for i in range(1, 8)]


def policy(spec: Object, space: str = "a") -> Object:
    return {"metadata": {"name": "p", "namespace": space}, "spec": spec}


def allows(policies: list[Object], source: Object, target: Object, protocol: str, port: int) -> bool:
    egress = _way(policies, "Egress", source, target, target, protocol, port)
    return egress and _way(policies, "Ingress", target, source, target, protocol, port)


def _way(
    policies: list[Object], way: str, own: Object, other: Object, receiver: Object, protocol: str, port: int
) -> bool:
    selecting = [
        each
        for each in policies
        if each["metadata"]["namespace"] == own["metadata"]["namespace"]
        and way in each["spec"].get("policyTypes", ["Ingress"])
        and selects(each["spec"]["podSelector"], own["metadata"]["labels"])
    ]
    rules = [(each, rule) for each in selecting for rule in each["spec"].get(way.lower(), [])]
    return not selecting or any(_rule(each, rule, way, other, protocol, port) for each, rule in rules)


def _rule(each: Object, rule: Object, way: str, other: Object, protocol: str, port: int) -> bool:
    peers = rule.get("from" if way == "Ingress" else "to", [])
    right_peer = not peers or any(_peer(each, peer, other) for peer in peers)
    ports = rule.get("ports", [])
    return right_peer and (not ports or any(_port(entry, protocol, port) for entry in ports))


def _peer(each: Object, peer: Object, other: Object) -> bool:
    space, address = other["metadata"]["namespace"], ipaddress.ip_address(other["status"]["podIP"])
    if "ipBlock" in peer:
        out = [ipaddress.ip_network(text) for text in peer["ipBlock"].get("except", [])]
        inside = address in ipaddress.ip_network(peer["ipBlock"]["cidr"])
        return inside and not any(address in network for network in out)
    if "namespaceSelector" in peer:
        right = selects(peer["namespaceSelector"], {"team": space})
    else:
        right = space == each["metadata"]["namespace"]
    return right and selects(peer.get("podSelector", {}), other["metadata"]["labels"])


def _port(entry: Object, protocol: str, port: int) -> bool:
    wanted = 80 if entry.get("port") == "web" else entry.get("port")
    return entry.get("protocol", "TCP").lower() == protocol and wanted in (None, port)


def random_policy(rng: random.Random) -> Object:
    def selector() -> Object:
        some: list[Object] = [
            {},
            {"matchLabels": {"app": rng.choice("xyz")}},
            {"matchExpressions": [{"key": "tier", "operator": rng.choice(["In", "NotIn"]), "values": ["1", "2"]}]},
            {"matchExpressions": [{"key": rng.choice(["tier", "none"]), "operator": "Exists"}]},
            {"matchExpressions": [{"key": "none", "operator": "DoesNotExist"}]},
        ]
        return rng.choice(some)

    def peer() -> Object:
        some: list[Object] = [
            {"podSelector": selector()},
            {"namespaceSelector": rng.choice([{}, {"matchLabels": {"team": rng.choice("ab")}}])},
            {"namespaceSelector": {"matchLabels": {"team": "b"}}, "podSelector": selector()},
            {"ipBlock": {"cidr": "10.1.0.0/29", "except": ["10.1.0.4/31"]}},
            {"ipBlock": {"cidr": rng.choice(["0.0.0.0/0", "10.9.0.0/16"])}},
        ]
        return rng.choice(some)

    def rule(side: str) -> Object:
        entries = [{"port": 80}, {"port": 80, "protocol": "UDP"}, {"protocol": "TCP"}, {"port": "web"}]
        ports = rng.sample(entries, rng.randrange(3))
        peers = [peer() for _ in range(rng.randrange(3))]
        return {**({side: peers} if peers else {}), **({"ports": ports} if ports else {})}

    return policy(
        {
            "podSelector": selector(),
            "policyTypes": rng.choice([["Ingress"], ["Egress"], ["Ingress", "Egress"]]),
            "ingress": [rule("from") for _ in range(rng.randrange(3))],
            "egress": [rule("to") for _ in range(rng.randrange(3))],
        },
        rng.choice("ab"),
    )
