"""Judges bridges: addresses from their subnets, a published port and a second claim to it, names that follow."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence

from harness.checkers._answers import judge_open
from harness.checkers._names import NOTHING, NameKey
from harness.checkers._promises import measured, with_promises
from harness.checkers._scene import ProbeKey, Scene, phases, scene_at
from harness.checkers._tally import Tally, last_of_each
from harness.model.history import History, Op
from harness.model.plan import Plan
from harness.model.topology import Check
from harness.model.verdict import Failure, Verdict

DEFAULT = "default"
NO_NAMES = "Docker: Bridge network driver: on the default bridge containers know each other by address only"
RENAMES = "moby PR 22716 meant it so; in a swarm engine 26.1 goes on with the old name, outside of one it follows"
RENAMED = "renamed"


def check(history: History, plan: Plan, check: Check) -> Verdict:
    """Params used: `network`. That names do not exist on the engine's default bridge is shown, and no failure."""
    tally, scene = Tally(), scene_at(history, next(iter(phases(history)), None))
    _judge_addresses(tally, history, scene)
    for row in last_of_each(history.only(f=("tcp", "udp")).ops()):
        judge_open(tally, row, ProbeKey.parse(row.key), scene, plan)
    claims = list(history.only(f="claim").ops())
    for row in claims:
        _judge_claim(tally, row)
    lookups = last_of_each(history.only(f="dns").ops())
    changed = _changed(history, plan)
    renamed = _judge_names(tally, lookups, history, plan, changed)
    default = [row for row in lookups if NameKey.parse(row.key).network == DEFAULT]
    tally.doubts += list(_unasked(lookups, history, plan))
    tally.figures = {"second_claim": _reason(str(claims[0].value))} if claims else {}
    verdict = tally.verdict(check, f"all {tally.correct} assertions about addresses, ports and names hold")
    promises = [
        measured("names exist on the default bridge", "may", default, _resolves, NO_NAMES, _told),
        measured(
            "names follow a rename", "unproven", renamed,
            lambda row: _resolves(row) == changed[NameKey.parse(row.key).name], RENAMES, _told,
        ),
    ]  # fmt: skip
    made = [promise for promise in promises if promise.observed != "unmeasured"]
    return with_promises(verdict, made)


def _resolves(row: Op) -> bool:
    return row.value not in (*NOTHING, "timeout")


def _told(row: Op) -> str:
    return f"{row.at} asks for {NameKey.parse(row.key).name}: {row.value}"


def _judge_addresses(tally: Tally, history: History, scene: Scene) -> None:
    """Each container has an address of its own from the network's subnet."""
    for row in history.only(f="subnet").ops():
        if row.outcome != "ok" or not str(row.value).split():
            tally.doubts.append(f"the subnet of {row.key} is not known: {row.value}")
            continue
        subnets = [ipaddress.ip_network(text) for text in str(row.value).split()]
        taken: dict[str, str] = {}
        for container in scene.on(row.key):
            address = container.addresses[row.key]
            other = taken.setdefault(address, container.name)
            if other != container.name:
                tally.wrong.append(f"{container.name} and {other} have one address on {row.key}, {address}")
            elif any(ipaddress.ip_address(address) in subnet for subnet in subnets):
                tally.right()
            else:
                tally.wrong.append(f"{container.name} has {address}, which is not in {row.value} of {row.key}")


def _judge_claim(tally: Tally, row: Op) -> None:
    """Who comes second to a published port must be refused, by the engine and with a reason."""
    if row.outcome == "info":
        tally.doubts.append(f"nobody knows whether a second container got port {row.key}: {row.value}")
    elif row.outcome == "ok":
        tally.wrong.append(f"a second container got port {row.key.partition('|')[2]} of {row.at} on {row.host}")
    elif "already allocated" in str(row.value) or "already in use" in str(row.value):
        tally.right()
    else:
        tally.doubts.append(f"a second container failed for another reason than port {row.key}: {row.value}")


def _reason(text: str) -> str:
    """The engine's own words, without what it was doing."""
    last = text.strip().splitlines()[-1]
    return last[last.find("Bind for") :] if "Bind for" in last else last


def _judge_names(
    tally: Tally, lookups: Sequence[Op], history: History, plan: Plan, changed: dict[str, bool]
) -> list[Op]:
    """Aliases and container names while nothing is renamed. Returns the rows that a rename is about."""
    scenes = {phase: scene_at(history, phase) for phase in phases(history)}
    heard = {(row.at, NameKey.parse(row.key).phase) for row in lookups if _resolves(row)}
    renamed = []
    for row in lookups:
        key = NameKey.parse(row.key)
        if key.network == DEFAULT:
            continue
        if key.phase == RENAMED and key.name in changed:
            renamed.append(row)
        else:
            meant = _meaning(scenes[key.phase], plan, key, row.at)
            _judge_name(tally, row, key, meant, (row.at, key.phase) in heard)
    return renamed


def _judge_name(tally: Tally, row: Op, key: NameKey, meant: list[set[str]], is_heard: bool) -> None:
    """Silence says that there is no such name only where the resolver answered the same container at all."""
    value = str(row.value)
    if set(value.split(",")) in meant or (not meant and not _resolves(row) and is_heard):
        tally.right()
    elif not meant and not _resolves(row):
        tally.doubts.append(f"{row.at}'s resolver answered nothing in phase {key.phase}, so silence says nothing")
    else:
        wanted = " or ".join(",".join(addresses) for addresses in meant) or "nothing"
        got = "ok" if _resolves(row) else "dns"
        failed = Failure(row.at, key.name, "name", "dns", 4, wanted, got)
        tally.fail(failed, f": {value} instead of {wanted} on {key.network} ({key.phase})")


def _changed(history: History, plan: Plan) -> dict[str, bool]:
    """Names that a rename took away (False) or gave (True)."""
    services = [row.key.partition("|")[2] for row in history.only(f="act").ops() if row.key.startswith("rename|")]
    taken = {plan.engine_name(service): False for service in services}
    return taken | {f"{RENAMED}-{service}": True for service in services}


def _meaning(scene: Scene, plan: Plan, key: NameKey, asker: str) -> list[set[str]]:
    """What a name may give: the address of a service's container here, by alias or by its own name. One that asks
    for itself is told an address of any network that it is on.
    """
    for container in scene.on(key.network):
        if key.name in (container.service, plan.engine_name(container.service)):
            own = list(container.addresses.values())
            return [
                {address} for address in (own if container.name == asker else [container.addresses[key.network]])
            ]
    return []


def _unasked(lookups: Sequence[Op], history: History, plan: Plan) -> Iterator[str]:
    """Phases in which no name was asked for on a bridge that has two containers."""
    asked = {(NameKey.parse(row.key).phase, NameKey.parse(row.key).network) for row in lookups}
    first = scene_at(history, next(iter(phases(history)), None))
    for network in plan.networks:
        if network.driver == "bridge" and len(first.on(network.name)) > 1:
            for phase in phases(history):
                if (phase, network.name) not in asked:
                    yield f"no name was asked for on {network.name} in phase {phase}"
