"""latency: round trips of 64 bytes on one TCP connection between nodes, on each network and on the wire."""

from __future__ import annotations

import random

from pydantic import Field

from harness.model.plan import Plan
from harness.model.topology import Check
from harness.ports import Look, Scene
from harness.workloads._experiment import FROM_AND_TO_NODES, Experiment, Params, Stages
from harness.workloads._measure import measured_pairs
from harness.workloads._places import Item, Peer, host_by_host, listen, on_hosts


class LatencyParams(Params):
    network: str | None = Field(None, description="The network to measure; default: all")
    count: int = Field(200, ge=1, le=100_000, description="Round trips a pair")
    pairs: int = Field(6, ge=1, le=100, description="Pairs of nodes a network, one after another")
    timeout_s: float = Field(1.0, ge=0.05, le=60, description="How long one round trip may take")
    max_ratio: float | None = Field(
        None, ge=1, le=1000, description="Most that the median may be of the wire's; default: none"
    )


def run(params: LatencyParams, check: Check, plan: Plan, rng: random.Random) -> Stages:
    scene = yield Look("start")
    yield listen(scene, plan)
    for group in measured_pairs(params.network, check, plan, scene, rng=rng, limit=params.pairs):
        pairs = [_pair(peer, scene, params) for peer in group]
        deadline = 30.0 + len(pairs) * (params.count * 0.05 + params.timeout_s)
        yield from host_by_host(on_hosts("rtt", "pairs", pairs, timeout_s=deadline))


def _pair(peer: Peer, scene: Scene, params: LatencyParams) -> Item:
    return peer.source.node, {
        **peer.source.fields,
        "key": peer.key,
        "address": peer.address,
        "port": scene.port,
        "token": scene.token,
        "count": params.count,
        "timeout_s": params.timeout_s,
    }


WORKLOAD = Experiment("latency", LatencyParams, run, node_part=FROM_AND_TO_NODES)
