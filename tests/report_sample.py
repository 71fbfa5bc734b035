"""A run as the harness leaves one: three hosts, eight containers, two networks, two volumes, a partition.

`python tests/report_sample.py FOLDER` writes its report there.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from harness.model.history import NEVER, History, Op
from harness.model.plan import NetworkPlan, NodePlan, Plan, Target, VolumePlan
from harness.model.run import FaultRecord, Run, overall
from harness.model.topology import Topology
from harness.model.verdict import Failure, Promise, Skip, Verdict
from harness.report import RunView, print_run, write_all

S = 1_000_000_000
MS = 1_000_000
RUN = "overlay-7f3a"

TOPOLOGY: dict[str, Any] = {
    "name": "overlay",
    "networks": {
        "app": {"driver": "overlay", "attachable": True, "ipam": {"config": [{"subnet": "10.60.0.0/16"}]}},
        "back": {"driver": "overlay", "internal": True, "ipam": {"config": [{"subnet": "10.61.0.0/24"}]}},
    },
    "volumes": {
        "shared": {"driver": "local", "driver_opts": {"type": "none", "o": "bind", "device": "/srv/shared"}},
        "scratch": {"driver": "local"},
    },
    "services": {
        "web": {
            "deploy": {"replicas": 3},
            "networks": {"app": {"aliases": ["www"]}},
            "volumes": ["shared:/data", "scratch:/scratch"],
        },
        "edge": {
            "deploy": {"mode": "global"},
            "networks": ["app"],
            "ports": [{"target": 5000, "published": 8000, "mode": "host"}],
        },
        "db": {"node": "n2", "networks": ["back"]},
        "probe": {"node": "n1", "networks": ["app", "back"]},
    },
}

#: container -> (service, node, {network: address})
CONTAINERS: dict[str, tuple[str, str, dict[str, str]]] = {
    "web.1": ("web", "n1", {"app": "10.60.0.5"}),
    "web.2": ("web", "n2", {"app": "10.60.0.6"}),
    "web.3": ("web", "n3", {"app": "10.60.0.7"}),
    "edge.n1": ("edge", "n1", {"app": "10.60.0.11"}),
    "edge.n2": ("edge", "n2", {"app": "10.60.0.12"}),
    "edge.n3": ("edge", "n3", {"app": "10.60.0.13"}),
    "db": ("db", "n2", {"back": "10.61.0.3"}),
    "probe": ("probe", "n1", {"app": "10.60.0.20", "back": "10.61.0.4"}),
}
NODES = {"n1": "172.31.0.11", "n2": "172.31.0.12", "n3": "172.31.0.13"}


def plan() -> Plan:
    names = ("overlay",)
    return Plan(
        run=RUN,
        topology=Topology.model_validate(TOPOLOGY),
        provider="docker",
        orchestrator="swarm",
        seed=20240917,
        nodes=(NodePlan("n1", "manager"), NodePlan("n2", "worker"), NodePlan("n3", "worker")),
        targets=(
            Target(
                "web", 3, "replicated", {"app": ("web", "www")}, mounts={"shared": "/data", "scratch": "/scratch"}
            ),
            Target(
                "edge",
                3,
                "global",
                {"app": ("edge",)},
                ports=({"target": 5000, "published": 8000, "mode": "host"},),
            ),
            Target("db", 1, "plain", {"back": ("db",)}, node="n2"),
            Target("probe", 1, "plain", {"app": ("probe",), "back": ("probe",)}, node="n1"),
        ),
        networks=(
            NetworkPlan("app", names[0], 1450, True, subnets=("10.60.0.0/16",)),
            NetworkPlan("back", names[0], 1450, True, internal=True, subnets=("10.61.0.0/24",)),
        ),
        volumes=(
            VolumePlan(
                "shared",
                "local",
                True,
                {"append-loses-nothing": ("holds", "POSIX write(2), O_APPEND")},
                "/srv/shared",
            ),
            VolumePlan(
                "scratch",
                "local",
                False,
                {"append-loses-nothing": ("may", "a plain local volume is one node's own")},
            ),
        ),
        notes=("heartbeat_s is 1: faster than Swarm's own 5 s",),
    )


# --- rows ------------------------------------------------------------------------------------------------


def endpoints(check: str, start: int) -> Iterator[Op]:
    for name, (service, node, networks) in CONTAINERS.items():
        yield Op(service, node, name, check, "task", f"start|{service}", "running", start_ns=start, end_ns=start)
        for network, ip in networks.items():
            yield Op(service, node, name, check, "endpoint", f"start|{network}", ip, start_ns=start, end_ns=start)


def _addresses(service: str) -> str:
    return ",".join(
        sorted(ip for s, _, nets in CONTAINERS.values() if s == service for n, ip in nets.items() if n == "app")
    )


def pairs(network: str) -> Iterator[tuple[str, str]]:
    members = [name for name, (_, _, networks) in CONTAINERS.items() if network in networks]
    return ((a, b) for a in members for b in members if a != b)


def _cut(source: str, target: str, protocol: str) -> bool:
    return CONTAINERS[source][1] == "n3" and CONTAINERS[target][1] == "n1" and protocol != "icmp"


def mesh(check: str, start: int, rng: random.Random, *, cut: bool) -> Iterator[Op]:
    when = start
    for network in ("app", "back"):
        for source, target in pairs(network):
            for via in ("ip", "name"):
                for protocol in ("icmp", "tcp", "udp"):
                    got, took = f"ok {target}", rng.randint(150_000, 900_000)
                    if cut and _cut(source, target, protocol):
                        got, took = "timeout", 2 * S
                    if cut and (source, target, via, protocol) == ("edge.n2", "web.2", "name", "tcp"):
                        got = "wrong-peer web.3"
                    if cut and (source, target, via) == ("probe", "edge.n3", "name") and protocol == "udp":
                        got = "dns"
                    when += rng.randint(100_000, 3_000_000)
                    yield _probe(check, source, target, via, network, protocol, got, when, took)


def _probe(
    check: str, source: str, target: str, via: str, network: str, protocol: str, got: str, start: int, took: int
) -> Op:
    where = CONTAINERS[target][2].get(network, "") if target in CONTAINERS else NODES.get(target, "")
    key = f"{via}|{network}|4|{target}|{where}"
    return Op(
        "agent", CONTAINERS[source][1], source, check, protocol, key, got, start_ns=start, end_ns=start + took,
        outcome="ok" if got.startswith("ok") else "fail",
    )  # fmt: skip


def closed(check: str, start: int, rng: random.Random) -> Iterator[Op]:
    for source in ("web.1", "web.2", "web.3", "edge.n1"):
        for protocol in ("icmp", "tcp", "udp"):
            start += rng.randint(MS, 5 * MS)
            yield _probe(check, source, "db", "ip", "back", protocol, "timeout", start, 800 * MS)
            yield _probe(check, "db", source, "ip", "app", protocol, "unreachable", start, 2 * MS)


def fault(check: str, name: str, target: str, at: int, hold: int) -> Iterator[Op]:
    phases = (
        ("inject", at, at + 80 * MS),
        ("hold", at + 80 * MS, at + hold),
        ("heal", at + hold, at + hold + 60 * MS),
    )
    for phase, start, end in (*phases, ("recover", at + hold + 60 * MS, at + hold + 900 * MS)):
        yield Op("nemesis", "", target, check, "fault", name, phase, start_ns=start, end_ns=end)
    yield Op(
        "nemesis",
        "",
        target,
        check,
        "felt",
        name,
        "3 of 3 probes to n2 went unanswered",
        start_ns=at + 80 * MS,
        end_ns=at + 2 * S,
    )


def beats(check: str, start: int, rng: random.Random, cut: tuple[int, int]) -> Iterator[Op]:
    for process, source, target in (
        ("k1", "web.1", "web.2"),
        ("k2", "web.1", "web.3"),
        ("k3", "edge.n3", "web.2"),
    ):
        stalled = "web.2" in (source, target)
        when = start
        while when < start + 12 * S:
            key = f"ip|app|4|{target}|{CONTAINERS[target][2]['app']}"
            took = int(rng.lognormvariate(12.6, 0.35))
            if stalled and cut[0] < when < cut[1]:
                yield Op(
                    process,
                    CONTAINERS[source][1],
                    source,
                    check,
                    "beat",
                    key,
                    "timeout",
                    start_ns=when,
                    end_ns=when + S,
                    outcome="fail",
                )
                when += S
                if when >= cut[1]:
                    late = cut[1] + 420 * MS
                    yield Op(
                        process,
                        CONTAINERS[source][1],
                        source,
                        check,
                        "beat",
                        key,
                        "ok",
                        start_ns=when,
                        end_ns=late + 350 * MS,
                    )
                    when = late + 400 * MS
                continue
            yield Op(
                process, CONTAINERS[source][1], source, check, "beat", key, "ok", start_ns=when, end_ns=when + took
            )
            when += 50 * MS


def appends(check: str, start: int, rng: random.Random, cut: tuple[int, int], *, per_s: float) -> Iterator[Op]:
    for writer, (container, node) in enumerate(
        (c, n) for c in ("web.1", "web.2", "web.3") for n in [CONTAINERS[c][1]] * 2
    ):
        yield from _writer(check, writer, container, node, start, rng, cut, per_s)


def _writer(
    check: str,
    writer: int,
    container: str,
    node: str,
    start: int,
    rng: random.Random,
    cut: tuple[int, int],
    per_s: float,
) -> Iterator[Op]:
    when, sequence = start, 0
    while when < start + 8 * S:
        took = int(rng.lognormvariate(11.6, 0.5))
        frozen = node == "n2" and cut[0] < when < cut[1]
        if frozen:
            yield Op(
                f"w{writer}",
                node,
                container,
                check,
                "append",
                "shared",
                writer << 32 | sequence,
                length=64,
                start_ns=when,
                end_ns=NEVER,
                outcome="info",
            )
            when = cut[1] + int(rng.random() * 100 * MS)
        else:
            failed = rng.random() < 0.0006
            yield Op(
                f"w{writer}",
                node,
                container,
                check,
                "append",
                "shared",
                writer << 32 | sequence,
                length=64,
                errno=5 if failed else 0,
                start_ns=when,
                end_ns=when + took,
                outcome="fail" if failed else "ok",
            )
        sequence += 1
        when += took + int(rng.expovariate(per_s) * S)


def names(check: str, start: int) -> Iterator[Op]:
    for phase, right in (("start", "web"), ("scale 5", "web"), ("stop probe", "probe")):
        truth = _addresses("web") if right == "web" else ""
        if phase == "scale 5":
            truth += ",10.60.0.31,10.60.0.32"
        service = "web" if right == "web" else "probe"
        yield Op(
            "orchestrator",
            "",
            "orchestrator",
            check,
            "truth",
            f"{phase}|app|{service}",
            truth,
            start_ns=start,
            end_ns=start,
        )
        for attempt in range(3):
            for index, at in enumerate(("web.1", "web.2", "edge.n3")):
                stale = phase != "start" and attempt < 1 + index % 2
                answer = _addresses("web") if stale and service == "web" else truth or "nxdomain"
                if service == "probe" and (stale or index == 2):
                    answer = CONTAINERS["probe"][2]["app"]
                for name in [service, f"tasks.{service}", "www"] if service == "web" else [service]:
                    when = start + attempt * 500 * MS + 20 * MS
                    yield Op(
                        "agent",
                        CONTAINERS[at][1],
                        at,
                        check,
                        "dns",
                        f"{phase}|app|{name}",
                        answer,
                        start_ns=when,
                        end_ns=when + 2 * MS,
                    )
        start += 3 * S


def speeds(start: int, rng: random.Random) -> Iterator[Op]:
    flows = [
        ("web.1", "web.2", "ip", "app", 9.8),
        ("web.2", "web.3", "ip", "app", 9.1),
        ("edge.n1", "edge.n3", "ip", "app", 9.5),
        ("n1", "n2", "node", "-", 12.4),
        ("n2", "n3", "node", "-", 11.9),
    ]
    for source, target, via, network, gbit in flows:
        host = CONTAINERS[source][1] if source in CONTAINERS else source
        key = f"{via}|{network}|4|{target}|{NODES.get(target, '')}"
        for _ in range(10):
            bytes_ = int(gbit * rng.uniform(0.9, 1.08) * 1e9 / 8 * 0.2)
            yield Op(
                "agent",
                host,
                source,
                "throughput",
                "stream",
                key,
                "ok",
                length=bytes_,
                start_ns=start,
                end_ns=start + 200 * MS,
            )
            start += 200 * MS
        for _ in range(60):
            took = int(rng.lognormvariate(11.2 if via == "ip" else 10.7, 0.25))
            yield Op("agent", host, source, "latency", "rtt", key, "ok", start_ns=start, end_ns=start + took)
            start += took


def history() -> History:
    rng = random.Random(7)
    base = 5_000 * S
    cut = (base + 63 * S, base + 67 * S)
    stall = (base + 83 * S, base + 86 * S)
    rows: list[Op] = [
        *endpoints("connectivity", base),
        *mesh("connectivity", base + S, rng, cut=True),
        *closed("isolation", base + 20 * S, rng),
        *names("dns", base + 30 * S),
        *speeds(base + 45 * S, rng),
        *mesh("recovery", base + 72 * S, rng, cut=False),
        *fault("recovery", "partition", "n2", cut[0], 4 * S),
        *beats("recovery", base + 60 * S, rng, cut),
        *appends("append-shared", base + 81 * S, rng, stall, per_s=60),
        *fault("append-shared", "pause", "n2", stall[0], 3 * S),
        *appends("append-scratch", base + 95 * S, rng, (0, 0), per_s=25),
    ]
    return History.of(rows)


# --- verdicts ----------------------------------------------------------------------------------------------


def failures(rows: History) -> tuple[Failure, ...]:
    found = []
    for op in rows.only(check="connectivity", f=["tcp", "udp", "icmp"], outcome="fail").ops():
        via, _, family, target, _ = op.key.split("|")
        got: Any = str(op.value).split()[0]
        found.append(Failure(op.at, target, via, op.f, int(family), "ok", got))
    return tuple(found)


_WITNESS = (
    "w2 on n2 appended record 8589934601 at 95.21 s and had its answer at 95.22 s; "
    "a reader on n1 saw 385 records at 104.4 s and it was not among them"
)
APPEND = ("append-loses-nothing", "append-no-duplicates", "append-not-torn", "append-real-time-order", "shared")


def _promises(expected: Any, broken: Sequence[str], source: str) -> tuple[Promise, ...]:
    kept = [Promise(name, expected, "kept", 0, 1157, source) for name in APPEND if name not in broken]
    return (*kept, *(Promise(name, expected, "broken", 771, 1157, source, _WITNESS) for name in broken))


def _appended(n1: int, n2: int, n3: int) -> dict[str, dict[str, int]]:
    return {"n1": {"append": n1}, "n2": {"append": n2}, "n3": {"append": n3}}


def checks(rows: History) -> tuple[Verdict, ...]:
    return (*_network_checks(failures(rows)), *_volume_checks())


def _network_checks(failed: tuple[Failure, ...]) -> tuple[Verdict, ...]:
    return (
        Verdict(
            "connectivity", "connectivity", "all containers", "fail",
            f"{len(failed)} of 252 assertions do not hold: n3 does not reach n1 by tcp and udp",
            correct=252 - len(failed), wrong=len(failed), failures=failed, duration_s=4.61,
            figures={"pairs": 252, "mesh_ms": 812.4, "packet_bytes": 1450},
            skipped=(Skip("connectivity", "vip", "ipvs"), Skip("connectivity", "ingress", "ipvs")),
        ),
        Verdict("isolation", "isolation", "app, back", "pass", "closed, as they must be", correct=24),
        Verdict(
            "mtu", "mtu", "app", "pass", "1450 bytes pass and 1451 do not; 1 MiB arrives whole",
            correct=18, duration_s=2.4, figures={"app_packet_bytes": 1450, "bulk_bytes": 1048576},
        ),
        Verdict(
            "dns", "dns", "app", "fail", "edge.n3 still resolves probe 1.0 s after it stopped",
            correct=29, wrong=1, duration_s=9.3, figures={"settled_max_s": 0.53},
        ),
        Verdict(
            "throughput", "throughput", "app", "pass", "0.79 of node to node", correct=3, duration_s=10.1,
            figures={"app_ratio": 0.79, "app_median_gbit_s": 9.466},
        ),
        Verdict(
            "latency", "latency", "app", "pass", "1.6 times node to node", correct=3, duration_s=2.0,
            figures={"app_p50_us": 73.1, "app_p99_us": 131.8, "app_ratio": 1.64},
        ),
        Verdict(
            "recovery", "recovery", "all containers", "pass",
            "everything was right again 0.8 s after healing; a kept connection stalled for 4.4 s and went on",
            correct=252, duration_s=14.0, figures={"stall_max_s": 4.42, "recovered_s": 0.77},
        ),
        Verdict(
            "throughput-back", "throughput", "back", "unknown", "no stream ran: db did not answer within 5 s",
            no_value=2, duration_s=5.0,
        ),
    )  # fmt: skip


def _volume_checks() -> tuple[Verdict, ...]:
    return (
        Verdict(
            "append-shared", "concurrent-append", "shared", "pass", "2,562 acknowledged records are there",
            correct=2562, duration_s=11.2, operations=_appended(1010, 560, 992),
            promises=_promises("holds", (), "POSIX.1-2017, write(): O_APPEND"),
            figures={"append_p50_us": 109.0, "append_p99_us": 410.0},
        ),
        Verdict(
            "append-scratch", "concurrent-append", "scratch", "pass", "not shared: a file on each node",
            correct=1157, duration_s=10.9, operations=_appended(385, 389, 383),
            promises=_promises("may", ("shared",), "a plain local volume is one node's own"),
        ),
    )  # fmt: skip


ENVIRONMENT: dict[str, Any] = {
    "harness": "0.1.0",
    "python": "3.13.5",
    "started_by": "harness run topologies/overlay.yaml",
    "engine": {"version": "26.1.5", "storage": "overlay2", "own": True},
    "nodes": {
        name: {"role": role, "address": NODES[name], "kernel": "6.12.41", "engine": "26.1.5", "memory_mib": 3960}
        for name, role in (("n1", "manager"), ("n2", "worker"), ("n3", "worker"))
    },
}


def sample_run(rows: History) -> Run:
    verdicts = checks(rows)
    return Run(
        id=RUN,
        topology="overlay",
        provider="docker",
        orchestrator="swarm",
        seed=20240917,
        verdict=overall(verdicts),
        error=None,
        started="2024-09-17T02:14:07Z",
        duration_s=96.4,
        checks=verdicts,
        skipped=(Skip("mtu-encrypted", "", "esp"), Skip("mtu", "ipvlan", "ipvlan")),
        faults=(
            FaultRecord("partition", "recovery", ("n2",), 3.0, 7.06, True, True),
            FaultRecord("pause", "append-shared", ("n2",), 2.0, 5.06, True, True),
        ),
    )


def sample_view() -> RunView:
    rows = history()
    return RunView(sample_run(rows), plan(), rows, ENVIRONMENT)


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_all(sample_view(), folder)
    print_run(sample_view(), Console(), folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
