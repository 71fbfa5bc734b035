"""Bridges: addresses, a second claim to a port, and names in four phases."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from harness.checkers import judge
from harness.model.history import History, Op
from harness.model.plan import NetworkPlan, Target
from harness.model.verdict import Verdict
from tests.checkers_scene import NODES, make_check, make_plan, row

KIND = "bridge"
NET = "front@n1"
IPS = {"web": "172.19.0.2", "client": "172.19.0.3"}
REFUSED = (
    "docker: Error response from daemon: driver failed: Bind for 0.0.0.0:8000 failed: port is already allocated."
)
PHASES = ("start", "stopped", "started", "renamed")


def ours(service: str) -> str:
    return f"harness-test-{service}"


def scene(phase: str, running: tuple[str, ...] = ("web", "client"), **ips: str) -> Iterator[Op]:
    for node, ip in NODES.items():
        yield row("endpoint", KIND, host=node, at=node, key=f"{phase}|node", value=ip)
    for name in running:
        yield row("task", KIND, process=name, at=name, key=f"{phase}|{name}", value="running")
        yield row("endpoint", KIND, process=name, at=name, key=f"{phase}|{NET}", value=ips.get(name, IPS[name]))


def dns(phase: str, name: str, value: str, at: str = "web", network: str = NET) -> Op:
    return row("dns", KIND, at=at, key=f"{phase}|{network}|{name}", value=value)


def names(phase: str, alias: str, own: str, other: str, control: str = IPS["web"]) -> list[Op]:
    """What `web` is told about `client`, by each name, and about itself."""
    asked = {"client": alias, ours("client"): own, "renamed-client": other, "web": control}
    return [dns(phase, name, value) for name, value in asked.items()]


def good(*, renames: bool = True) -> list[Op]:
    """`renames`: whether names follow a rename."""
    ip, no = IPS["client"], "servfail"
    renamed = (ip, no, ip) if renames else (ip, ip, no)
    return [
        *(op for phase in PHASES for op in scene(phase, ("web",) if phase == "stopped" else ("web", "client"))),
        row("subnet", KIND, at="n1", key=NET, value="172.19.0.0/16 "),
        row("tcp", KIND, at="n2", host="n2", key=f"host-port|-|4|web|{NODES['n1']}", value="ok web"),
        row("claim", KIND, at="web", key="web|8000/tcp", value=REFUSED, outcome="fail", errno=125),
        row("act", KIND, process="nemesis", host="controller", key="rename|client", value="renamed-client"),
        *names("start", ip, ip, no),
        *names("stopped", no, "timeout", "nxdomain"),
        *names("started", ip, ip, no),
        *names("renamed", *renamed),
        dns("start", "plain-b", no, at="plain-a", network="default"),
    ]


def verdict_on(rows: list[Op]) -> Verdict:
    networks = tuple(NetworkPlan(f"front@{node}", "bridge", 1500, True, linked=False) for node in NODES)
    targets = tuple(Target(name, 1, "plain", {NET: (name,)}, node="n1") for name in IPS)
    return judge(History.of(rows), make_plan(networks=networks, targets=targets), make_check(KIND))


def without(rows: list[Op], **fields: Any) -> list[Op]:
    return [op for op in rows if any(getattr(op, name) != value for name, value in fields.items())]


def test_a_good_bridge_passes_and_says_what_the_default_bridge_lacks() -> None:
    verdict = verdict_on(good())
    assert verdict.verdict == "pass", verdict.reason
    promises = {promise.name: (promise.expected, promise.observed) for promise in verdict.promises}
    assert promises == {
        "names exist on the default bridge": ("may", "broken"),
        "names follow a rename": ("unproven", "kept"),
    }
    assert verdict.figures["second_claim"] == "Bind for 0.0.0.0:8000 failed: port is already allocated."


def test_names_that_do_not_follow_a_rename_are_shown() -> None:
    verdict = verdict_on(good(renames=False))
    assert verdict.verdict == "pass"
    promise = next(p for p in verdict.promises if p.name == "names follow a rename")
    assert (promise.observed, promise.count, promise.of) == ("broken", 2, 2)
    assert "in a swarm engine 26.1 goes on with the old name" in promise.source


@pytest.mark.parametrize(
    ("left_out", "value", "words"),
    [
        ({"f": "subnet"}, "10.9.0.0/24", "which is not in 10.9.0.0/24"),
        ({"f": "claim"}, "abc", "a second container got port"),
        ({"f": "tcp"}, "refused", "got refused"),
        ({"key": f"start|{NET}|client"}, "servfail", "servfail instead of 172.19.0.3"),
        ({"key": f"stopped|{NET}|client"}, IPS["client"], "instead of nothing"),
    ],
)
def test_what_is_wrong_fails_by_name(left_out: dict[str, Any], value: str, words: str) -> None:
    right = next(op for op in good() if op not in without(good(), **left_out))
    verdict = verdict_on([*without(good(), **left_out), replace(right, value=value, outcome="ok")])
    assert verdict.verdict == "fail"
    assert words in verdict.reason


def test_one_address_for_two_containers_fails() -> None:
    rows = [op for op in good() if not (op.f == "endpoint" and op.key.startswith("start|"))]
    verdict = verdict_on([*scene("start", client=IPS["web"]), *rows])
    assert verdict.verdict == "fail"
    assert "client and web have one address" in verdict.reason


@pytest.mark.parametrize(
    ("instead", "words"),
    [
        ({"f": "claim", "key": "web|8000/tcp", "value": "no such image", "outcome": "fail"}, "for another reason"),
        ({"f": "claim", "key": "web|8000/tcp", "value": "late", "outcome": "info"}, "nobody knows"),
    ],
)
def test_a_claim_that_says_nothing_is_unknown(instead: dict[str, Any], words: str) -> None:
    verdict = verdict_on([*without(good(), f="claim"), row(check=KIND, at="web", **instead)])
    assert verdict.verdict == "unknown"
    assert words in verdict.reason


def test_silence_of_a_resolver_that_answers_nothing_is_unknown() -> None:
    verdict = verdict_on([*without(good(), key=f"stopped|{NET}|web"), dns("stopped", "web", "timeout")])
    assert verdict.verdict == "fail", "it does not even know itself"
    verdict = verdict_on(without(good(), key=f"stopped|{NET}|web"))
    assert verdict.verdict == "unknown"
    assert "silence says nothing" in verdict.reason


def test_a_phase_without_a_question_is_unknown() -> None:
    verdict = verdict_on([op for op in good() if not (op.f == "dns" and op.key.startswith("started|"))])
    assert verdict.verdict == "unknown"
    assert "no name was asked for on front@n1 in phase started" in verdict.reason
