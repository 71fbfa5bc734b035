"""Judges VLANs on one trunk (IEEE 802.1Q): each reaches its own and no other, and frames carry its own tag."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from harness.checkers._answers import Answer, judge_closed, judge_open, reached_anybody
from harness.checkers._scene import ProbeKey, Scene, scene_at
from harness.checkers._tally import Tally, last_of_each
from harness.model.history import History, Op
from harness.model.plan import Plan
from harness.model.topology import Check
from harness.model.verdict import Verdict

Sources = Mapping[str, Mapping[str, int]]


class Member(NamedTuple):
    """A container on a VLAN, by its address there."""

    name: str
    node: str
    network: str
    tag: str


def check(history: History, plan: Plan, check: Check) -> Verdict:
    """Every pair of one VLAN answers across nodes and none of two. On the trunks of both ends frames of a pair
    that talked were seen under its VLAN's tag, and none of a container under another tag or without one.
    """
    scene, tally = scene_at(history), Tally()
    members = dict(_members(scene, plan))
    rows = last_of_each(history.only(f=("tcp", "udp")).ops())
    talked = _judge_probes(tally, rows, scene, plan)
    if not talked:
        tally.doubts.append("nothing was answered within a VLAN, so no tag can be looked for")
    tally.doubts += [f"{row.key}: {row.value}" for row in history.only(f="command").ops() if row.outcome != "ok"]
    captures = {row.at: row for row in history.only(f="capture").ops()}
    for node in sorted({node for node, _ in talked}):
        row = captures.get(node)
        if row is None or row.outcome != "ok":
            tally.doubts.append(f"{node}: what passed its trunk is not known{f': {row.value}' if row else ''}")
        else:
            networks = {network for at, network in talked if at == node}
            _judge_node(tally, node, json.loads(str(row.value))["tags"], members, networks)
    vlans = ", ".join(sorted({member.tag for member in members.values()}, key=int))
    return tally.verdict(check, f"VLANs {vlans}: each reaches its own alone, and every frame has its tag")


def _members(scene: Scene, plan: Plan) -> Iterator[tuple[str, Member]]:
    for network, vlan in plan.topology.vlans.items():
        tag = vlan.parent.partition(".")[2]
        for container in scene.on(network):
            yield container.addresses[network], Member(container.name, container.node, network, tag)


def _judge_probes(tally: Tally, rows: list[Op], scene: Scene, plan: Plan) -> set[tuple[str, str]]:
    """Nodes and networks of pairs that talked."""
    talked, reached = set(), reached_anybody(rows, scene, plan)
    for row in rows:
        key = ProbeKey.parse(row.key)
        source, target = scene.containers.get(row.at), scene.containers.get(key.to)
        if source is None or target is None:
            tally.ignored += 1
        elif key.network in source.addresses:
            judge_open(tally, row, key, scene, plan)
            if Answer.of(row).got == "ok":
                talked |= {(source.node, key.network), (target.node, key.network)}
        else:
            judge_closed(tally, row, key, reached)
    return talked


def _judge_node(tally: Tally, node: str, tags: Sources, members: Mapping[str, Member], networks: set[str]) -> None:
    seen = set()
    for tag, sources in sorted(tags.items()):
        for address, count in sorted(sources.items()):
            member = members.get(address)
            if member is None:
                tally.ignored += 1
            elif member.tag == tag:
                seen.add(member.network)
                tally.right()
            else:
                under = f"the tag {tag}" if tag else "no tag"
                tally.wrong.append(
                    f"{node}: {count} frames of {member.name} ({address}, VLAN {member.tag}) under {under}"
                )
    for network in sorted(networks - seen):
        tally.doubts.append(
            f"{node}: containers of {network} talked, and no frame of theirs was seen on its trunk"
        )
