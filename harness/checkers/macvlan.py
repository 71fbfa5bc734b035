"""Judges a macvlan: a MAC of its own for each container, seen where its node is, and who can reach whom."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import permutations

from harness.checkers._answers import Answer, failure, judge_open
from harness.checkers._names import NameKey
from harness.checkers._promises import measured, with_promises
from harness.checkers._scene import Container, ProbeKey, Scene, scene_at
from harness.checkers._tally import Tally, last_of_each
from harness.model.history import NO_WIRE, History, Op
from harness.model.plan import NetworkPlan, Plan
from harness.model.topology import Check
from harness.model.verdict import Expected, Promise, Skip, Verdict

#: A macvlan's frames go out by the parent, or to another child of it, and never to the parent itself.
OWN_NODE = "kernel, drivers/net/macvlan.c: a child and its parent exchange no frames (known limit)"
SHIM = "kernel, drivers/net/macvlan.c: children of one parent reach each other in mode bridge"
NO_NAMES = "Docker's own resolver knows the containers of its engine; a node-local network has no other"
OWN_NAMES = "Docker, embedded DNS of user-defined networks: containers of one engine resolve each other"
NO_POD_NAMES = "Multus's standard: DNS knows pods by their addresses on the cluster's network alone"
SWARM_NAMES = "Docker: names of a network with scope swarm are known on every node"


def check(history: History, plan: Plan, check: Check) -> Verdict:
    """Params used: `network`. What the kernel does not do (a container and its own node) is a known limit, not a
    failure; it is measured and shown.
    """
    chosen = check.params.get("network")
    network = next(n for n in plan.networks if n.driver == "macvlan" and chosen in (None, n.name))
    scene, tally = scene_at(history), Tally()
    present = scene.on(network.name)
    probes = last_of_each(history.only(f=("icmp", "tcp")).ops())
    skipped = _judge_macs(tally, history, present, check)
    _judge_pairs(tally, probes, scene, plan, network)
    own = _judge_visitors(tally, probes, scene, present)
    tally.doubts += _commands_that_failed(history)
    by_shim: Expected = "holds" if network.same_node else "may"
    promises = (
        measured("reached from its own node", "may", own, _answered, OWN_NODE, _told),
        measured("reached through a shim", by_shim, _shim_answers(probes), _answered, SHIM, _told),
        *_names_promises(history, scene, network, plan.orchestrator),
    )
    good = f"{len(present)} containers with MACs of their own: {tally.correct} assertions hold"
    return replace(with_promises(tally.verdict(check, good), promises), skipped=skipped)


def _judge_pairs(tally: Tally, probes: Sequence[Op], scene: Scene, plan: Plan, network: NetworkPlan) -> None:
    found = set()
    for row in probes:
        key = ProbeKey.parse(row.key)
        if key.via not in ("visitor", "shim"):
            judge_open(tally, row, key, scene, plan)
            found.add((row.at, key.to, key.family))
    for source, target in permutations(scene.on(network.name), 2):
        for family in network.families if network.joins(source.node, target.node) else ():
            if (source.name, target.name, family) not in found:
                tally.doubts.append(f"not probed: {source.name} -> {target.name} (IPv{family})")


def _judge_macs(tally: Tally, history: History, present: Sequence[Container], check: Check) -> tuple[Skip, ...]:
    """Each container's MAC is its own, and its bridge port is that of its node's parent."""
    macs = {row.at: str(row.value) for row in history.only(f="mac").ops()}
    parents = {row.at: str(row.value).strip() for row in history.only(f="parent").ops() if row.outcome == "ok"}
    table = next(iter(history.only(f="fdb").ops()), None)
    owners: dict[str, str] = {parent: node for node, parent in parents.items()}
    for container in present:
        mac = macs.get(container.name, "")
        other = owners.setdefault(mac, container.name)
        if not mac:
            tally.doubts.append(f"{container.name}: its MAC is not known")
        elif other != container.name:
            tally.wrong.append(f"{container.name} and {other} have one MAC, {mac}")
        else:
            tally.right()
    if table is None or table.value == NO_WIRE:
        return (Skip(check.id, "MACs on the wire", NO_WIRE),)
    if table.outcome != "ok":
        tally.doubts.append(f"the wire's table could not be read: {table.value}")
        return ()
    begun_ns = min(row.start_ns for row in history.only(f=("icmp", "tcp", "parent")).ops())
    ports = _ports(str(table.value), (table.end_ns - begun_ns) / 1e9)
    _judge_ports(tally, ports, present, macs, parents)
    return ()


def _judge_ports(
    tally: Tally,
    ports: Mapping[str, str],
    present: Sequence[Container],
    macs: Mapping[str, str],
    parents: Mapping[str, str],
) -> None:
    for container in (container for container in present if container.name in macs):
        home = ports.get(parents.get(container.node, ""))
        seen = ports.get(macs[container.name])
        if home is None:
            tally.doubts.append(
                f"the wire has not seen {container.node}, so nothing says where {container.name} belongs"
            )
        elif seen is None:
            tally.wrong.append(f"{container.name}: its MAC was not seen on the wire")
        elif seen != home:
            tally.wrong.append(f"{container.name}: its MAC was seen at {seen}, but {container.node} is at {home}")
        else:
            tally.right()


def _ports(table: str, within_s: float) -> dict[str, str]:
    """MAC to bridge port, of what was learned in the last `within_s`: a bridge forgets after minutes only, and its
    clock has whole seconds. Its own entries are permanent.
    """
    learned = [row for row in json.loads(table) if "master" in row and row.get("state") != "permanent"]
    return {row["mac"]: row["ifname"] for row in learned if row.get("updated", 0) <= within_s + 1}


def _judge_visitors(tally: Tally, probes: Sequence[Op], scene: Scene, present: Sequence[Container]) -> list[Op]:
    """Other nodes must reach a container. Returns the answers to each container's own node."""
    rows = {(row.at, ProbeKey.parse(row.key).to): row for row in probes if row.key.startswith("visitor|")}
    own = []
    for node in scene.nodes:
        for container in present:
            row = rows.get((node, container.name))
            if row is None:
                tally.doubts.append(f"not probed: {node} -> {container.name}")
            elif container.node == node:
                own.append(row)
            elif Answer.of(row).got == "ok":
                tally.right()
            else:
                tally.fail(failure(row, ProbeKey.parse(row.key), "ok", Answer.of(row).got))
    return own


def _shim_answers(probes: Sequence[Op]) -> list[Op]:
    return [row for row in probes if row.key.startswith("shim|")]


def _commands_that_failed(history: History) -> Iterator[str]:
    for row in history.only(f=("command", "parent")).ops():
        if row.outcome != "ok":
            yield f"{row.key} on {row.host}: {row.value}"


def _answered(row: Op) -> bool:
    return Answer.of(row).got == "ok"


def _told(row: Op) -> str:
    return f"{row.at} -> {ProbeKey.parse(row.key).to}: {row.value}"


def _names_promises(history: History, scene: Scene, network: NetworkPlan, orchestrator: str) -> Iterator[Promise]:
    """A name must lead to the containers of its service on this network, and to no others.

    Neighbours are promised only where there are some, and where the orchestrator gives this network names at all.
    """
    meant = {service: set[str]() for service in {c.service for c in scene.on(network.name)}}
    for container in scene.on(network.name):
        meant[container.service].add(container.addresses[network.name])
    rows = list(history.only(f="dns").ops())
    across = [row for row in rows if NameKey.parse(row.key).phase == "across"]
    near = [row for row in rows if NameKey.parse(row.key).phase == "neighbour"]

    def is_right(row: Op) -> bool:
        return set(str(row.value).split(",")) == meant.get(NameKey.parse(row.key).name)

    expected: Expected = "holds" if network.resolves_names else "may"
    source = SWARM_NAMES if network.resolves_names else NO_NAMES
    nearby: tuple[Expected, str] = ("holds", OWN_NAMES)
    if orchestrator == "kubernetes":
        source, nearby = NO_POD_NAMES, ("may", NO_POD_NAMES)
    yield measured("names resolve across nodes", expected, across, is_right, source, _asked)
    if len(scene.spread(network.name)) < len(scene.on(network.name)):
        yield measured("names resolve on a node", nearby[0], near, is_right, nearby[1], _asked)


def _asked(row: Op) -> str:
    return f"{row.at} asks for {NameKey.parse(row.key).name}: {row.value}"
