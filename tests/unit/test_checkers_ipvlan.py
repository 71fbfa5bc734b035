"""ipvlan: the MAC and mode of each link, and who must reach whom in layer 2 and in layer 3."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from harness.checkers import judge
from harness.checkers.ipvlan import UNROUTED
from harness.model.errors import UsageError
from harness.model.history import History, Op
from harness.model.plan import NetworkPlan, Plan, Target
from harness.model.topology import Topology
from harness.model.verdict import Verdict
from harness.ports import Commands
from harness.workloads import REGISTRY
from tests.checkers_scene import NODES, look, make_check, make_plan, row
from tests.runner_fakes import entries, make_scene, walk
from tests.runner_fakes import make_check as runner_check
from tests.runner_fakes import make_plan as runner_plan

KIND = "ipvlan"
#: Two on n1, one on n2.
AT = {"web.1": ("n1", "10.1.0.1"), "web.2": ("n2", "10.1.0.2"), "web.3": ("n1", "10.1.0.9")}
PARENT = {node: f"02:42:00:00:00:0{number}" for number, node in enumerate(NODES)}


def part(name: str, mode: str) -> str:
    """The network that a container is on: in layer 3 each node has its own."""
    return "app" if mode == "l2" else f"app@{AT[name][0]}"


def scene(mode: str) -> list[Op]:
    rows = look(KIND, containers={})
    for name, (node, address) in AT.items():
        who = {"process": "web", "host": node, "at": name}
        rows.append(row("task", KIND, **who, key="start|web", value="running"))
        rows.append(row("endpoint", KIND, **who, key=f"start|{part(name, mode)}", value=address))
    return rows


def key(via: str, to: str, mode: str) -> str:
    return f"{via}|{part(to, mode)}|4|{to}|{AT[to][1]}"


def link(name: str, mode: str, **changes: Any) -> Op:
    node, address = AT[name]
    info = {"info_kind": changes.get("kind", "ipvlan"), "info_data": {"mode": mode}}
    own = {"address": changes.get("mac", PARENT[node]), "linkinfo": info, "addr_info": [{"local": address}]}
    lo = {"address": "00:00:00:00:00:00", "addr_info": [{"local": "127.0.0.1"}]}
    return row("link", KIND, host=node, at=name, key="app", value=json.dumps([lo, own]))


def probes(mode: str, **answers: str) -> list[Op]:
    """As they are where all is well; `answers` replaces those of a way: `ip`, `routed`, `unrouted`."""
    rows = []
    for at, (node, _) in AT.items():
        for to, (home, _) in AT.items():
            if at == to:
                continue
            near = mode == "l2" or node == home
            ways = {"ip": f"ok {to}"} if near else {"unrouted": "timeout", "routed": f"ok {to}"}
            for via, value in ways.items():
                told = answers.get(via, value).format(to=to)
                rows.append(row("tcp", KIND, host=node, at=at, key=key(via, to, mode), value=told))
    return rows


def verdict_on(mode: str, *, links: list[Op] | None = None, rows: list[Op] | None = None, **more: Any) -> Verdict:
    parents = [
        row("parent", KIND, host=node, at=node, key="app", value=json.dumps([{"address": mac}]))
        for node, mac in PARENT.items()
    ]
    shown = [link(name, mode) for name in AT] if links is None else links
    asked = probes(mode) if rows is None else rows
    extra = more.get("extra", [])
    history = History.of([*scene(mode), *parents, *shown, *asked, *extra])
    return judge(history, plan(mode), make_check(KIND))


def plan(mode: str) -> Plan:
    options = {"ipvlan_mode": mode}
    network = {"driver": "ipvlan", "driver_opts": options}
    topology = Topology.model_validate({"name": "test", "networks": {"app": network}})
    parts = ["app"] if mode == "l2" else [f"app@{node}" for node in NODES]
    networks = [NetworkPlan(each, "ipvlan", 1500, False, linked=mode == "l2") for each in parts]
    targets = (Target("web", 3, "replicated", dict.fromkeys(parts, ("web",))),)
    return make_plan(topology=topology, networks=tuple(networks), targets=targets)


def test_layer_2_reaches_across_nodes_with_the_nodes_macs() -> None:
    verdict = verdict_on("l2")
    assert (verdict.verdict, verdict.correct, verdict.promises) == ("pass", 3 + 6, ())


@pytest.mark.parametrize("mode", ["l3", "l3s"])
def test_layer_3_reaches_across_nodes_by_their_routes_alone(mode: str) -> None:
    verdict = verdict_on(mode)
    assert (verdict.verdict, verdict.correct) == ("pass", 3 + 2 + 4), verdict.reason
    promise = verdict.promises[0]
    assert (promise.expected, promise.observed, promise.count, promise.source) == ("may", "broken", 4, UNROUTED)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"mac": "02:42:00:00:00:77"}, "web.2: its MAC is 02:42:00:00:00:77, and its node's is 02:42:00:00:00:01"),
        ({"kind": "macvlan"}, "web.2: its interface is no ipvlan but macvlan"),
        ({"mode": "l2"}, "web.2: its mode is l2, not l3"),
    ],
)
def test_a_link_of_another_kind_mode_or_mac_fails(changed: dict[str, str], told: str) -> None:
    links = [link("web.1", "l3"), link("web.3", "l3"), link("web.2", changed.pop("mode", "l3"), **changed)]
    verdict = verdict_on("l3", links=links)
    assert verdict.verdict == "fail"
    assert told in verdict.reason


def test_a_container_without_its_address_fails() -> None:
    empty = row("link", KIND, host="n2", at="web.2", key="app", value="[]")
    verdict = verdict_on("l2", links=[link("web.1", "l2"), link("web.3", "l2"), empty])
    assert verdict.verdict == "fail"
    assert "web.2: no interface has its address" in verdict.reason


@pytest.mark.parametrize(
    ("mode", "way", "answer"),
    [
        ("l2", "ip", "timeout"),
        ("l3", "ip", "timeout"),
        ("l3", "routed", "timeout"),
        ("l3", "routed", "ok lone"),
    ],
)
def test_who_must_be_reached_and_is_not_fails(mode: str, way: str, answer: str) -> None:
    verdict = verdict_on(mode, rows=probes(mode, **{way: answer}))
    assert verdict.verdict == "fail"


def test_to_be_reached_without_a_route_is_no_failure_and_is_shown() -> None:
    verdict = verdict_on("l3", rows=probes("l3", unrouted="ok {to}"))
    assert (verdict.verdict, verdict.promises[0].observed) == ("pass", "kept")


@pytest.mark.parametrize(("mode", "lost"), [("l2", "ip"), ("l3", "routed")])
def test_pairs_that_were_not_probed_are_unknown(mode: str, lost: str) -> None:
    rows = [each for each in probes(mode) if not (each.at == "web.1" and each.key.startswith(f"{lost}|"))]
    verdict = verdict_on(mode, rows=rows)
    assert verdict.verdict == "unknown"
    assert f"not probed: web.1 -> web.2 ({lost})" in verdict.reason


def test_what_is_not_known_of_links_and_routes_is_unknown() -> None:
    assert verdict_on("l2", links=[]).verdict == "unknown"
    failed = row("command", KIND, at="n1", key="route to web.2 on n1", value="no such device", outcome="fail")
    verdict = verdict_on("l3", extra=[failed])
    assert verdict.verdict == "unknown"
    assert "route to web.2 on n1: no such device" in verdict.reason


# --- the experiment


def test_layer_3_asks_before_and_after_the_routes_which_are_undone() -> None:
    check = runner_check(KIND)
    scene = make_scene()
    stages = walk(REGISTRY[KIND].stages(check, runner_plan(check), random.Random(1)), scene)
    vias = [entry["key"].partition("|")[0] for _, entry in entries(stages, "probe", "probes")]
    assert vias == sorted(vias, key=["ip", "name", "service", "alias", "unrouted", "routed"].index)
    assert {"unrouted", "routed"} <= set(vias)
    *_, routes = (stage for stage in stages if isinstance(stage, Commands))
    assert routes.commands
    for command in routes.commands:
        assert command.undo[-3:] == command.argv[-3:]
        assert command.argv[-1] == "eth0"
        assert command.argv[-2] in scene.nodes.values()


def test_without_such_a_network_it_says_what_there_is() -> None:
    check = runner_check(KIND)
    with pytest.raises(UsageError, match="one ipvlan network; there is none"):
        walk(REGISTRY[KIND].stages(check, runner_plan(), random.Random(1)), make_scene())
