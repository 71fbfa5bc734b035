"""policies: the truth table of NetworkPolicy, every pair of pods by every port and protocol."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations, product
from typing import Literal

from pydantic import Field

from harness.model.errors import UsageError
from harness.model.history import History
from harness.model.plan import Plan
from harness.model.policies import Connection, Pod, shut_by
from harness.model.topology import Check
from harness.ports import Command, Commands, Container, Load, Look, Repeat, Scene
from harness.workloads._experiment import Experiment, Params, Stages
from harness.workloads._places import LISTEN_TIMEOUT_S, WIRE, Item, Place, key, node_place, on_hosts, place

#: Probes that one agent has under way at once, and how often one is tried that nothing should stop.
PARALLEL = 512
ATTEMPTS = 2
READ_TIMEOUT_S = 15.0
#: A probe's `via` says the port: a matrix of the report for each.
PORT_PREFIX = "port-"
#: What the node's containerd reads to know its CNI: the first file counts (its documentation, "cni").
CNI = 'file=$(ls /etc/cni/net.d/*.conflist /etc/cni/net.d/*.conf 2>/dev/null | head -n 1); cat "$file"'


class PoliciesParams(Params):
    ports: list[int] = Field(
        [80, 81],
        min_length=1,
        max_length=20,
        description="Ports of every pod that are listened on and connected to",
    )
    protocols: list[Literal["tcp", "udp"]] = Field(
        ["tcp", "udp"], min_length=1, description="Protocols to connect by"
    )
    timeout_s: float = Field(0.8, ge=0.05, le=60, description="How long silence is listened to")
    within_s: float = Field(
        15.0, ge=0, le=600, description="How soon after they were made policies must be in force"
    )


def run(params: PoliciesParams, check: Check, plan: Plan, rng: random.Random) -> Stages:
    scene = yield Look("start")
    table = Table(scene, plan, params)
    _refuse(table, plan, check)
    yield Commands(tuple(_cni(node) for node in scene.nodes))
    yield table.listen()
    items = [*table.between_pods(), *table.from_nodes()]
    rng.shuffle(items)
    deadline_s = 30.0 + 2 * ATTEMPTS * params.timeout_s * (1 + len(items) // PARALLEL)
    load = on_hosts("probe", "probes", items, timeout_s=deadline_s, parallel=PARALLEL)
    yield Repeat(load, table.is_so, params.within_s)


def _refuse(table: Table, plan: Plan, check: Check) -> None:
    """Raises UsageError where there is nothing to look at."""
    for port in table.params.ports:
        if not 1 <= port <= 65535:
            raise UsageError(f"check {check.id}: {port} is no port")
    if table.pods and not plan.policies:
        raise UsageError(f"check {check.id}: the topology has no policies", hint="write them under `policies:`")


def _cni(node: str) -> Command:
    return Command(node, "cni", ("sh", "-c", CNI), READ_TIMEOUT_S, at=node, f="cni")


@dataclass(frozen=True)
class Table:
    """What is asked, and what of it the policies leave open."""

    scene: Scene
    plan: Plan
    params: PoliciesParams

    @property
    def pods(self) -> list[tuple[Container, Pod]]:
        return [(container, container.pod) for container in self.scene.containers if container.pod is not None]

    def listen(self) -> Load:
        """Pods listen on nothing else meanwhile."""
        endpoints: list[Item] = [
            (pod.node, {**place(pod).fields, "ports": self.params.ports}) for pod, _ in self.pods
        ]
        return on_hosts("listen", "endpoints", endpoints, timeout_s=LISTEN_TIMEOUT_S, token=self.scene.token)

    def between_pods(self) -> Iterator[Item]:
        policies = self.plan.policies
        for (source, seen), (target, called) in permutations(self.pods, 2):
            for port, protocol in self._ways():
                is_open = not shut_by(policies, Connection(seen, called, protocol, port))
                yield self._item(place(source), target, called, port, protocol, ATTEMPTS if is_open else 1)

    def from_nodes(self) -> Iterator[Item]:
        """Nothing shuts a pod to its own node: a listener that does not answer there says nothing elsewhere."""
        for target, called in self.pods:
            for port, protocol in self._ways():
                yield self._item(node_place(target.node), target, called, port, protocol, ATTEMPTS)

    def is_so(self, rows: History) -> bool:
        """Whether one round's rows are what the policies say."""
        pods = {container.name: pod for container, pod in self.pods}
        policies = self.plan.policies
        for row in rows.only(f=self.params.protocols).ops():
            via, _network, _family, to, _address = row.key.split("|")
            port = int(via.removeprefix(PORT_PREFIX))
            source = pods.get(row.at)
            shut = source is not None and shut_by(policies, Connection(source, pods[to], row.f, port))
            if (str(row.value).partition(" ")[0] == "ok") == bool(shut):
                return False
        return True

    def _ways(self) -> Iterator[tuple[int, Literal["tcp", "udp"]]]:
        yield from product(dict.fromkeys(self.params.ports), dict.fromkeys(self.params.protocols))

    def _item(self, source: Place, target: Container, pod: Pod, port: int, protocol: str, attempts: int) -> Item:
        return source.node, {
            **source.fields,
            "key": key(f"{PORT_PREFIX}{port}", WIRE, target.name, pod.address),
            "address": pod.address,
            "protocol": protocol,
            "port": port,
            "token": self.scene.token,
            "timeout_s": self.params.timeout_s,
            "attempts": attempts,
        }


#: Each pod is asked by its own node too: without pods in the nodes' network nothing of it can run.
WORKLOAD = Experiment(
    "policies", PoliciesParams, run, node_part="", subject=("kubernetes", "NetworkPolicy objects")
)
