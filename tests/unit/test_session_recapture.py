"""Which failed check is asked again for its packets, and why another is not."""

from __future__ import annotations

from typing import Any

import pytest

from harness import loader
from harness.model.errors import EnvironmentBroken
from harness.model.plan import Plan
from harness.model.topology import Check
from harness.model.verdict import Outcome, Verdict
from harness.runner import CheckRun
from harness.session import CATALOG, Options, make_plan
from harness.session.recapture import LONGEST_S, candidate, networks_of

TEXT = """
name: small
networks: {app: {driver: overlay, attachable: true}, back: {driver: overlay}}
volumes: {shared: {driver: local}}
services:
  web: {deploy: {mode: global}, networks: [app, back], volumes: ["shared:/data"]}
checks:
  - mtu: {network: back}
  - connectivity: {}
  - concurrent-append: {volume: shared}
  - recovery: {faults: [{fault: partition, target: n2}]}
"""


@pytest.fixture
def plan() -> Plan:
    return make_plan(loader.loads(TEXT, "x.yaml", CATALOG), Options(), run="r1")


def failed(check: str, outcome: Outcome = "fail") -> Verdict:
    return Verdict(check, check, "", outcome, "so it is")


def ran(check: str, took_s: float = 1.0, **more: Any) -> CheckRun:
    return CheckRun(check, 0, took_s, **more)


def test_the_first_that_failed_and_is_cheap_is_taken(plan: Plan) -> None:
    runs = [ran(check.id) for check in plan.checks]
    found, why = candidate(plan, [failed("recovery"), failed("mtu", "unknown"), failed("connectivity")], runs)
    assert (found.id if found else None, why) == ("connectivity", "")


def test_where_nothing_failed_there_is_nothing_to_say(plan: Plan) -> None:
    assert candidate(plan, [failed("mtu", "pass"), failed("connectivity", "unknown")], [ran("mtu")]) == (None, "")


@pytest.mark.parametrize(
    ("check", "run", "why"),
    [
        ("recovery", ran("recovery"), "it has faults"),
        ("concurrent-append", ran("concurrent-append"), "it is about a volume"),
        ("mtu", ran("mtu", LONGEST_S + 20), "it took 30 s"),
        ("mtu", ran("mtu", left=("n2 is down",)), "it left the cluster changed, or came to no end"),
        ("mtu", ran("mtu", error=EnvironmentBroken("gone")), "it left the cluster changed, or came to no end"),
    ],
)
def test_what_is_not_asked_again_says_why_and_what_would_help(
    plan: Plan, check: str, run: CheckRun, why: str
) -> None:
    found, said = candidate(plan, [failed(check)], [run])
    assert found is None
    assert said == f"{check} is not captured: {why}; --pcap NETWORK captures while it runs"


def test_the_network_that_a_check_names_or_all(plan: Plan) -> None:
    checks: dict[str, Check] = {check.id: check for check in plan.checks}
    assert networks_of(plan, checks["mtu"]) == ["back"]
    assert networks_of(plan, checks["connectivity"]) == ["app", "back"]
