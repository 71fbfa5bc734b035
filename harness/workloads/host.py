"""host: containers in their node's own network: its address, ports, interfaces, name, and what that is worth."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence

from pydantic import Field

from harness.model.errors import UsageError
from harness.model.plan import Plan
from harness.model.topology import Check
from harness.ports import Command, Commands, Container, Load, Look, Scene
from harness.workloads._experiment import Experiment, Params, Stages
from harness.workloads._places import (
    Item,
    Peer,
    by_ip,
    host_by_host,
    key,
    listen,
    members,
    node_place,
    on_hosts,
    place,
)
from harness.workloads._probes import Prober

COMMAND_TIMEOUT_S = 15.0
INTERVALS = 8
#: Ways take turns, each round in another order: what warms up or goes on beside it strikes all of them alike.
ROUNDS = 8
#: Ways from one node's container to another's, as probe keys name them in place of a network.
WIRE, HOST, BRIDGE, OVERLAY = "wire", "host", "bridge", "overlay"
#: What a container and its node are compared by: kind of row, and the file.
_FILES = (("interfaces", "/proc/net/dev"), ("hostname", "/proc/sys/kernel/hostname"))
_SECOND = "import socket, sys; socket.create_server(('', int(sys.argv[1])))"


class HostParams(Params):
    service: str | None = Field(None, description="The service to check; default: all with network_mode host")
    timeout_s: float = Field(1.0, ge=0.05, le=60, description="How long a probe waits for its answer")
    count: int = Field(200, ge=1, le=100_000, description="Round trips a way")
    duration_s: float = Field(0.5, ge=0.1, le=600, description="How long each way is measured for its rate")


def run(params: HostParams, check: Check, plan: Plan, rng: random.Random) -> Stages:
    scene = yield Look("start")
    hosted = [c for c in scene.containers if c.host and params.service in (None, c.service)]
    if not hosted:
        raise UsageError(f"check {check.id}: no container that runs is in its node's network (network_mode: host)")
    yield listen(scene, plan)
    prober = Prober(scene, plan, ("tcp", "udp", "icmp"), params.timeout_s)
    yield prober.load(list(prober.nodes()))
    yield Commands(tuple(_looks(hosted, scene)))
    ways = list(_ways(hosted, plan, scene))
    for _ in range(ROUNDS):
        rng.shuffle(ways)
        for load in _measurements(ways, scene, params):
            yield from host_by_host(load)


def _looks(hosted: Sequence[Container], scene: Scene) -> Iterator[Command]:
    """What the container sees of its network, beside what its node sees, and a second claim to a port in use."""
    for container in hosted:
        inside = ("docker", "exec", container.id)
        for f, file in _FILES:
            argv = (*inside, "cat", file)
            yield Command(container.node, container.name, argv, COMMAND_TIMEOUT_S, at=container.name, f=f)
        second = (*inside, "python3", "-c", _SECOND, str(scene.port))
        yield Command(
            container.node, f"{scene.port}/tcp", second, COMMAND_TIMEOUT_S, at=container.name, f="second-bind"
        )
    for node in {container.node for container in hosted}:
        for f, file in _FILES:
            yield Command(node, node, ("cat", file), COMMAND_TIMEOUT_S, at=node, f=f)


def _ways(hosted: Sequence[Container], plan: Plan, scene: Scene) -> Iterator[tuple[Peer, int]]:
    """One pair of nodes by each way that the topology has, and by none (the nodes themselves): (peer, port)."""
    first = hosted[0]
    other = next((node for node in scene.nodes if node != first.node), None)
    if other is not None:
        address = scene.nodes[other]
        yield Peer(node_place(first.node), key("ip", WIRE, other, address), address), scene.port
        yield Peer(place(first), key("ip", HOST, other, address), address), scene.port
    yield from _published(scene, plan)
    yield from _overlay(scene, plan)


def _published(scene: Scene, plan: Plan) -> Iterator[tuple[Peer, int]]:
    """From a bridge to a port that another node publishes: out by one bridge's NAT, in by another's."""
    on_bridge = [c for c in scene.containers if _has(c, plan, "bridge")]
    for service, published in scene.published:
        source = next((c for c in on_bridge if c.node != published.node), None)
        if source is not None and published.mode == "host" and published.protocol == "tcp":
            target = next(c for c in scene.of(service) if c.node == published.node)
            yield Peer(place(source), key("ip", BRIDGE, target.name, published.ip), published.ip), published.port
            return


def _overlay(scene: Scene, plan: Plan) -> Iterator[tuple[Peer, int]]:
    for network in plan.networks:
        present = members(scene, network.name) if network.driver == "overlay" else []
        source = next(iter(present), None)
        target = next((c for c in present if source and c.node != source.node), None)
        if source is not None and target is not None:
            address = by_ip(source, network.name, target).address
            yield Peer(place(source), key("ip", OVERLAY, target.name, address), address), scene.port
            return


def _has(container: Container, plan: Plan, driver: str) -> bool:
    return any(plan.network(name).driver == driver for name in container.networks)


def _measurements(ways: Sequence[tuple[Peer, int]], scene: Scene, params: HostParams) -> Iterator[Load]:
    """One round: its part of the round trips, then of the transfers, of every way."""
    count, duration_s = math.ceil(params.count / ROUNDS), params.duration_s / ROUNDS
    trips = [_item(peer, port, scene, count=count, timeout_s=params.timeout_s) for peer, port in ways]
    yield on_hosts("rtt", "pairs", trips, timeout_s=30.0 + len(ways) * (count * 0.05 + params.timeout_s))
    interval_s = params.duration_s / INTERVALS
    rates = [_item(peer, port, scene, duration_s=duration_s, interval_s=interval_s) for peer, port in ways]
    yield on_hosts("stream", "transfers", rates, timeout_s=30.0 + len(ways) * (duration_s + 10))


def _item(peer: Peer, port: int, scene: Scene, **settings: float) -> Item:
    common = {"key": peer.key, "address": peer.address, "port": port, "token": scene.token}
    return peer.source.node, {**peer.source.fields, **common, **settings}


WORKLOAD = Experiment(
    "host", HostParams, run, on_nodes=True, subject=("swarm", "`docker exec` in containers of the node's network")
)
