"""encrypted: what nodes put on the wire while containers talk over a network that is to be encrypted."""

from __future__ import annotations

import random
from collections.abc import Iterator
from importlib import resources

from pydantic import Field

from harness.model.errors import UsageError
from harness.model.plan import Plan
from harness.model.topology import Check
from harness.ports import Command, Commands, Look, Scene
from harness.workloads._experiment import Experiment, Params, Stages
from harness.workloads._places import across_nodes, listen, on_hosts

COMMAND_TIMEOUT_S = 20.0
MAX_PAIRS = 12
#: What leaves and reaches a node by its own device: ESP, and VXLAN in the clear (RFC 4303, RFC 7348).
_FILTER = "ip proto 50 or udp port 4789"
#: Returns when the capture has begun. `-U` writes each packet out at once; `-Z root` keeps the right to the file.
_BEGIN = (
    'rm -f "$1"; setsid timeout -k 2 300 tcpdump -i eth0 -n -U --immediate-mode -Z root -w "$1" "$2" '
    '</dev/null >"$1.log" 2>&1 & echo $! >"$1.pid"; '
    'for i in $(seq 100); do [ ! -s "$1" ] || exit 0; sleep 0.1; done; cat "$1.log"; exit 1'
)
#: What the kernel still has for it is written out when it is told to end, and that is waited for.
_STOP = (
    'read -r pid <"$2.pid" && kill -INT "$pid"; for i in $(seq 100); do kill -0 "$pid" 2>/dev/null || break; '
    'sleep 0.1; done; exec python3 -c "$@"'
)
_END = 'read -r pid <"$1.pid" 2>/dev/null && kill "$pid" 2>/dev/null; rm -f "$1" "$1.log" "$1.pid"'


class EncryptedParams(Params):
    network: str | None = Field(None, description="The network to check; default: the only one that is encrypted")
    timeout_s: float = Field(2.0, ge=0.05, le=60, description="How long a probe waits for its answer")
    attempts: int = Field(3, ge=1, le=20, description="How often a pair is tried")


def run(params: EncryptedParams, check: Check, plan: Plan, rng: random.Random) -> Stages:
    network = chosen(params.network, check, plan)
    scene = yield Look("start")
    yield listen(scene, plan)
    file = f"/tmp/harness-{plan.run}-{check.id}.pcap"  # noqa: S108  # on the node
    yield Commands(tuple(_begin(scene, file)))
    items = []
    for peer in across_nodes(scene, network, rng, MAX_PAIRS):
        for protocol in ("tcp", "udp"):
            probe = {
                "key": peer.key,
                "protocol": protocol,
                "address": peer.address,
                "port": scene.port,
                "token": scene.token,
                "timeout_s": params.timeout_s,
                "attempts": params.attempts,
            }
            items.append((peer.source.node, {**peer.source.fields, **probe}))
    deadline_s = 30.0 + 2 * params.timeout_s * params.attempts * len(items)
    yield on_hosts("probe", "probes", items, timeout_s=deadline_s, parallel=len(items) or 1)
    yield Commands(tuple(_read(scene, plan, network, file)))


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


def _begin(scene: Scene, file: str) -> Iterator[Command]:
    for node in scene.nodes:
        argv = ("sh", "-c", _BEGIN, "sh", file, _FILTER)
        undo = ("sh", "-c", _END, "sh", file)
        yield Command(node, f"capture on {node}", argv, COMMAND_TIMEOUT_S, undo=undo, at=node)


def _read(scene: Scene, plan: Plan, network: str, file: str) -> Iterator[Command]:
    """Each node counts what its capture holds; the token of our probes is the text that must not be there."""
    script = (resources.files("harness.workloads") / "_capture.py").read_text()
    for node in scene.nodes:
        argv = ("sh", "-c", _STOP, "sh", script, file, plan.engine_name(network), scene.token)
        yield Command(node, network, argv, COMMAND_TIMEOUT_S, at=node, f="capture")


WORKLOAD = Experiment("encrypted", EncryptedParams, run, ("package:tcpdump",))
