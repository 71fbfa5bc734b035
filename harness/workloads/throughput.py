"""throughput: bytes a second on one TCP connection between nodes, on each network and on the wire."""

from __future__ import annotations

import random

from pydantic import Field

from harness.model.plan import Plan
from harness.model.topology import Check
from harness.ports import Look, Scene
from harness.workloads._experiment import FROM_AND_TO_NODES, Experiment, Params, Stages
from harness.workloads._measure import measured_pairs
from harness.workloads._places import Item, Peer, host_by_host, listen, on_hosts

INTERVALS = 10


class ThroughputParams(Params):
    network: str | None = Field(None, description="The network to measure; default: all")
    duration_s: float = Field(1.0, ge=0.1, le=600, description="How long each pair sends")
    pairs: int = Field(3, ge=1, le=100, description="Pairs of nodes a network, one after another")
    min_ratio: float | None = Field(None, gt=0, le=10, description="Least part of the wire's rate; default: none")


def run(params: ThroughputParams, check: Check, plan: Plan, rng: random.Random) -> Stages:
    scene = yield Look("start")
    yield listen(scene, plan)
    for group in measured_pairs(params.network, check, plan, scene, rng=rng, limit=params.pairs):
        transfers = [_transfer(peer, scene, params.duration_s) for peer in group]
        deadline = 30.0 + len(transfers) * (params.duration_s + 10)
        yield from host_by_host(on_hosts("stream", "transfers", transfers, timeout_s=deadline))


def _transfer(peer: Peer, scene: Scene, duration_s: float) -> Item:
    return peer.source.node, {
        **peer.source.fields,
        "key": peer.key,
        "address": peer.address,
        "port": scene.port,
        "token": scene.token,
        "duration_s": duration_s,
        "interval_s": duration_s / INTERVALS,
    }


WORKLOAD = Experiment("throughput", ThroughputParams, run, node_part=FROM_AND_TO_NODES)
