"""vlan-trunk: who reaches whom on VLANs of one trunk, and under which tags."""

from __future__ import annotations

import dataclasses
import json
import random
from typing import Any

import pytest

from harness.checkers import judge
from harness.model.errors import UsageError
from harness.model.history import History, Op
from harness.model.plan import NetworkPlan, Plan
from harness.model.topology import Topology
from harness.model.verdict import Verdict
from harness.ports import Commands
from harness.workloads import REGISTRY
from harness.workloads._capture import count
from tests.checkers_scene import ip_key, look, make_check, make_plan, probe, row
from tests.runner_fakes import make_check as runner_check
from tests.runner_fakes import make_plan as runner_plan
from tests.runner_fakes import make_scene, walk
from tests.unit.test_checkers_encrypted import frame, pcap

KIND = "vlan-trunk"
VLANS = {
    "app": {"driver": "macvlan", "driver_opts": {"parent": "eth0.10"}},
    "other": {"driver": "macvlan", "driver_opts": {"parent": "eth0.20"}},
}
#: What the trunks of n1 and n2 carry where all is well: web.1 and web.2 on VLAN 10, lone and mate on VLAN 20.
GOOD = {"10": {"10.1.0.1": 4, "10.1.0.2": 4}, "20": {"10.2.0.1": 4, "10.2.0.2": 4}}
WITHIN = [("web.1", "app", "web.2"), ("lone", "other", "mate")]
ACROSS = [("web.1", "other", "mate"), ("lone", "app", "web.2")]


def plan() -> Plan:
    networks = tuple(NetworkPlan(name, "macvlan", 1500, False) for name in VLANS)
    return make_plan(topology=Topology.model_validate({"name": "test", "networks": VLANS}), networks=networks)


def verdict_on(
    captures: dict[str, Any], within: str = "", across: str = "timeout", extra: tuple[Op, ...] = ()
) -> Verdict:
    rows = [*look(KIND), *extra]
    for source, network, target in WITHIN:
        rows.append(probe(KIND, "tcp", source, ip_key(network, target), within or f"ok {target}"))
    for source, network, target in ACROSS:
        rows.append(probe(KIND, "tcp", source, ip_key(network, target), across.format(target=target)))
    for node, tags in captures.items():
        rows.append(row("capture", KIND, host=node, at=node, key="eth0", value=json.dumps({"tags": tags})))
    return judge(History.of(rows), plan(), make_check(KIND))


def test_each_vlan_reaches_its_own_under_its_own_tag() -> None:
    verdict = verdict_on({"n1": GOOD, "n2": GOOD})
    assert (verdict.verdict, verdict.correct) == ("pass", 12), verdict.reason
    assert "VLANs 10, 20" in verdict.reason


@pytest.mark.parametrize(("tag", "told"), [("20", "under the tag 20"), ("", "under no tag")])
def test_a_frame_under_another_tag_fails_and_is_named(tag: str, told: str) -> None:
    wrong = {**GOOD, tag: {**GOOD.get(tag, {}), "10.1.0.1": 3}}
    verdict = verdict_on({"n1": GOOD, "n2": wrong})
    assert verdict.verdict == "fail"
    assert f"n2: 3 frames of web.1 (10.1.0.1, VLAN 10) {told}" in verdict.reason


def test_vlans_that_reach_each_other_fail() -> None:
    verdict = verdict_on({"n1": GOOD, "n2": GOOD}, across="ok {target}")
    assert verdict.verdict == "fail"
    assert {(f.source, f.target, f.expected, f.got) for f in verdict.failures} == {
        ("web.1", "mate", "closed", "ok"),
        ("lone", "web.2", "closed", "ok"),
    }


def test_a_vlan_that_does_not_reach_its_own_fails() -> None:
    assert verdict_on({"n1": GOOD, "n2": GOOD}, within="timeout").verdict == "fail"


@pytest.mark.parametrize(
    ("captures", "why"),
    [
        ({"n1": GOOD}, "n2: what passed its trunk is not known"),
        (
            {"n1": GOOD, "n2": {"20": GOOD["20"]}},
            "n2: containers of app talked, and no frame of theirs",
        ),
    ],
)
def test_what_was_not_seen_is_unknown(captures: dict[str, Any], why: str) -> None:
    verdict = verdict_on(captures)
    assert verdict.verdict == "unknown"
    assert why in verdict.reason


def test_a_capture_that_did_not_begin_is_unknown() -> None:
    failed = row("command", KIND, at="n1", key="capture on n1", value="no such device", outcome="fail")
    assert verdict_on({"n1": GOOD, "n2": GOOD}, extra=(failed,)).verdict == "unknown"


def test_frames_of_others_say_nothing() -> None:
    strange = {**GOOD, "": {"192.0.2.1": 9}}
    assert verdict_on({"n1": strange, "n2": strange}).verdict == "pass"


def test_tags_and_sources_of_frames_with_the_text_are_counted() -> None:
    frames = [frame(6, b"the secret", tagged=True), frame(6, b"the secret"), frame(6, b"else", tagged=True)]
    assert count(pcap(*frames), b"secret")["tags"] == {"10": {"0.0.0.1": 1}, "": {"0.0.0.1": 1}}


# --- the experiment


def test_captures_of_the_trunk_stand_around_the_probes_and_are_undone() -> None:
    check = runner_check(KIND)
    stages = walk(REGISTRY[KIND].stages(check, runner_plan(check), random.Random(1)), make_scene())
    begin, read = (stage for stage in stages if isinstance(stage, Commands))
    assert stages.index(begin) < stages.index(read) - 1
    assert all(command.undo and "eth1" in command.argv for command in begin.commands)
    assert {command.f for command in read.commands} == {"capture"}


@pytest.mark.parametrize("networks", [{}, {"app": VLANS["app"]}, {"app": VLANS["app"], "back": VLANS["app"]}])
def test_without_two_vlans_of_one_interface_it_says_what_there_is(networks: dict[str, Any]) -> None:
    check = runner_check(KIND)
    topology = Topology.model_validate({"name": "t", "networks": networks})
    made = dataclasses.replace(runner_plan(check), topology=topology)
    with pytest.raises(UsageError, match="two VLANs or more of one interface"):
        walk(REGISTRY[KIND].stages(check, made, random.Random(1)), make_scene())
