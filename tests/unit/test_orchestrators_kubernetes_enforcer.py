"""The enforcer's rules, held against the definition of NetworkPolicy for every pair, port and protocol."""

from __future__ import annotations

import ipaddress
import random
import re

import pytest

from harness.orchestrators.kubernetes.enforcer import table
from tests.policies_definition import PODS, PORTS, SPACES, Object, allows, pod, policy, random_policy

# --- what the rules say, read as nft reads them


def passes(text: str, source: str, target: str, protocol: str, port: int) -> bool:
    chains = dict(re.findall(r"  chain ([\w-]+) \{\n(.*?)\n  \}", text, re.DOTALL))
    for field, address in (("saddr", source), ("daddr", target)):
        found = re.search(rf"ip {field} vmap \{{ (.*) \}}", chains["forward"])
        jumps = dict(re.findall(r"([\d.]+) : jump ([\w-]+)", found[1] if found else ""))
        if address in jumps:
            lines = [line.strip() for line in chains[jumps[address]].splitlines()]
            assert lines.pop() == "drop"
            if not any(_matches(line, source, target, protocol, port) for line in lines):
                return False
    return True


def _matches(line: str, source: str, target: str, protocol: str, port: int) -> bool:
    assert line.endswith("return")
    for field, negated, networks in re.findall(r"ip ([sd]addr) (!= )?(\{[^}]*\}|\S+)", line):
        address = ipaddress.ip_address(source if field == "saddr" else target)
        inside = any(address in ipaddress.ip_network(text) for text in networks.strip("{ }").split(", "))
        if inside == bool(negated):
            return False
    wanted = re.search(r"(tcp|udp) dport (\d+)", line)
    only = re.search(r"meta l4proto (\w+)", line)
    fits = not wanted or (wanted[1], int(wanted[2])) == (protocol, port)
    return fits and (not only or only[1] == protocol)


def differences(policies: list[Object]) -> list[str]:
    text = table("n1", PODS, SPACES, policies)
    return [
        f"{source['metadata']['name']} -> {target['metadata']['name']} {protocol}/{port}"
        for source in PODS
        for target in PODS
        if source is not target
        for protocol, port in PORTS
        if passes(text, source["status"]["podIP"], target["status"]["podIP"], protocol, port)
        != allows(policies, source, target, protocol, port)
    ]


@pytest.mark.parametrize("seed", range(150))
def test_the_rules_say_what_random_policies_mean(seed: int) -> None:
    rng = random.Random(seed)
    assert differences([random_policy(rng) for _ in range(rng.randrange(5))]) == []


def test_pods_that_no_policy_selects_are_open_and_nothing_else_stands_in_the_table() -> None:
    text = table("n1", PODS, SPACES, [])
    assert "vmap" not in text
    assert "drop" not in text


def test_an_empty_policy_shuts_its_pods_and_no_others() -> None:
    shut = policy({"podSelector": {"matchLabels": {"app": "x"}}, "policyTypes": ["Ingress"]})
    text = table("n1", PODS, SPACES, [shut])
    reached = {p["metadata"]["name"] for p in PODS if passes(text, "10.1.0.99", p["status"]["podIP"], "tcp", 80)}
    assert reached == {p["metadata"]["name"] for p in PODS} - {"p6"}


def test_only_pods_of_the_node_are_judged_there_and_ended_or_hosted_ones_nowhere() -> None:
    shut = policy({"podSelector": {}, "policyTypes": ["Ingress"]})
    elsewhere = pod(2, "a", {}, node="n2")
    ended = {**pod(3, "a", {}), "status": {"podIP": "10.1.0.3", "phase": "Succeeded"}}
    hosted = {**pod(4, "a", {}), "spec": {"nodeName": "n1", "hostNetwork": True}}
    assert "vmap" not in table("n1", [elsewhere, ended, hosted], SPACES, [shut])
