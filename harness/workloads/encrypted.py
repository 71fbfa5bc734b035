"""encrypted: what nodes put on the wire while containers talk over a network that is to be encrypted."""

from __future__ import annotations

import random

from pydantic import Field

from harness.model.errors import UsageError
from harness.model.plan import Plan
from harness.model.topology import Check
from harness.ports import Commands, Look
from harness.workloads import _capturing
from harness.workloads._experiment import Experiment, Params, Stages
from harness.workloads._places import across_nodes, listen, on_hosts

MAX_PAIRS = 12
#: What leaves and reaches a node by its own device: ESP, and VXLAN in the clear (RFC 4303, RFC 7348).
_FILTER = "ip proto 50 or udp port 4789"


class EncryptedParams(Params):
    network: str | None = Field(None, description="The network to check; default: the only one that is encrypted")
    timeout_s: float = Field(2.0, ge=0.05, le=60, description="How long a probe waits for its answer")
    attempts: int = Field(3, ge=1, le=20, description="How often a pair is tried")


def run(params: EncryptedParams, check: Check, plan: Plan, rng: random.Random) -> Stages:
    network = chosen(params.network, check, plan)
    scene = yield Look("start")
    yield listen(scene, plan)
    file = _capturing.file_of(plan.run, check.id)
    yield Commands(tuple(_capturing.begin(scene, file, "eth0", _FILTER)))
    peers = across_nodes(scene, network, rng, MAX_PAIRS)
    items = list(_capturing.asking(scene, peers, params.timeout_s, params.attempts))
    deadline_s = 30.0 + 2 * params.timeout_s * params.attempts * len(items)
    yield on_hosts("probe", "probes", items, timeout_s=deadline_s, parallel=len(items) or 1)
    yield Commands(tuple(_capturing.read(scene, file, network, plan.engine_name(network))))


def chosen(name: str | None, check: Check, plan: Plan) -> str:
    """Raises UsageError where there is no such overlay, or more than one that is encrypted."""
    overlays = {n: net for n, net in plan.topology.networks.items() if net.driver == "overlay"}
    if name in overlays:
        return name
    encrypted = [n for n, net in overlays.items() if "encrypted" in net.driver_opts]
    if name is not None or len(encrypted) != 1:
        there = ", ".join(encrypted) or "none"
        raise UsageError(f"check {check.id}: it takes one overlay; encrypted ones: {there}")
    return encrypted[0]


WORKLOAD = Experiment("encrypted", EncryptedParams, run, (_capturing.TCPDUMP,), on_nodes=True)
