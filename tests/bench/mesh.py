"""All pairs of a scaled service, by agents and by one `docker exec` a pair and protocol.

Both ask the same listeners the same questions: an echo by ICMP, who answers by TCP and by UDP. The execs are a
random sample, run one after another and several at once, and extrapolated to all pairs; their number is told.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import permutations

from harness.model.errors import EnvironmentBroken
from harness.ports import Act, Container, Load, Progress, Scene
from harness.session import Live
from harness.session.clusters import agents_of
from harness.transport.seats import AnyAgent
from harness.workloads._places import listen
from harness.workloads._probes import Prober
from tests.bench.rig import timed
from tests.bench.table import Goal, Row

PROTOCOLS = ("icmp", "tcp", "udp")
SIZES = (3, 6, 12, 24)
COMPARED = 12
SERVICE, NETWORK = "peer", "app"
#: Execs a round and way: so many pairs, each by every protocol.
SAMPLED_PAIRS = 8
AT_ONCE = 6
PROBE_TIMEOUT_S, CALL_TIMEOUT_S, SCALE_TIMEOUT_S, SETTLE_TIMEOUT_S = 1.0, 30.0, 60.0, 30.0
TIMES_FASTER = Goal(20.0)
#: What the listeners answer with.
TOKEN = "bench"

_TCP = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), 1) as s:
    s.sendall(b'{"op": "id", "bytes": 0}\\n')
    sys.exit(sys.argv[3].encode() not in s.recv(4096))
"""
_UDP = """
import socket, sys
with socket.socket(type=socket.SOCK_DGRAM) as s:
    s.settimeout(1)
    s.sendto(b'{"op": "id", "n": 1}', (sys.argv[1], int(sys.argv[2])))
    sys.exit(sys.argv[3].encode() not in s.recv(4096))
"""

Question = tuple[Container, Container, str]


@dataclass(frozen=True)
class Mesh:
    """The service with so many containers, its listeners open."""

    live: Live
    agents: Mapping[str, AnyAgent]
    scene: Scene

    @property
    def questions(self) -> list[Question]:
        return [(*pair, protocol) for pair in permutations(self.scene.containers, 2) for protocol in PROTOCOLS]

    def by_agents(self) -> int:
        """Ask every question at once; how many were not answered by whom they were meant for."""
        prober = Prober(self.scene, self.live.plan, PROTOCOLS, PROBE_TIMEOUT_S)
        pairs = permutations(self.scene.containers, 2)
        return call(self.agents, prober.load([item for a, b in pairs for item in prober.by_ip(a, NETWORK, b)]))

    def by_exec(self, question: Question) -> None:
        """One question as a shell script would ask it. Raises EnvironmentBroken where it is not answered."""
        source, target, protocol = question
        address = target.networks[NETWORK].ip
        argv = _asking(protocol, address, self.scene.port, target.name)
        host = self.live.cluster.hosts[source.node]
        result = host.run(["docker", "exec", source.id, *argv], timeout_s=CALL_TIMEOUT_S)
        if not result.ok:
            raise EnvironmentBroken(f"{source.name} to {target.name} by {protocol}: {result.output}")


def _asking(protocol: str, address: str, port: int, name: str) -> list[str]:
    if protocol == "icmp":
        return ["ping", "-c", "1", "-W", "1", address]
    return ["python3", "-I", "-S", "-c", _TCP if protocol == "tcp" else _UDP, address, str(port), json.dumps(name)]


def call(agents: Mapping[str, AnyAgent], load: Load) -> int:
    """Run a load's programs side by side; how many rows are not ok."""
    batches: list[Mapping[str, object]] = []
    jobs = [(agents[a.host].open(a.program.method, a.program.params, batches.append), a) for a in load.assignments]
    for job, assignment in jobs:
        job.wait(assignment.program.timeout_s)
    return sum(_not_ok(batch) for batch in batches)


def _not_ok(batch: Mapping[str, object]) -> int:
    outcome = batch["outcome"]
    if isinstance(outcome, list):
        return len(outcome) - outcome.count("ok")
    return 0 if outcome == "ok" else int(str(batch["n"]))


def measure(live: Live, rounds: int, progress: Progress) -> list[Row]:
    """The mesh's growth, and at COMPARED endpoints the comparison."""
    rows: list[Row] = []
    with agents_of(live.cluster.hosts) as agents:
        for size in SIZES:
            mesh = _scaled(live, agents, size, progress)
            rows += _compared(mesh, rounds, progress) if size == COMPARED else [_growth(mesh, rounds, progress)]
    return rows


def _scaled(live: Live, agents: Mapping[str, AnyAgent], size: int, progress: Progress) -> Mesh:
    progress(f"scaling to {size} endpoints")
    act = Act("scale", SERVICE, replicas=size)
    live.orchestrator.perform(live.cluster, live.plan, act, None, timeout_s=SCALE_TIMEOUT_S)
    containers = live.orchestrator.containers(live.cluster, live.plan, SERVICE)
    nodes = {name: host.address for name, host in live.cluster.hosts.items()}
    mesh = Mesh(live, agents, Scene(tuple(containers), nodes, token=TOKEN))
    call(agents, listen(mesh.scene, live.plan))
    _settle(mesh)
    return mesh


def _settle(mesh: Mesh) -> None:
    """Wait until every pair is open: what is measured is asking, not how an overlay comes up."""
    end = time.monotonic() + SETTLE_TIMEOUT_S
    while missed := mesh.by_agents():
        if time.monotonic() > end:
            raise EnvironmentBroken(f"{missed} of {len(mesh.questions)} probes fail after {SETTLE_TIMEOUT_S:g} s")


def _agents_s(mesh: Mesh) -> float:
    missed: list[int] = []
    taken_s = timed(lambda: missed.append(mesh.by_agents()))
    if missed[0]:
        raise EnvironmentBroken(f"{missed[0]} of {len(mesh.questions)} probes fail")
    return taken_s


def _title(mesh: Mesh) -> str:
    return f"mesh of {len(mesh.scene.containers)} endpoints, {len(mesh.questions):,} probes"


def _growth(mesh: Mesh, rounds: int, progress: Progress) -> Row:
    row = Row(f"{_title(mesh)}: by agents", [_agents_s(mesh) for _ in range(rounds)], "s")
    progress(f"{row.what} in {row.median:.3f} s")
    return row


def _compared(mesh: Mesh, rounds: int, progress: Progress) -> list[Row]:
    rng = random.Random(1)
    agents, single, several = [], [], []
    for _ in range(rounds):
        agents.append(_agents_s(mesh))
        single.append(_execs_s(mesh, _sample(mesh, rng), 1))
        agents.append(_agents_s(mesh))
        several.append(_execs_s(mesh, _sample(mesh, rng), AT_ONCE))
        progress(f"agents {agents[-1]:.3f} s, execs {single[-1]:.1f} s, {AT_ONCE} at once {several[-1]:.1f} s")
    return _comparison(mesh, agents, single, several)


def _comparison(
    mesh: Mesh, agents: Sequence[float], single: Sequence[float], several: Sequence[float]
) -> list[Row]:
    """`agents` has two entries a round: the one before each sample of execs."""
    title = _title(mesh)
    ran = f"(from {SAMPLED_PAIRS * len(PROTOCOLS)} of them)"
    ratios = [e / a for e, a in zip(single, agents[0::2], strict=True)]
    at_once = [e / a for e, a in zip(several, agents[1::2], strict=True)]
    return [
        Row(f"{title}: by agents", agents, "s"),
        Row(f"{title}: one `docker exec` each {ran}", single, "s"),
        Row(f"{title}: agents faster", ratios, "x", TIMES_FASTER),
        Row(f"{title}: {AT_ONCE} `docker exec` at once {ran}", several, "s"),
        Row(f"{title}: agents faster than those", at_once, "x"),
    ]


def _sample(mesh: Mesh, rng: random.Random) -> list[Question]:
    pairs = rng.sample(list(permutations(mesh.scene.containers, 2)), SAMPLED_PAIRS)
    return [(*pair, protocol) for pair in pairs for protocol in PROTOCOLS]


def _execs_s(mesh: Mesh, sample: Sequence[Question], at_once: int) -> float:
    """Seconds for all questions, from those of the sample."""
    with ThreadPoolExecutor(at_once) as pool:
        taken_s = timed(lambda: list(pool.map(mesh.by_exec, sample)))
    return taken_s * len(mesh.questions) / len(sample)
