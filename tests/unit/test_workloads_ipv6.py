"""What workloads ask for where containers have addresses of both families."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

from harness.model.history import History, Op
from harness.model.plan import Plan
from harness.ports import Container, Scene
from harness.workloads import REGISTRY
from harness.workloads._names import Asked, Names
from tests.runner_fakes import APP, entries, first_containers, make_check, make_plan, make_scene, walk

DUAL = ("web.1", "web.2", "probe")


def with_ipv6(container: Container) -> Container:
    if container.name not in DUAL:
        return container
    app = replace(container.networks[APP], ip6=f"fd00::{container.pid}")
    return replace(container, networks={APP: app})


def scene() -> Scene:
    return make_scene([with_ipv6(container) for container in first_containers()])


def plan(kind: str, *, named: bool = True) -> Plan:
    made = make_plan(make_check(kind))
    app = replace(made.networks[0], ipv6=True, resolves_ipv6=named)
    return replace(made, networks=(app, *made.networks[1:]))


def asked(kind: str, method: str, field: str, *, named: bool = True) -> list[Any]:
    check = make_check(kind)
    stages = walk(REGISTRY[kind].stages(check, plan(kind, named=named), random.Random(1)), scene())
    return [entry for _, entry in entries(stages, method, field)]


def of_family(probes: list[Any], family: int, via: str) -> list[Any]:
    return [entry for entry in probes if entry["key"].startswith(f"{via}|{APP}|{family}|")]


def test_every_pair_that_has_ipv6_is_asked_by_it_too() -> None:
    probes = asked("connectivity", "probe", "probes")
    found = of_family(probes, 6, "ip")
    assert {(entry["at"], entry["key"].split("|")[3]) for entry in found} == {
        (a, b) for a in DUAL for b in DUAL if a != b
    }
    assert {entry["protocol"] for entry in found} == {"icmp", "tcp", "udp"}
    assert all(entry["address"].startswith("fd00::") for entry in found)


def test_names_are_dialled_by_ipv6_only_where_they_lead_there() -> None:
    named = asked("connectivity", "probe", "probes")
    assert {entry["family"] for entry in of_family(named, 6, "service")} == {6}
    assert {entry["family"] for entry in of_family(named, 4, "service")} == {4}
    assert of_family(asked("connectivity", "probe", "probes", named=False), 6, "service") == []


def test_only_who_has_ipv6_listens_on_it() -> None:
    endpoints = asked("connectivity", "listen", "endpoints")
    assert {entry["at"] for entry in endpoints if entry.get("ipv6")} == set(DUAL)


def test_sizes_are_tried_by_both_families() -> None:
    probes = asked("mtu", "probe", "probes")
    nodes = {(entry["at"], entry["key"].split("|")[3]) for entry in of_family(probes, 6, "ip")}
    assert {frozenset(pair) for pair in nodes} <= {frozenset(("web.1", "web.2")), frozenset(("probe", "web.2"))}
    assert nodes
    assert {entry["packet_bytes"] for entry in of_family(probes, 6, "ip")} == {1450, 1451}


def test_names_are_looked_up_once_a_family_and_judged_by_it() -> None:
    names = Names(scene(), plan("dns"), frozenset(["web"]))
    assert names.truth[Asked(6, APP, "web")] == {"fd00::100", "fd00::101"}
    assert names.truth[Asked(4, APP, "web")] == {"10.0.0.1", "10.0.0.2", "10.0.0.3"}
    lookups = [item for _, item in names.lookups("start", 1.0, random.Random(1))]
    assert {(item["family"], item["name"]) for item in lookups} >= {(4, "web"), (6, "web")}

    def answers(six: str) -> History:
        told: dict[str, Any] = {
            "process": "agent",
            "host": "n1",
            "at": "probe",
            "key": f"start|{APP}|web",
            "check": "dns",
        }
        return History.of([
            Op(f="dns", value="10.0.0.1,10.0.0.2,10.0.0.3", start_ns=1, end_ns=2, **told),
            Op(f="aaaa", value=six, start_ns=1, end_ns=2, **told),
        ])  # fmt: skip

    assert names.right(answers("fd00::100,fd00::101"))
    assert not names.right(answers("fd00::100"))
