"""A made-up cluster for tests of workloads and the runner: no process, no socket, no real time."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from harness.model.errors import ChannelLost, EnvironmentBroken
from harness.model.history import History
from harness.model.plan import Demand, NetworkPlan, NodePlan, Plan, Target, VolumePlan
from harness.model.topology import Check, Topology
from harness.ports import (
    Act,
    Acts,
    Address,
    Channel,
    Cluster,
    Container,
    Felt,
    Load,
    Program,
    PublishedAddress,
    Repeat,
    Result,
    Right,
    Scene,
    Sight,
    Stage,
    State,
)
from harness.runner import Clock

NODES = {"n1": "192.0.2.1", "n2": "192.0.2.2", "n3": "192.0.2.3"}
APP, BACK = "app", "back"

TOPOLOGY: dict[str, Any] = {
    "name": "fake",
    "networks": {APP: {"driver": "overlay"}, BACK: {"driver": "overlay"}},
    "volumes": {"shared": {}},
    "services": {
        "web": {
            "deploy": {"replicas": 3},
            "networks": {APP: {"aliases": ["www"]}},
            "volumes": ["shared:/data"],
        },
        "edge": {
            "deploy": {"mode": "global"},
            "networks": [APP],
            "ports": [{"target": 5000, "published": 8000, "mode": "host"}],
        },
        "probe": {"node": "n1", "networks": [APP]},
        "lone": {"node": "n2", "networks": [BACK]},
        "mate": {"node": "n3", "networks": [BACK]},
        "bare": {"node": "n2", "network_mode": "host"},
    },
}

TARGETS = (
    Target("web", 3, "replicated", {APP: ("web", "www")}, mounts={"shared": "/data"}, tasks="tasks.web"),
    Target(
        "edge",
        3,
        "global",
        {APP: ("edge",)},
        ports=({"target": 5000, "published": 8000, "protocol": "tcp", "mode": "host"},),
        tasks="tasks.edge",
    ),
    Target("probe", 1, "plain", {APP: ("probe",)}, node="n1"),
    Target("lone", 1, "plain", {BACK: ("lone",)}, node="n2"),
    Target("mate", 1, "plain", {BACK: ("mate",)}, node="n3"),
    Target("bare", 1, "plain", {}, node="n2", host=True),
)


def make_check(kind: str, *, faults: Sequence[Mapping[str, Any]] = (), **params: Any) -> Check:
    return Check.model_validate({"kind": kind, "id": kind, "params": params, "faults": list(faults)})


def make_plan(*checks: Check, targets: tuple[Target, ...] = TARGETS) -> Plan:
    networks = (NetworkPlan(APP, "overlay", 1450, True), NetworkPlan(BACK, "overlay", 1450, True))
    topology = TOPOLOGY
    if any(check.kind == "macvlan" for check in checks):
        networks = (NetworkPlan(APP, "macvlan", 1500, False, subnets=("10.0.0.0/24",)), networks[1])
        lan = {"driver": "macvlan", "ipam": {"config": [{"subnet": "10.0.0.0/24"}]}}
        topology = {**TOPOLOGY, "networks": {APP: lan, BACK: {"driver": "overlay"}}}
    if any(check.kind == "ipvlan" for check in checks):
        networks = (NetworkPlan(APP, "ipvlan", 1500, False, linked=False), networks[1])
        topology = {**TOPOLOGY, "networks": {APP: {"driver": "ipvlan"}, BACK: {"driver": "overlay"}}}
    if any(check.kind == "encrypted" for check in checks):
        hidden = {"driver": "overlay", "driver_opts": {"encrypted": ""}}
        topology = {**TOPOLOGY, "networks": {APP: hidden, BACK: {"driver": "overlay"}}}
    if any(check.kind == "vlan-trunk" for check in checks):
        parents = {APP: "eth1.10", BACK: "eth1.20"}
        vlans = {name: {"driver": "macvlan", "driver_opts": {"parent": parents[name]}} for name in parents}
        topology = {**TOPOLOGY, "networks": vlans}
    if any(check.kind == "bridge" for check in checks):
        networks = (replace(networks[0], driver="bridge"), networks[1])
    if any(check.kind == "bind-mount" for check in checks):
        probe = {"node": "n1", "networks": [APP], "volumes": ["/srv/data:/data"]}
        topology = {**TOPOLOGY, "services": {**TOPOLOGY["services"], "probe": probe}}
    if any(check.kind == "access-mode" for check in checks):
        volumes = {"shared": {"access_mode": "ReadWriteMany"}}
        probe = {"node": "n1", "networks": [APP], "volumes": ["shared:/data"]}
        topology = {**TOPOLOGY, "volumes": volumes, "services": {**TOPOLOGY["services"], "probe": probe}}
    return Plan(
        run="r1",
        topology=Topology.model_validate(topology),
        provider="fake",
        orchestrator="fake",
        seed=7,
        nodes=(NodePlan("n1", "manager"), NodePlan("n2", "worker"), NodePlan("n3", "worker")),
        targets=targets,
        networks=networks,
        volumes=(VolumePlan("shared", "local", True, {}),),
        images=("harness/workload:fake",),
        checks=checks,
    )


def container(name: str, service: str, node: str, networks: Mapping[str, str], pid: int) -> Container:
    """`networks` maps a network to an address; the container's own alias there is `<name>-own`."""
    plain = name == service
    return Container(
        name=name,
        service=service,
        node=node,
        id=f"id-{name}",
        pid=pid,
        networks={network: Address(ip, 24) for network, ip in networks.items()},
        aliases=dict.fromkeys(networks, (service,) if plain else (service, f"{name}-own")),
        host=not networks,
    )


def first_containers() -> list[Container]:
    nodes = list(NODES)
    web = [container(f"web.{i + 1}", "web", nodes[i], {APP: f"10.0.0.{i + 1}"}, 100 + i) for i in range(3)]
    edge = [container(f"edge.{n}", "edge", n, {APP: f"10.0.0.{i + 11}"}, 200 + i) for i, n in enumerate(nodes)]
    return [
        *web,
        *edge,
        container("probe", "probe", "n1", {APP: "10.0.0.21"}, 300),
        container("lone", "lone", "n2", {BACK: "10.0.1.1"}, 301),
        container("mate", "mate", "n3", {BACK: "10.0.1.2"}, 303),
        container("bare", "bare", "n2", {}, 302),
    ]


def published() -> tuple[tuple[str, PublishedAddress], ...]:
    return tuple(("edge", PublishedAddress(n, ip, 8000, 5000, "tcp", "host")) for n, ip in NODES.items())


def make_scene(containers: Sequence[Container] | None = None) -> Scene:
    live = first_containers() if containers is None else containers
    return Scene(tuple(live), NODES, published(), token="secret")


def walk(stages: Generator[Stage, Scene, None], scene: Scene) -> list[Stage]:
    """All stages of a workload on a scene that does not change."""
    seen = [next(stages)]
    try:
        while True:
            seen.append(stages.send(scene))
    except StopIteration:
        return seen


def loads(stages: Sequence[Stage]) -> list[Load]:
    return [
        load
        for load in (stage.load if isinstance(stage, Repeat) else stage for stage in stages)
        if isinstance(load, Load)
    ]


def programs(stages: Sequence[Stage], method: str) -> list[tuple[str, Program]]:
    return [(a.host, a.program) for load in loads(stages) for a in load.assignments if a.program.method == method]


def entries(stages: Sequence[Stage], method: str, name: str) -> list[tuple[str, Mapping[str, Any]]]:
    """Every entry of every call of `method`, with its host."""
    return [(host, entry) for host, program in programs(stages, method) for entry in program.params.get(name, ())]


def acts(stages: Sequence[Stage]) -> list[Act]:
    return [act for stage in stages if isinstance(stage, Acts) for act in stage.acts]


@dataclass
class FakeTime:
    """Time that passes by sleeping only."""

    ns: int = 1_000_000_000

    def sleep(self, seconds: float) -> None:
        self.ns += round(seconds * 1e9)

    @property
    def clock(self) -> Clock:
        return Clock(lambda: self.ns, self.sleep)


@dataclass
class MemoryRecorder:
    batches: list[dict[str, Any]] = field(default_factory=list)
    full_after: int | None = None

    def write(self, batch: Mapping[str, Any], *, now: bool = False) -> None:
        if self.full_after is not None and len(self.batches) >= self.full_after:
            raise EnvironmentBroken("the disk is full")
        self.batches.append(json.loads(json.dumps(batch)))

    @property
    def history(self) -> History:
        return History.of_batches(self.batches)

    def values(self, f: str) -> list[str]:
        return [str(value) for value in self.history.only(f=f)["value"].tolist()]


@dataclass
class FakeHost:
    name: str
    address: str
    rights: frozenset[Right] = frozenset({"shell"})
    calls: list[tuple[str, ...]] = field(default_factory=list)

    def run(self, argv: Sequence[str], *, timeout_s: float, stdin: bytes = b"") -> Result:
        self.calls.append(tuple(argv))
        return Result(0, "", "")

    def channel(self, argv: Sequence[str]) -> Channel:
        raise NotImplementedError("the runner opens no channel to a host")


def make_cluster() -> Cluster:
    return Cluster("harness-r1", "r1", "fake", {name: FakeHost(name, ip) for name, ip in NODES.items()})


@dataclass
class FakeOrchestrator:
    """Scales, stops and starts at once. `complaints` is what state() complains of."""

    live: list[Container] = field(default_factory=first_containers)
    complaints: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    name: str = "fake"
    refuse_scale_to: int | None = None
    looks: int = 0

    def demands(self, topology: Topology) -> list[Demand]:
        return []

    def join(self, cluster: Cluster, plan: Plan, progress: Callable[[str], None]) -> None: ...

    def apply(self, cluster: Cluster, plan: Plan, progress: Callable[[str], None]) -> None:
        self.live = self.live or first_containers()

    def delete(self, cluster: Cluster, plan: Plan) -> None:
        self.live = []

    def containers(self, cluster: Cluster, plan: Plan, service: str | None = None) -> list[Container]:
        return [c for c in self.live if service in (None, c.service)]

    def look(self, cluster: Cluster, plan: Plan) -> Sight:
        self.looks += 1
        return Sight(tuple(self.live), tuple(published()))

    def perform(
        self, cluster: Cluster, plan: Plan, act: Act, container: Container | None, *, timeout_s: float
    ) -> None:
        self.calls.append(" ".join([act.kind, act.container or act.service, act.value]).strip())
        if act.kind == "scale":
            self._scale(act.service, act.replicas)
        elif act.kind == "update":
            ids = {c.name: f"{c.id}-new" for c in self.live if c.service == act.service}
            self.live = [replace(c, id=ids.get(c.name, c.id)) for c in self.live]
        elif act.kind == "stop":
            self.live = [c for c in self.live if c.name != act.container]
        elif act.kind == "start" and container is not None:
            self.live.append(container)

    def _scale(self, service: str, replicas: int) -> None:
        if replicas == self.refuse_scale_to:
            raise EnvironmentBroken("no room")
        first = next(c for c in self.live if c.service == service)
        others = [c for c in self.live if c.service != service]
        names = [f"{service}.{i + 1}" for i in range(replicas)]
        scaled = [
            replace(first, name=n, node=list(NODES)[i % 3], networks={APP: Address(f"10.0.0.{i + 1}", 24)})
            for i, n in enumerate(names)
        ]
        self.live = [*scaled, *others]

    def state(self, cluster: Cluster, plan: Plan) -> State:
        return State(tuple(self.complaints), Counter(container.service for container in self.live))

    def addresses(self, network: str, name: str) -> str:
        """What a right resolver says of a service's name, alias or `tasks.` name."""
        meant = {t.service for t in TARGETS if name.removeprefix("tasks.") in t.networks.get(network, ())}
        found = sorted(c.networks[network].ip for c in self.live if c.service in meant and network in c.networks)
        return ",".join(found) or "nxdomain"


Answer = Callable[["FakeAgent", str, Mapping[str, Any]], list[dict[str, Any]]]


@dataclass
class FakeAgent:
    """Answers every call by `answer`, in batches. `frozen` agents do not answer pings; `lost` ones nothing."""

    host: str
    answer: Answer
    lost: bool = False
    frozen: bool = False
    calls: list[str] = field(default_factory=list)
    jobs: list[FakeJob] = field(default_factory=list)

    def open(
        self,
        method: str,
        params: Mapping[str, Any],
        on_batch: Callable[[Mapping[str, Any]], None],
        on_reserve: Callable[[Mapping[str, Any]], None] | None = None,
    ) -> FakeJob:
        if self.lost:
            raise ChannelLost(f"{self.host} is gone")
        self.calls.append(method)
        job = FakeJob(self, method, params, on_batch, on_reserve)
        self.jobs.append(job)
        return job

    def alive(self, timeout_s: float) -> bool:
        return not (self.lost or self.frozen)


@dataclass
class FakeJob:
    agent: FakeAgent
    method: str
    params: Mapping[str, Any]
    on_batch: Callable[[Mapping[str, Any]], None]
    on_reserve: Callable[[Mapping[str, Any]], None] | None
    stopped: bool = False
    waited: bool = False
    grants: list[Mapping[str, Any]] = field(default_factory=list)

    def stop(self) -> None:
        self.stopped = True

    def wait(self, timeout_s: float) -> Mapping[str, Any]:
        if self.agent.lost:
            raise ChannelLost(f"{self.agent.host} is gone")
        self.waited = True
        for writer in self.params.get("writers", ()):
            assert self.on_reserve is not None
            wanted = {"writer": writer["writer"], "first": 0, "count": 16}
            self.on_reserve(wanted)
            self.grants.append(wanted)
        for batch in self.agent.answer(self.agent, self.method, self.params):
            self.on_batch(batch)
        return {}


@dataclass
class FakeAnswers:
    """A network where everything that is asked for works; it knows what the orchestrator runs."""

    orchestrator: FakeOrchestrator
    wrong_dns: bool = False

    def __call__(self, agent: FakeAgent, method: str, params: Mapping[str, Any]) -> list[dict[str, Any]]:
        if method == "probe":
            return [self._probe(probe) for probe in params["probes"]]
        if method == "lookup":
            return [self._lookup(lookup) for lookup in params["lookups"]]
        return []

    def _probe(self, probe: Mapping[str, Any]) -> dict[str, Any]:
        peer = probe["key"].split("|")[3]
        return {"n": 1, "f": probe["protocol"], "at": probe["at"], "key": probe["key"], "value": f"ok {peer}"}

    def _lookup(self, lookup: Mapping[str, Any]) -> dict[str, Any]:
        _, network, name = lookup["key"].split("|")
        value = "timeout" if self.wrong_dns else self.orchestrator.addresses(network, name)
        return {"n": 1, "f": "dns", "at": lookup["at"], "key": lookup["key"], "value": value}


def make_agents(answer: Answer) -> dict[str, FakeAgent]:
    return {node: FakeAgent(node, answer) for node in NODES}


@dataclass
class FakeFault:
    """Felt at the `felt_at`-th question (0: never). Healing fails `heal_fails` times."""

    felt_at: int = 1
    name: str = "pause"
    rights: frozenset[Right] = frozenset()
    heal_fails: int = 0
    on_inject: Callable[[], None] = lambda: None
    on_felt: Callable[[], None] = lambda: None
    on_heal: Callable[[], None] = lambda: None
    events: list[str] = field(default_factory=list)
    asked: int = 0

    def demands(self) -> list[Demand]:
        return []

    def inject(self, cluster: Cluster, targets: Sequence[str], direction: str, *, timeout_s: float) -> None:
        self.events.append(f"inject {','.join(targets)} {direction}")
        self.on_inject()

    def felt(self, cluster: Cluster, targets: Sequence[str], direction: str, *, timeout_s: float) -> Felt:
        self.asked += 1
        self.on_felt()
        felt = 0 < self.felt_at <= self.asked
        return Felt(felt, "it hurts" if felt else "nothing yet")

    def heal(self, cluster: Cluster, *, timeout_s: float) -> list[str]:
        if self.heal_fails:
            self.heal_fails -= 1
            raise EnvironmentBroken("not healed")
        self.events.append("heal")
        self.on_heal()
        return ["it"]
