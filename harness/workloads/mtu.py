"""mtu: the largest packet passes unfragmented, the next larger does not, and a bulk transfer arrives whole."""

from __future__ import annotations

import random
from collections.abc import Iterator

from pydantic import Field

from harness.model.errors import UsageError
from harness.model.plan import Plan
from harness.model.topology import Check
from harness.ports import Look, Scene
from harness.workloads._experiment import Experiment, Params, Stages
from harness.workloads._measure import chosen_networks
from harness.workloads._places import Item, Peer, across_nodes, listen, on_hosts

BULK_BYTES = 1 << 20
MAX_PAIRS = 30


class MtuParams(Params):
    network: str | None = Field(None, description="The network to measure; default: all")
    packet_bytes: int | None = Field(
        None, ge=68, le=65535, description="Total length of the largest IP packet; default: the driver's"
    )
    timeout_s: float = Field(1.0, ge=0.05, le=60, description="How long a probe waits for its answer")


def run(params: MtuParams, check: Check, plan: Plan, rng: random.Random) -> Stages:
    scene = yield Look("start")
    yield listen(scene, plan)
    pairs = _pairs(params, check, plan, scene, rng)
    probes = [item for peer, largest in pairs for item in _df(peer, largest, params.timeout_s)]
    yield on_hosts("probe", "probes", probes, timeout_s=60.0 + params.timeout_s, parallel=len(probes))
    transfers = [_bulk(peer, scene, params.timeout_s) for peer, _ in pairs]
    yield on_hosts("bulk", "transfers", transfers, timeout_s=60.0 + len(transfers) * (params.timeout_s + 10))


def _pairs(
    params: MtuParams, check: Check, plan: Plan, scene: Scene, rng: random.Random
) -> list[tuple[Peer, int]]:
    """A peer on each ordered pair of nodes, with the packet size that must pass."""
    pairs = [
        (peer, params.packet_bytes or plan.network(network).packet_bytes)
        for network in chosen_networks(params.network, check, plan, scene)
        for family in plan.network(network).families
        for peer in across_nodes(scene, network, rng, MAX_PAIRS, family)
    ]
    if not pairs:
        raise UsageError(
            f"check {check.id}: no network has containers on two nodes, so no packet crosses the wire"
        )
    return pairs


def _df(peer: Peer, largest: int, timeout_s: float) -> Iterator[Item]:
    for packet_bytes in (largest, largest + 1):
        yield (
            peer.source.node,
            {
                **peer.source.fields,
                "key": peer.key,
                "protocol": "icmp",
                "address": peer.address,
                "packet_bytes": packet_bytes,
                "df": True,
                "timeout_s": timeout_s,
            },
        )


def _bulk(peer: Peer, scene: Scene, timeout_s: float) -> Item:
    return peer.source.node, {
        **peer.source.fields,
        "key": peer.key,
        "address": peer.address,
        "port": scene.port,
        "token": scene.token,
        "bytes": BULK_BYTES,
        "timeout_s": timeout_s + 10,
    }


WORKLOAD = Experiment("mtu", MtuParams, run)
