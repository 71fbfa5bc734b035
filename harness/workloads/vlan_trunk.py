"""vlan-trunk: containers on VLANs of one trunk talk within theirs and ask into the others, while nodes' trunks are
captured.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from pydantic import Field

from harness.model.errors import UsageError
from harness.model.plan import Plan
from harness.model.topology import Check
from harness.ports import Commands, Look, Scene
from harness.workloads import _capturing
from harness.workloads._experiment import Experiment, Params, Stages
from harness.workloads._places import Peer, across_nodes, by_ip, listen, members, on_hosts

MAX_PAIRS = 12
#: Tagged or not: what leaves the trunk without its tag must be seen as well.
_FILTER = "ip or (vlan and ip)"


class VlanTrunkParams(Params):
    timeout_s: float = Field(2.0, ge=0.05, le=60, description="How long a probe waits for its answer")
    attempts: int = Field(2, ge=1, le=20, description="How often a pair of one VLAN is tried")


def run(params: VlanTrunkParams, check: Check, plan: Plan, rng: random.Random) -> Stages:
    trunk = trunk_of(check, plan)
    scene = yield Look("start")
    yield listen(scene, plan)
    file = _capturing.file_of(plan.run, check.id)
    yield Commands(tuple(_capturing.begin(scene, file, trunk, _FILTER)))
    vlans = list(plan.topology.vlans)
    within = [peer for network in vlans for peer in across_nodes(scene, network, rng, MAX_PAIRS)]
    items = [
        *_capturing.asking(scene, within, params.timeout_s, params.attempts),
        *_capturing.asking(scene, _between(scene, vlans), params.timeout_s, 1),
    ]
    deadline_s = 30.0 + 2 * params.timeout_s * params.attempts * len(items)
    yield on_hosts("probe", "probes", items, timeout_s=deadline_s, parallel=len(items) or 1)
    yield Commands(tuple(_capturing.read(scene, file, trunk)))


def trunk_of(check: Check, plan: Plan) -> str:
    """The interface whose VLANs networks are on. Raises UsageError where there are not two VLANs on one."""
    vlans = plan.topology.vlans
    trunks = {network.parent.partition(".")[0] for network in vlans.values()}
    if len({network.parent for network in vlans.values()}) < 2 or len(trunks) != 1:
        told = ", ".join(f"{name} on {network.parent}" for name, network in vlans.items()) or "none"
        raise UsageError(f"check {check.id}: it takes two VLANs or more of one interface; there: {told}")
    return trunks.pop()


def _between(scene: Scene, vlans: list[str]) -> Iterator[Peer]:
    """From one container of each VLAN to one of every other."""
    ends = {network: members(scene, network) for network in vlans}
    for network in vlans:
        for other in vlans:
            targets = [each for each in ends[other] if network not in each.networks]
            sources = [each for each in ends[network] if other not in each.networks]
            if network != other and sources and targets:
                yield by_ip(sources[0], other, targets[-1])


WORKLOAD = Experiment("vlan-trunk", VlanTrunkParams, run, (_capturing.TCPDUMP,), on_nodes=True)
