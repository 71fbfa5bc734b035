"""Judges what nodes know of a service: tasks that run = addresses of its names = remote endpoints in tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.checkers._names import judge_names, settling
from harness.checkers._scene import phases, scene_at
from harness.checkers._tally import Tally
from harness.model.history import History, Op
from harness.model.plan import Plan
from harness.model.tables import Endpoint, Tables, differences
from harness.model.topology import Check
from harness.model.verdict import Verdict


def check(history: History, plan: Plan, check: Check) -> Verdict:
    """Params used: none. At the end of each phase all must agree; figures say how long it took (moby PR 50236 and
    PR 50551 look at the same tables by hand).
    """
    tally, took = Tally(), dict[str, float]()
    judge_names(tally, history, plan)
    if not len(history.only(f="dns")):
        tally.doubts.append("no name was looked up")
    groups = _by_phase(history)
    for phase in phases(history):
        networks = groups.get(phase, {})
        if not networks:
            tally.doubts.append(f"no node's tables were read in phase {phase}")
        for network, rows in networks.items():
            took[phase] = max(took.get(phase, 0.0), _judge_tables(tally, history, phase, network, rows))
    tally.figures = settling(took)
    good = f"tasks, names and tables agree on every node in {len(took)} phases"
    return tally.verdict(check, good)


def _by_phase(history: History) -> dict[str, dict[str, list[Op]]]:
    """Rows of tables by phase and network, in order of time."""
    found: dict[str, dict[str, list[Op]]] = {}
    for row in sorted(history.only(f="tables").ops(), key=lambda row: row.start_ns):
        phase, _, network = row.key.partition("|")
        found.setdefault(phase, {}).setdefault(network, []).append(row)
    return found


def _judge_tables(tally: Tally, history: History, phase: str, network: str, rows: Sequence[Op]) -> float:
    """The last table of each node counts. Returns how long after the first one all were right, in seconds."""
    present = list(_endpoints(history, phase, network))
    last = {row.host: row for row in rows}
    tables = []
    for row in last.values():
        try:
            tables.append(Tables.parse(row.host, str(row.value)) if row.outcome == "ok" else None)
        except ValueError as error:
            tally.doubts.append(f"{phase}: {error}")
        if row.outcome != "ok":
            tally.doubts.append(f"{phase}: the tables of {network} on {row.host} could not be read: {row.value}")
    read = [table for table in tables if table is not None]
    wrong = [f"{phase}, {network} on {text}" for text in differences(present, read)]
    tally.wrong += wrong
    tally.doubts += _unread(phase, network, present, last)
    tally.right(max(0, _assertions(present, read) - len(wrong)))
    return (max(row.end_ns for row in last.values()) - rows[0].start_ns) / 1e9


def _assertions(present: Sequence[Endpoint], tables: Sequence[Tables]) -> int:
    """Two tables for each endpoint on another node."""
    return sum(2 for table in tables for endpoint in present if endpoint.node != table.node)


def _unread(phase: str, network: str, present: Sequence[Endpoint], read: dict[str, Op]) -> Iterator[str]:
    for node in sorted({endpoint.node for endpoint in present} - read.keys()):
        yield f"{phase}: nobody read the tables of {network} on {node}, which has an endpoint"


def _endpoints(history: History, phase: str, network: str) -> Iterator[Endpoint]:
    scene = scene_at(history, phase)
    macs = {row.at: str(row.value) for row in history.only(f="mac").ops() if row.key == f"{phase}|{network}"}
    for container in scene.on(network):
        vtep = scene.nodes.get(container.node, "")
        yield Endpoint(
            container.name, container.node, vtep, container.addresses[network], macs.get(container.name, "")
        )
