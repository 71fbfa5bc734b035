"""Judges services: virtual addresses lead to all behind them, published ports answer on every node."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product

from harness.checkers._answers import UNVERIFIED, Answer, failure, judge_open
from harness.checkers._names import judge_names, settling
from harness.checkers._scene import Container, ProbeKey, Scene, carriers, phases, scene_at
from harness.checkers._tally import Tally, last_of_each
from harness.model.history import History, Op
from harness.model.plan import Plan, Target
from harness.model.topology import Check
from harness.model.verdict import Failure, Verdict

PROTOCOLS = ("tcp", "udp")
RESTARTED = "restarted"


def check(history: History, plan: Plan, check: Check) -> Verdict:
    """Params used: `services`. In each phase: from every container that asks, a virtual address must lead to
    containers of its own node, of other nodes, and to the asker itself where it is one of them (hairpin); each
    port of the cluster (NodePort, ingress) must answer at every node's address, whichever node asks; a headless
    name must mean its containers exactly. What the cluster's kernel lacks is not asked for.
    """
    tally = Tally()
    targets = _targets(plan, check)
    if any(target.endpoint_mode == "dnsrr" for target in targets):
        tally.figures |= settling(judge_names(tally, history, plan))
    for phase in phases(history):
        scene = scene_at(history, phase)
        rows = last_of_each(_of_phase(history, phase))
        _judge_dials(tally, rows, scene, plan, targets, phase)
        _judge_node_ports(tally, rows, scene, plan, targets, phase)
    asked = "before and after their containers were replaced" if RESTARTED in phases(history) else "as they are"
    return tally.verdict(check, f"{len(targets)} services, {asked}: all {tally.correct} assertions hold")


def _targets(plan: Plan, check: Check) -> list[Target]:
    wanted = set(check.params.get("services") or [target.service for target in plan.targets])
    return [target for target in plan.targets if target.service in wanted and target.networks and not target.host]


def _of_phase(history: History, phase: str) -> list[Op]:
    """Connections that were made between the look of a phase and the next one."""
    looks = {row.key.partition("|")[0]: row.start_ns for row in reversed(list(history.only(f="task").ops()))}
    begins = looks.get(phase, 0)
    ends = min((at for at in looks.values() if at > begins), default=None)
    rows = history.only(f=PROTOCOLS).ops()
    return [row for row in rows if begins <= row.start_ns and (ends is None or row.start_ns < ends)]


def _judge_dials(
    tally: Tally, rows: Sequence[Op], scene: Scene, plan: Plan, targets: Sequence[Target], phase: str
) -> None:
    for target in (
        t for t in targets if t.endpoint_mode == "vip" and not plan.lacks(f"service {t.service}", "vip")
    ):
        for network, protocol in product(target.networks, PROTOCOLS):
            behind = _behind(scene, plan, network, target.service)
            asked = _by_asker(rows, "service", network, target.service, protocol)
            askers = {name: scene.containers[name] for name in asked if name in scene.containers}
            if not askers:
                tally.doubts.append(f"nobody connected to {target.service} on {network} by {protocol} ({phase})")
            tally.doubts += _unasked(target, network, protocol, behind, askers, phase)
            for name, asker in askers.items():
                _judge_asker(tally, asker, asked[name], behind, target.service, phase)


def _behind(scene: Scene, plan: Plan, network: str, service: str) -> dict[str, Container]:
    """Those that answer to a service's name."""
    services = {target.service for target in carriers(plan, network, service)}
    return {c.name: c for c in scene.on(network) if c.service in services}


def _unasked(
    target: Target,
    network: str,
    protocol: str,
    behind: Mapping[str, Container],
    askers: Mapping[str, Container],
    phase: str,
) -> Iterator[str]:
    """Nobody behind the address connected to it: no hairpin was tried at all."""
    if behind and not behind.keys() & askers.keys():
        yield f"no container of {target.service} connected to it on {network} by {protocol} ({phase}): no hairpin"


def _by_asker(rows: Sequence[Op], via: str, network: str, to: str, protocol: str) -> dict[str, list[Op]]:
    found: dict[str, list[Op]] = {}
    for row in rows:
        key = ProbeKey.parse(row.key)
        if (key.via, key.network, key.to, row.f) == (via, network, to, protocol):
            found.setdefault(row.at, []).append(row)
    return found


def _judge_asker(
    tally: Tally, asker: Container, rows: list[Op], behind: Mapping[str, Container], service: str, phase: str
) -> None:
    """All connections are answered by those that are meant, and each kind of way was taken."""
    answers = [Answer.of(row) for row in rows]
    missed = [(row, answer) for row, answer in zip(rows, answers, strict=True) if answer.got != "ok"]
    strangers = {a.peer for a in answers if a.got == "ok"} - behind.keys()
    reached = {answer.peer for answer in answers if answer.got == "ok"}
    unreached = {how: names for how, names in _ways(asker, behind).items() if not names & reached}
    lost = "; ".join(f"never {how} ({', '.join(sorted(names))})" for how, names in unreached.items())
    if missed:
        row, answer = missed[0]
        told = failure(row, ProbeKey.parse(row.key), "ok", answer.got)
        tally.fail(told, f", {len(missed)} of {len(rows)} connections{', ' if lost else ''}{lost} ({phase})")
    elif strangers - {"", UNVERIFIED}:
        told = failure(rows[0], ProbeKey.parse(rows[0].key), "ok", "wrong-peer")
        tally.fail(told, f", answered by {', '.join(sorted(strangers))} ({phase})")
    elif strangers:
        tally.doubts.append(f"{asker.name} -> {service}: peer unverified ({phase})")
    elif unreached:
        told = Failure(asker.name, service, "service", rows[0].f, 4, "ok", "timeout")
        tally.fail(told, f", of {len(rows)} connections {lost} ({phase})")
    else:
        tally.right(len(_ways(asker, behind)))


def _ways(asker: Container, behind: Mapping[str, Container]) -> dict[str, set[str]]:
    """Kinds of ways from a container to those behind an address; only those that there are."""
    others = {name: c for name, c in behind.items() if name != asker.name}
    ways = {
        "to itself": behind.keys() & {asker.name},
        "to its own node": {name for name, c in others.items() if c.node == asker.node},
        "to other nodes": {name for name, c in others.items() if c.node != asker.node},
    }
    return {how: set(names) for how, names in ways.items() if names}


def _judge_node_ports(
    tally: Tally, rows: Sequence[Op], scene: Scene, plan: Plan, targets: Sequence[Target], phase: str
) -> None:
    asked = set()
    for row in rows:
        key = ProbeKey.parse(row.key)
        if key.via == "ingress":
            asked.add((row.at, key.to, row.f, key.address))
            judge_open(tally, row, key, scene, plan)
    for target in (t for t in targets if not plan.lacks(f"service {t.service}", "ingress")):
        protocols = {str(port["protocol"]) for port in target.ports if port["mode"] == "ingress"}
        for node, protocol, (other, address) in product(scene.nodes, sorted(protocols), scene.nodes.items()):
            if target.kind != "plain" and (node, target.service, protocol, address) not in asked:
                tally.doubts.append(f"not probed: {node} -> {target.service} at {other} ({protocol}, {phase})")
