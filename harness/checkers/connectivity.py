"""Judges who reaches whom: containers reach each other if and only if they share a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness.checkers._answers import PROBES, judge_closed, judge_open, kind_of, reached_anybody
from harness.checkers._expected import asked, closed_probes, missing, open_probes
from harness.checkers._scene import ProbeKey, Scene, phases, scene_at
from harness.checkers._tally import Tally, last_of_each
from harness.model.history import History, Op
from harness.model.plan import Plan
from harness.model.topology import Check
from harness.model.verdict import Verdict


def check(history: History, plan: Plan, check: Check) -> Verdict:
    """Params used: `protocols`, `services`. An open pair must be answered by whom it means, a closed one by
    nobody; what the plan calls for and nobody probed is unknown; a container that does not run fails.
    """
    services = list(check.params.get("services") or [target.service for target in plan.targets])
    scene = _only(scene_at(history, next(iter(phases(history)), None)), services)
    rows = last_of_each(history.only(f=PROBES).ops())
    tally = Tally()
    _count_containers(tally, scene, plan, services)
    _count_addresses(tally, scene, plan)
    _judge_rows(tally, rows, scene, plan)
    protocols = list(check.params.get("protocols") or PROBES)
    found = asked(rows)
    tally.doubts += missing(open_probes(scene, _narrowed(plan, services), protocols, rows), found)
    tally.doubts += missing(closed_probes(scene, plan, protocols), found)
    return tally.verdict(check, f"{len(scene.containers)} containers: all {tally.correct} assertions hold")


def _only(scene: Scene, services: Sequence[str]) -> Scene:
    return replace(scene, containers={n: c for n, c in scene.containers.items() if c.service in services})


def _narrowed(plan: Plan, services: Sequence[str]) -> Plan:
    return replace(plan, targets=tuple(target for target in plan.targets if target.service in services))


def _count_containers(tally: Tally, scene: Scene, plan: Plan, services: Sequence[str]) -> None:
    for target in plan.targets:
        running = len(scene.of(target.service))
        if target.service in services and running < target.containers:
            tally.wrong.append(f"{target.service}: {running} of {target.containers} containers run")


def _count_addresses(tally: Tally, scene: Scene, plan: Plan) -> None:
    """On a network of both families every container must have been given an address of both."""
    for network in (network for network in plan.networks if network.ipv6):
        for container in scene.on(network.name):
            if network.name in container.addresses6:
                tally.right()
            else:
                tally.wrong.append(f"{container.name} has no IPv6 address on {network.name}")


def _judge_rows(tally: Tally, rows: list[Op], scene: Scene, plan: Plan) -> None:
    reached = reached_anybody(rows, scene, plan)
    for row in rows:
        key = ProbeKey.parse(row.key)
        kind = kind_of(scene, plan, key, row.at)
        if kind == "open":
            judge_open(tally, row, key, scene, plan)
        elif kind == "closed":
            judge_closed(tally, row, key, reached)
        else:
            tally.ignored += 1
