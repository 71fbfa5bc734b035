"""Histories for the tests of the checkers, in few words: a scene of three nodes, and rows on it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.model.history import NEVER, Op
from harness.model.plan import NetworkPlan, NodePlan, Plan, Target, VolumePlan
from harness.model.topology import Check, Fault, Topology

NODES = {"n1": "172.30.0.1", "n2": "172.30.0.2", "n3": "172.30.0.3"}
PROMISES = ("shared", "append-loses-nothing", "append-no-duplicates", "append-not-torn", "append-real-time-order")

#: Name -> (service, node, networks). web and db share `app`, lone has `other` for itself with mate.
CONTAINERS: dict[str, tuple[str, str, dict[str, str]]] = {
    "web.1": ("web", "n1", {"app": "10.1.0.1"}),
    "web.2": ("web", "n2", {"app": "10.1.0.2"}),
    "db": ("db", "n3", {"app": "10.1.0.3"}),
    "lone": ("lone", "n1", {"other": "10.2.0.1"}),
    "mate": ("mate", "n2", {"other": "10.2.0.2"}),
}
TARGETS = (
    Target("web", 2, "replicated", {"app": ("web", "www")}, tasks="tasks.web"),
    Target("db", 1, "plain", {"app": ("db",)}, node="n3"),
    Target("lone", 1, "plain", {"other": ("lone",)}, node="n1"),
    Target("mate", 1, "plain", {"other": ("mate",)}, node="n2"),
)


def make_plan(**changes: Any) -> Plan:
    fields: dict[str, Any] = {
        "run": "test",
        "topology": Topology(name="test"),
        "provider": "docker",
        "orchestrator": "swarm",
        "seed": 1,
        "nodes": tuple(NodePlan(name, "manager" if name == "n1" else "worker") for name in NODES),
        "targets": TARGETS,
        "networks": (NetworkPlan("app", "overlay", 1450, True), NetworkPlan("other", "overlay", 1450, True)),
    }
    return Plan(**{**fields, **changes})


def make_check(kind: str, faults: Sequence[str] = (), **params: Any) -> Check:
    return Check(kind=kind, id=kind, params=params, faults=[Fault(fault=name) for name in faults])


def volume_plan(*, shared: bool, expected: str = "holds") -> VolumePlan:
    promises: Mapping[str, tuple[str, str]] = dict.fromkeys(PROMISES, (expected, "the manual"))
    return VolumePlan("data", "local", shared, promises)


def row(f: str, check: str, **fields: Any) -> Op:
    whole: dict[str, Any] = {"process": "agent", "host": "n1", "at": "", "key": "", "value": "ok"}
    times = {"start_ns": 10_000, "end_ns": 11_000}
    return Op(f=f, check=check, **{**whole, **times, **fields})


def look(
    check: str, phase: str = "start", containers: Mapping[str, Any] = CONTAINERS, at_ns: int = 1_000
) -> list[Op]:
    """The rows that the runner writes when it looks: endpoints, tasks and the truth about names."""
    rows = [_at(at_ns, "endpoint", check, "-", node, node, f"{phase}|node", ip) for node, ip in NODES.items()]
    truth: dict[str, list[str]] = {f"{t.service}|{n}": [] for t in TARGETS for n in t.networks}
    for name, (service, node, networks) in containers.items():
        rows.append(_at(at_ns, "task", check, service, node, name, f"{phase}|{service}", "running"))
        for network, ip in networks.items():
            rows.append(_at(at_ns, "endpoint", check, service, node, name, f"{phase}|{network}", ip))
            truth[f"{service}|{network}"].append(ip)
    for place, addresses in truth.items():
        service, network = place.split("|")
        key = f"{phase}|{network}|{service}"
        rows.append(_at(at_ns, "truth", check, "orchestrator", "controller", "", key, ",".join(sorted(addresses))))
    return rows


def _at(at_ns: int, f: str, check: str, process: str, host: str, at: str, key: str, value: str) -> Op:
    return row(f, check, process=process, host=host, at=at, key=key, value=value, start_ns=at_ns, end_ns=at_ns)


def probe(check: str, f: str, at: str, key: str, value: str, **fields: Any) -> Op:
    host = CONTAINERS[at][1] if at in CONTAINERS else at
    return row(f, check, host=host, at=at, key=key, value=value, **fields)


def ip_key(network: str, to: str) -> str:
    return f"ip|{network}|4|{to}|{CONTAINERS[to][2][network]}"


def fault_rows(
    check: str, name: str = "partition", *, felt: bool = True, inject_s: float = 1, heal_s: float = 3
) -> list[Op]:
    """A fault from `inject_s` to `heal_s`, and whether it was felt."""
    inject, heal = int(inject_s * 1e9), int(heal_s * 1e9)
    who = {"process": "nemesis", "host": "controller", "at": "n2", "key": name}
    return [
        row("fault", check, **who, value="inject", start_ns=inject - 1000, end_ns=inject),
        row("fault", check, **who, value="hold", start_ns=inject, end_ns=heal - 1000),
        row("fault", check, **who, value="heal", start_ns=heal - 1000, end_ns=heal),
        row("felt", check, **who, value="2 of 2 pings lost" if felt else "no ping was lost",
            start_ns=inject, end_ns=inject + 1000, outcome="ok" if felt else "fail"),
    ]  # fmt: skip


# --- append logs ---------------------------------------------------------------------------------------------

RECORD = 8


def append(writer: int, sequence: int, start: float, finish: float | None, **fields: Any) -> Op:
    """Writer w runs on node (w mod 3) + 1; `finish` None: never answered. Times in microseconds."""
    host = f"n{writer % 3 + 1}"
    whole = {
        "process": f"w{writer}", "host": host, "at": f"edge.{host}", "key": "data", "length": RECORD,
        "value": writer << 32 | sequence, "start_ns": int(start * 1000),
        "end_ns": NEVER if finish is None else int(finish * 1000), "outcome": "info" if finish is None else "ok",
    }  # fmt: skip
    return row("append", "concurrent-append", **{**whole, **fields})


def reserve(writer: int, first: int = 0, count: int = 64) -> Op:
    host = f"n{writer % 3 + 1}"
    return row("reserve", "concurrent-append", process=f"w{writer}", host=host, at=f"edge.{host}", key="data",
               value=writer << 32 | first, length=count)  # fmt: skip


def read(
    host: str, records: Iterable[tuple[int, int]], garbage: Sequence[tuple[str, int, int]] = (), at_s: float = 60
) -> list[Op]:
    """What a reader on `host` found: (id, offset) of whole records, (kind, offset, length) of the rest."""
    entries = list(records)
    who = {"process": f"reader-{host}", "host": host, "at": f"edge.{host}", "key": "data",
           "start_ns": int(at_s * 1e9), "end_ns": int(at_s * 1e9) + 1}  # fmt: skip
    size = RECORD * len(entries) + sum(length for _, _, length in garbage)
    content = f"sha-{hash((tuple(sorted(entries, key=lambda e: e[1])), tuple(garbage)))}"
    return [
        *(row("entry", "concurrent-append", **who, value=i, offset=o, length=RECORD) for i, o in entries),
        *(row("garbage", "concurrent-append", **who, value=k, offset=o, length=n) for k, o, n in garbage),
        row("read", "concurrent-append", **who, value=content, offset=0, length=size),
    ]


def placed(*ids: tuple[int, int]) -> list[tuple[int, int]]:
    """(writer, sequence) in the order of the file, as (id, offset)."""
    return [(writer << 32 | sequence, place * RECORD) for place, (writer, sequence) in enumerate(ids)]
