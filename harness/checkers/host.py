"""Judges containers in their node's network: its address, ports, interfaces and name, and how fast it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from harness.checkers._answers import judge_open
from harness.checkers._expected import asked, missing, open_probes
from harness.checkers._promises import measured, with_promises
from harness.checkers._rates import Floats, Pair, gbits, micros, pairs_by_network
from harness.checkers._scene import ProbeKey, Scene, scene_at
from harness.checkers._tally import Tally, last_of_each
from harness.model.history import History, Op
from harness.model.plan import Plan
from harness.model.topology import Check
from harness.model.verdict import Verdict

HOST = "host"
IN_USE = "Address already in use"
NO_ISOLATION = "Docker: Host network driver: the container's network is not isolated from its host's"


def check(history: History, plan: Plan, check: Check) -> Verdict:
    """Params used: `service`. Ratios are each way's median over that of the host's own network."""
    tally, scene = Tally(), scene_at(history)
    probes = last_of_each(history.only(f=("tcp", "udp", "icmp")).ops())
    for row in probes:
        judge_open(tally, row, ProbeKey.parse(row.key), scene, plan)
    tally.doubts += _unprobed(scene, plan, probes)
    for row in history.only(f="second-bind").ops():
        _judge_second(tally, row)
    hosted = [container for container in scene.containers.values() if container.host]
    names = {row.at: str(row.value).strip() for row in history.only(f="hostname").ops() if row.outcome == "ok"}
    for container in hosted:
        _judge_name(tally, container.name, container.node, names)
    seen = {row.at: row for row in history.only(f="interfaces").ops()}
    inside = [seen[container.name] for container in hosted if container.name in seen]
    isolated = measured(
        "isolated from its node's network", "may", inside,
        lambda row: _interfaces(row) != _interfaces(seen.get(row.host)), NO_ISOLATION, _told,
    )  # fmt: skip
    tally.figures = _figures(tally, history)
    verdict = tally.verdict(check, f"{len(hosted)} containers have the network of their nodes")
    return with_promises(verdict, [isolated])


def _unprobed(scene: Scene, plan: Plan, probes: Sequence[Op]) -> list[str]:
    """Nodes that no container in a node's network was asked to reach."""
    wanted = (probe for probe in open_probes(scene, plan, ("icmp", "tcp", "udp"), []) if probe.via == "node")
    return missing(wanted, asked(probes))


def _judge_second(tally: Tally, row: Op) -> None:
    if row.outcome == "ok":
        tally.wrong.append(f"{row.at} could listen on {row.key}, which is in use on {row.host}")
    elif IN_USE in str(row.value):
        tally.right()
    else:
        tally.doubts.append(f"{row.at}: a second listener on {row.key} failed for another reason: {row.value}")


def _judge_name(tally: Tally, container: str, node: str, names: Mapping[str, str]) -> None:
    if container not in names or node not in names:
        tally.doubts.append(f"{container}: its hostname, or that of {node}, is not known")
    elif names[container] == names[node]:
        tally.right()
    else:
        tally.wrong.append(f"{container} has the hostname {names[container]}, and {node} has {names[node]}")


def _interfaces(row: Op | None) -> frozenset[str]:
    """Names in /proc/net/dev (proc(5)); empty where nobody could read it."""
    lines = str(row.value).splitlines() if row is not None and row.outcome == "ok" else []
    return frozenset(line.partition(":")[0].strip() for line in lines if ":" in line)


def _told(row: Op) -> str:
    return f"{row.at} sees {', '.join(sorted(_interfaces(row)))}, as {row.host} does"


def _figures(tally: Tally, history: History) -> dict[str, float]:
    """Ratios to the host's own (`bridge_to_host_rtt_ratio`), then each way's median (`bridge_rtt_p50_us`)."""
    ratios: dict[str, float] = {}
    figures: dict[str, float] = {}
    for f, unit, values in (("rtt", "rtt_p50_us", micros), ("stream", "median_gbit_s", gbits)):
        medians = _medians(tally, history, f, values)
        figures |= {f"{way}_{unit}": round(median, 4) for way, median in medians.items()}
        if HOST in medians:
            others = {way: median / medians[HOST] for way, median in medians.items() if way != HOST}
            ratios |= {f"{way}_to_host_{f}_ratio": round(ratio, 4) for way, ratio in others.items()}
    if HOST not in pairs_by_network(history, "rtt"):
        tally.doubts.append("the host's own network was not measured, so nothing can be compared with it")
    return ratios | figures


def _medians(tally: Tally, history: History, f: str, values: Callable[[Pair], Floats]) -> dict[str, float]:
    """Each way's median; a way without a measurement is a doubt."""
    medians: dict[str, float] = {}
    for way, pairs in pairs_by_network(history, f).items():
        measurements = np.concatenate([values(pair) for pair in pairs])
        if len(measurements):
            medians[way] = float(np.median(measurements))
            tally.right()
        else:
            tally.doubts.append(f"no measurement of {f} by way of {way}")
    return medians
