"""Judges what nodes put on the wire while containers talked: ESP, and nothing of it in the clear."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from harness.checkers._answers import Answer
from harness.checkers._scene import Container, ProbeKey, Scene, scene_at
from harness.checkers._tally import Tally, last_of_each
from harness.model.history import History, Op
from harness.model.plan import Plan
from harness.model.topology import Check
from harness.model.verdict import Verdict


def check(history: History, plan: Plan, check: Check) -> Verdict:  # noqa: ARG001
    """On every node whose containers were heard across nodes: ESP was seen, no VXLAN of the network in the clear,
    and no frame with the text that containers sent. Without an answer across nodes nothing can be said of a node.
    """
    scene, tally = scene_at(history), Tally()
    talked = _talked(last_of_each(history.only(f=("tcp", "udp")).ops()), scene)
    captures = {row.at: row for row in history.only(f="capture").ops()}
    tally.doubts += [f"{row.key}: {row.value}" for row in history.only(f="command").ops() if row.outcome != "ok"]
    for node in sorted(talked):
        row = captures.get(node)
        if row is None or row.outcome != "ok":
            tally.doubts.append(f"{node}: what it put on the wire is not known{f': {row.value}' if row else ''}")
        else:
            _judge_node(tally, node, json.loads(str(row.value)))
    if not talked:
        tally.doubts.append("nothing was answered across nodes, so there was nothing to encrypt")
    return tally.verdict(check, f"on {len(talked)} nodes only ESP was seen, and no text of containers")


def _talked(rows: list[Op], scene: Scene) -> set[str]:
    """Nodes that have a container that was answered by one of another node, and the nodes of those."""
    nodes: set[str] = set()
    for row in rows:
        ends = (scene.containers.get(row.at), scene.containers.get(ProbeKey.parse(row.key).to))
        if Answer.of(row).got == "ok" and _apart(*ends):
            nodes |= {end.node for end in ends if end is not None}
    return nodes


def _apart(one: Container | None, other: Container | None) -> bool:
    return one is not None and other is not None and one.node != other.node


def _judge_node(tally: Tally, node: str, found: Mapping[str, Any]) -> None:
    clear = int(found["vxlan"].get(found["vni"], 0))
    if not found["vni"]:
        tally.doubts.append(f"{node}: its engine does not say by which number the network goes on the wire")
        return
    if clear:
        tally.wrong.append(f"{node}: {clear} packets of the network (VNI {found['vni']}) in the clear")
    if found["text"]:
        tally.wrong.append(f"{node}: {found['text']} frames with the containers' own text")
    if clear or found["text"]:
        return
    if not found["esp"]:
        tally.doubts.append(f"{node}: containers were answered, and neither ESP nor VXLAN was seen")
    else:
        tally.right(3)
        tally.figures[f"{node}: packets of ESP"] = found["esp"]
