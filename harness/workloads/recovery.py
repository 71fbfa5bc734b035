"""recovery: what a fault, or an update, does to open connections, and how soon names and peers are right again."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from pydantic import Field

from harness.checkers._answers import UNVERIFIED
from harness.model.errors import UsageError
from harness.model.history import History
from harness.model.plan import Plan
from harness.model.topology import Check
from harness.ports import Act, Container, Load, Look, Repeat, Scene
from harness.workloads._experiment import Experiment, Params, Stages
from harness.workloads._names import Names, lookup_load
from harness.workloads._places import (
    Item,
    Peer,
    across_nodes,
    listen,
    live_networks,
    members,
    on_hosts,
    one_per_node,
    ordered_pairs,
    until_stopped,
)
from harness.workloads._probes import Prober

MAX_CONNECTIONS = 12
STOP_TIMEOUT_S = 30.0
#: How long one scene is asked before it is taken anew.
ATTEMPT_S = 4.0
#: What a node missed comes back by gossip at once, or by a bulk sync with one random peer every 30 s (moby,
#: libnetwork/networkdb: bulkSyncInterval). Four rounds: among three nodes one in 256 may still be unlucky.
WITHIN_S = 120.0


class RecoveryParams(Params):
    update: str | None = Field(
        None, description="A scheduled service whose containers are all replaced meanwhile: a rolling update"
    )
    parallelism: int = Field(1, ge=0, le=100, description="How many are replaced at once; 0: all")
    order: Literal["stop-first", "start-first"] = Field(
        "stop-first", description="Whether the old container ends before the new one starts, or after"
    )
    within_s: float = Field(WITHIN_S, ge=1, le=3600, description="How soon after healing all must be right again")
    stable_s: float = Field(2.0, ge=0, le=600, description="How long on end all must be right")
    hold_s: float = Field(3.0, ge=0.5, le=3600, description="How long connections are kept at least")
    interval_s: float = Field(0.1, ge=0.01, le=10, description="Between two echoes on a kept connection")
    reply_s: float = Field(1.0, ge=0.05, le=60, description="After this long without a reply an echo is late")
    timeout_s: float = Field(1.0, ge=0.05, le=60, description="How long a probe or a lookup waits afterwards")


def run(params: RecoveryParams, check: Check, plan: Plan, rng: random.Random) -> Stages:
    scene = yield Look("start")
    yield listen(scene, plan)
    peers = [p for net in live_networks(scene, plan) for p in across_nodes(scene, net, rng, MAX_CONNECTIONS)]
    if not peers:
        raise UsageError(f"check {check.id}: no network has containers on two nodes to keep a connection between")
    yield _beats(peers[:MAX_CONNECTIONS], scene, params, _update(params, check, plan))
    scene = yield Look("after-1")
    for attempt in range(2, 2 + math.ceil(params.within_s / ATTEMPT_S)):
        before = scene
        steady = Steady(params.stable_s)
        yield listen(scene, plan)
        yield _until_right(params, scene, plan, rng, f"after-{attempt - 1}", steady)
        scene = yield Look(f"after-{attempt}")
        if steady.reached and _same(before, scene):
            return


class Steady:
    """Whether something has been right for `stable_s` on end, by the times of the rows that show it.

    An orchestrator may look well for a moment after a fault, and only then move what it believes lost.
    """

    def __init__(self, stable_s: float) -> None:
        self._stable_ns = int(stable_s * 1e9)
        self._since_ns: int | None = None
        self.reached = False

    def saw(self, right: bool, start_ns: int, end_ns: int) -> bool:
        if not right:
            self._since_ns = None
        elif self._since_ns is None:
            self._since_ns = start_ns
        self.reached = self._since_ns is not None and end_ns - self._since_ns >= self._stable_ns
        return self.reached


def _same(before: Scene, after: Scene) -> bool:
    return {container.id for container in before.containers} == {container.id for container in after.containers}


def _update(params: RecoveryParams, check: Check, plan: Plan) -> tuple[Act, ...]:
    """Raises UsageError where the service is none that can be updated."""
    if params.update is None:
        return ()
    scheduled = [target.service for target in plan.targets if target.kind != "plain"]
    if params.update not in scheduled:
        raise UsageError(
            f"check {check.id}: {params.update!r} is no scheduled service",
            hint=f"there are {', '.join(scheduled)}",
        )
    return (Act("update", params.update, parallelism=params.parallelism, order=params.order),)


def _beats(peers: list[Peer], scene: Scene, params: RecoveryParams, acts: tuple[Act, ...]) -> Load:
    connections = [_connection(f"c{i}", peer, scene) for i, peer in enumerate(peers, start=1)]
    timing = {"interval_s": params.interval_s, "reply_s": params.reply_s}
    load = on_hosts("beat", "connections", connections, timeout_s=STOP_TIMEOUT_S, **timing)
    return replace(until_stopped(load, faults=True, hold_s=params.hold_s), acts=acts)


def _connection(process: str, peer: Peer, scene: Scene) -> Item:
    return peer.source.node, {
        "process": process,
        **peer.source.fields,
        "key": peer.key,
        "address": peer.address,
        "port": scene.port,
        "token": scene.token,
    }


def _until_right(
    params: RecoveryParams, scene: Scene, plan: Plan, rng: random.Random, phase: str, steady: Steady
) -> Repeat:
    """Probes by name between nodes and lookups of every service, until all of them are right and stay so.

    Not longer than an attempt: by then tasks may have moved, and the scene must be taken anew.
    """
    names = Names(scene, plan, frozenset(target.service for target in plan.targets))
    prober = Prober(scene, plan, ("tcp",), params.timeout_s)
    probes = prober.load(list(_named_pairs(prober, rng)))
    lookups = lookup_load(names.lookups(phase, params.timeout_s, rng), params.timeout_s)

    def right(rows: History) -> bool:
        all_right = all(map(_identified, rows.only(f="tcp")["value"].tolist())) and names.right(rows)
        return steady.saw(all_right, int(rows["start_ns"].min()), int(rows["end_ns"].max()))

    within_s = max(ATTEMPT_S, 2 * params.stable_s)
    return Repeat(Load(probes.assignments + lookups.assignments), right, within_s, every_s=0.25)


def _identified(value: str) -> bool:
    """Whether somebody answered and said who. A peer that was connected to and kept silent is asked again: under a
    fault, or emulated, it may take longer than a probe waits, and who it is must be known.
    """
    got, _, peer = value.partition(" ")
    return got == "ok" and peer != UNVERIFIED


def _named_pairs(prober: Prober, rng: random.Random) -> Iterator[Item]:
    """One container a node on each network reaches those of the other nodes by name, or by IP without names."""
    for network in live_networks(prober.scene, prober.plan):
        ends = one_per_node(members(prober.scene, network), rng)
        for i, j in ordered_pairs(len(ends)):
            yield from _dial(prober, ends[i], network, ends[j])


def _dial(prober: Prober, source: Container, network: str, target: Container) -> Iterator[Item]:
    yield from list(prober.by_own_name(source, network, target)) or prober.by_ip(source, network, target)


WORKLOAD = Experiment("recovery", RecoveryParams, run)
