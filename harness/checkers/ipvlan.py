"""Judges an ipvlan: the MAC and the mode of each container's link, and who reaches whom."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import Any

from harness.checkers._answers import Answer, failure, judge_open
from harness.checkers._promises import measured, with_promises
from harness.checkers._scene import Container, ProbeKey, Scene, scene_at
from harness.checkers._tally import Tally, last_of_each
from harness.model.history import History, Op
from harness.model.plan import Plan
from harness.model.topology import Check
from harness.model.verdict import Promise, Verdict

UNROUTED = "kernel, Documentation/networking/ipvlan.rst: in L3 mode nodes route, and broadcasts reach no container"
#: A container, and the part of the network that it is on.
Member = tuple[Container, str]


def check(history: History, plan: Plan, check: Check) -> Verdict:
    """Params used: `network`. Every container has its node's MAC on a link of the mode that was asked for. In mode
    l2 all reach each other. In l3 and l3s those of one node do, and those of others by a route of the node;
    without one they are not promised to, which is measured and shown.
    """
    chosen = check.params.get("network")
    parts = [n for n in plan.networks if n.driver == "ipvlan" and chosen in (None, n.base)]
    mode = plan.topology.networks[parts[0].base].driver_opts.get("ipvlan_mode", "l2")
    scene, tally = scene_at(history), Tally()
    present = [(container, part.name) for part in parts for container in scene.on(part.name)]
    _judge_links(tally, history, present, mode)
    rows = last_of_each(history.only(f=("icmp", "tcp")).ops())
    _judge_pairs(tally, rows, scene, plan, present)
    tally.doubts += [f"{row.key}: {row.value}" for row in history.only(f="command").ops() if row.outcome != "ok"]
    promises = () if parts[0].linked else (_unrouted(rows),)
    good = f"{len(present)} containers with the MACs of their nodes, mode {mode}: {tally.correct} assertions hold"
    return with_promises(tally.verdict(check, good), promises)


def _judge_links(tally: Tally, history: History, present: Sequence[Member], mode: str) -> None:
    shown = {row.at: row for row in history.only(f=("link", "parent")).ops()}
    for container, network in present:
        own, node = shown.get(container.name), shown.get(container.node)
        if own is None or node is None or "fail" in (own.outcome, node.outcome):
            tally.doubts.append(f"{container.name}: its link or its node's is not known")
            continue
        link = _link_with(json.loads(str(own.value)), container.addresses[network])
        parents = json.loads(str(node.value))
        wrong = _wrong_with(link, parents[0].get("address", "") if parents else "", mode)
        if wrong:
            tally.wrong.append(f"{container.name}: {wrong}")
        else:
            tally.right()


def _link_with(links: Sequence[Mapping[str, Any]], address: str) -> Mapping[str, Any]:
    """The interface that has this address; empty where none has."""
    for link in links:
        if address in [each.get("local") for each in link.get("addr_info", ())]:
            return link
    return {}


def _wrong_with(link: Mapping[str, Any], parent_mac: str, mode: str) -> str:
    if not link:
        return "no interface has its address"
    info = link.get("linkinfo", {})
    kind, found = info.get("info_kind", "no kind"), info.get("info_data", {}).get("mode", "")
    if kind != "ipvlan":
        return f"its interface is no ipvlan but {kind}"
    if found != mode:
        return f"its mode is {found}, not {mode}"
    if link.get("address") != parent_mac:
        return f"its MAC is {link.get('address')}, and its node's is {parent_mac}"
    return ""


def _judge_pairs(tally: Tally, rows: Sequence[Op], scene: Scene, plan: Plan, present: Sequence[Member]) -> None:
    found = set()
    for row in rows:
        key = ProbeKey.parse(row.key)
        found.add((row.at, key.to, key.via))
        if key.via == "routed":
            _judge_routed(tally, row, key)
        elif key.via != "unrouted":
            judge_open(tally, row, key, scene, plan)
    for (source, network), (target, other) in permutations(present, 2):
        via = "ip" if network == other else "routed"
        if (source.name, target.name, via) not in found:
            tally.doubts.append(f"not probed: {source.name} -> {target.name} ({via})")


def _judge_routed(tally: Tally, row: Op, key: ProbeKey) -> None:
    answer = Answer.of(row)
    if answer.got != "ok":
        tally.fail(failure(row, key, "ok", answer.got))
    elif row.f == "icmp" or answer.peer == key.to:
        tally.right()
    else:
        tally.fail(failure(row, key, "ok", "wrong-peer"), f", answered by {answer.peer or 'a stranger'}")


def _unrouted(rows: Sequence[Op]) -> Promise:
    asked = [row for row in rows if ProbeKey.parse(row.key).via == "unrouted"]
    return measured("reached across nodes without a route", "may", asked, _answered, UNROUTED, _told)


def _answered(row: Op) -> bool:
    return Answer.of(row).got == "ok"


def _told(row: Op) -> str:
    return f"{row.at} -> {ProbeKey.parse(row.key).to}: {row.value}"
