"""The check of Services: what is asked, and what the answers say of virtual addresses, node ports and names."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from harness import checkers, workloads
from harness.model.errors import UsageError
from harness.model.history import History, Op
from harness.model.plan import Demand, Plan, Target
from harness.model.verdict import Verdict
from harness.ports import Act, Acts, Load, PublishedAddress, Repeat, Scene
from tests.checkers_scene import NODES, make_check, make_plan, row
from tests.runner_fakes import container, walk

WEB = Target(
    "web", 3, "replicated", {"app": ("web",)}, endpoint_mode="vip",
    ports=({"target": 80, "published": 30080, "protocol": "tcp", "mode": "ingress"},),
)  # fmt: skip
DB = Target("db", 1, "replicated", {"app": ("db",)})
PODS = {
    "web.1": ("n1", "10.1.0.1"),
    "web.2": ("n2", "10.1.0.2"),
    "web.3": ("n2", "10.1.0.3"),
    "db.1": ("n1", "10.1.0.9"),
}
DIALS = 9
Answers = Callable[[str, int], str]


def plan_of() -> Plan:
    return make_plan(targets=(WEB, DB))


def evenly(_asker: str, number: int) -> str:
    return f"ok web.{number % 3 + 1}"


def rows(
    answers: Answers, phase: str = "start", at_ns: int = 1000, ports: Callable[[str, str], str] | None = None
) -> list[Op]:
    time: dict[str, Any] = {"start_ns": at_ns, "end_ns": at_ns + 5}
    found = [
        row("task", "services", host=n, process=p.split(".")[0], at=p, key=f"{phase}|{p.split('.')[0]}", **time)
        for p, (n, _) in PODS.items()
    ]
    found += [
        row("endpoint", "services", host=n, at=p, key=f"{phase}|app", value=ip, **time)
        for p, (n, ip) in PODS.items()
    ]
    found += [
        row("endpoint", "services", host=n, at=n, key=f"{phase}|node", value=ip, **time) for n, ip in NODES.items()
    ]
    time = {"start_ns": at_ns + 10, "end_ns": at_ns + 20}
    found.append(row("truth", "services", key=f"{phase}|app|db", value="10.1.0.9", **time))
    found.append(row("dns", "services", at="db.1", key=f"{phase}|app|db", value="10.1.0.9", **time))
    for asker in PODS:
        for protocol in ("tcp", "udp"):
            for number in range(DIALS):
                value = answers(asker, number)
                key = f"service|app|4|web|web#{number}"
                found.append(row(protocol, "services", at=asker, key=key, value=value, **time))
    for node in NODES:
        for other, address in NODES.items():
            value = ports(node, other) if ports else "ok web.1"
            found.append(row("tcp", "services", at=node, key=f"ingress|-|4|web|{address}", value=value, **time))
    return found


def judged(*parts: list[Op]) -> Verdict:
    return checkers.judge(History.of([row for part in parts for row in part]), plan_of(), make_check("services"))


def test_every_way_that_is_taken_passes() -> None:
    verdict = judged(rows(evenly))
    assert verdict.verdict == "pass", verdict.reason
    ways = (
        3 + 2 * 3 - 1 + 2
    )  # web.1: itself, others; web.2 and web.3: itself, own node, others; db.1: own node, others
    assert verdict.correct == 2 * (ways) + 9 + 1


def test_a_hairpin_that_does_not_work_is_named() -> None:
    verdict = judged(rows(lambda asker, n: "timeout" if evenly(asker, n) == f"ok {asker}" else evenly(asker, n)))
    assert verdict.verdict == "fail"
    assert "web.1 -> web via service (tcp/ipv4): expected ok, got timeout" in verdict.reason
    assert "3 of 9 connections, never to itself (web.1)" in verdict.reason
    assert {failure.source for failure in verdict.failures} == {"web.1", "web.2", "web.3"}


def test_a_node_that_is_never_led_to_is_named() -> None:
    verdict = judged(rows(lambda _asker, _number: "ok web.1"))
    assert verdict.verdict == "fail"
    assert "never to other nodes (web.2, web.3)" in verdict.reason


def test_somebody_else_who_answers_fails_and_a_foreign_listener_is_unknown() -> None:
    assert judged(rows(lambda a, n: "ok db.1" if n == 8 else evenly(a, n))).verdict == "fail"
    assert judged(rows(lambda a, n: "ok ?" if n == 8 else evenly(a, n))).verdict == "unknown"


def test_a_node_port_that_one_node_does_not_serve_is_named() -> None:
    verdict = judged(rows(evenly, ports=lambda _node, other: "refused" if other == "n3" else "ok web.2"))
    assert verdict.verdict == "fail"
    assert {(failure.source, failure.via, failure.got) for failure in verdict.failures} == {
        (node, "ingress", "refused") for node in NODES
    }


def test_a_name_that_still_means_the_pods_before_fails() -> None:
    late = [replace(r, value="10.1.0.8") if r.f == "dns" else r for r in rows(evenly, "restarted", 2000)]
    assert judged(rows(evenly), late).verdict == "fail"


def test_each_phase_is_judged_by_its_own_rows() -> None:
    broken = rows(lambda _asker, _number: "refused", "restarted", 2000)
    assert judged(rows(evenly), rows(evenly, "restarted", 2000)).verdict == "pass"
    assert judged(rows(evenly), broken).verdict == "fail"
    assert judged(rows(lambda _asker, _number: "refused"), rows(evenly, "restarted", 2000)).verdict == "fail"


def test_what_nobody_asked_is_unknown() -> None:
    whole = rows(evenly)
    for missing in (
        [r for r in whole if not (r.key.startswith("ingress") and r.at == "n2")],
        [r for r in whole if r.f != "udp"],
        [r for r in whole if not (r.key.startswith("service") and r.at.startswith("web"))],
        [r for r in whole if r.f != "dns"],
    ):
        assert judged(missing).verdict == "unknown"


# --- what is asked


def scene() -> Scene:
    pods = [container(name, name.split(".")[0], node, {"app": ip}, 100) for name, (node, ip) in PODS.items()]
    published = tuple(("web", PublishedAddress(n, ip, 30080, 80, "tcp", "ingress")) for n, ip in NODES.items())
    return Scene(tuple(pods), NODES, published, token="secret")


def stages(**params: Any) -> list[Any]:
    return walk(
        workloads.REGISTRY["services"].stages(make_check("services", **params), plan_of(), random.Random(1)),
        scene(),
    )


def test_names_addresses_and_ports_are_asked_before_and_after_pods_are_replaced() -> None:
    made = stages()
    assert [type(stage).__name__ for stage in made] == [
        "Look",
        "Load",
        "Repeat",
        "Repeat",
        "Acts",
        "Look",
        "Load",
        "Repeat",
        "Repeat",
    ]
    acts = made[4]
    assert isinstance(acts, Acts)
    assert acts.acts == (Act("update", "web", parallelism=0), Act("update", "db", parallelism=0))
    repeat = made[3]
    assert isinstance(repeat, Repeat)
    assert isinstance(repeat.load, Load)
    probes = [probe for each in repeat.load.assignments for probe in each.program.params["probes"]]
    dialled = {(probe["at"], probe["protocol"]) for probe in probes if probe["key"].startswith("service|")}
    assert dialled == {(pod, protocol) for pod in PODS for protocol in ("tcp", "udp")}
    at_nodes = {(probe["at"], probe["address"]) for probe in probes if probe["key"].startswith("ingress|")}
    assert {(node, address) for node in NODES for address in NODES.values()} <= at_nodes
    assert ("web.1", NODES["n2"]) in at_nodes


def test_what_the_kernel_lacks_is_neither_asked_nor_missed() -> None:
    """Swarm without IPVS: names are left; the rest is skipped, by its name."""
    unmet = tuple(Demand("ipvs", "service web", part=part) for part in ("vip", "ingress"))
    plan = replace(plan_of(), unmet=unmet)
    made = walk(workloads.REGISTRY["services"].stages(make_check("services"), plan, random.Random(1)), scene())
    assert [type(stage).__name__ for stage in made].count("Repeat") == 2
    names = [r for r in rows(evenly) if not r.key.startswith(("service", "ingress"))]
    verdict = checkers.judge(History.of(names), plan, make_check("services"))
    assert (verdict.verdict, verdict.correct) == ("pass", 1)
    assert judged(names).verdict == "unknown"


def test_containers_are_replaced_as_many_at_once_as_asked_for() -> None:
    acts = next(stage for stage in stages(parallelism=1) if isinstance(stage, Acts))
    assert {act.parallelism for act in acts.acts} == {1}


def test_without_a_restart_nothing_is_changed_and_only_what_is_named_is_asked() -> None:
    assert not any(isinstance(stage, Acts) for stage in stages(restart=False))
    keys = {
        probe["key"]
        for stage in stages(services=["db"], restart=False)
        if isinstance(stage, Repeat) and isinstance(stage.load, Load)
        for each in stage.load.assignments
        for probe in each.program.params.get("probes", ())
    }
    assert keys == set()


def test_a_service_that_is_not_there_or_has_no_name_is_no_question() -> None:
    with pytest.raises(UsageError, match="nobody"):
        stages(services=["nobody"])
    nameless = replace(WEB, networks={})
    with pytest.raises(UsageError, match="network"):
        walk(
            workloads.REGISTRY["services"].stages(
                make_check("services"), make_plan(targets=(nameless,)), random.Random(1)
            ),
            scene(),
        )
