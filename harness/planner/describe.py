"""A plan for people: every step as a command that can be copied, every document in full."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Iterable, Iterator

from harness.model.plan import Demand, Plan, Step


def describe(plan: Plan) -> str:
    """The whole plan as plain text. Commands are quoted for a shell on the node that they name."""
    return "\n".join(
        [*_head(plan), *_steps("Steps", [*plan.prepare, *plan.steps]), *_documents(plan), *_tail(plan)]
    )


def _head(plan: Plan) -> Iterator[str]:
    yield f"Topology {plan.topology.name}: {plan.orchestrator} on {plan.provider}, seed {plan.seed}"
    yield "Nodes: " + ", ".join(f"{node.name} ({node.role})" for node in plan.nodes)
    yield from _section("Needs", (_demand(demand) for demand in plan.demands))
    yield from _section(
        "Networks",
        (f"{net.name}: {net.driver}, packets of {net.packet_bytes} bytes" for net in plan.networks),
    )
    yield from _section(
        "Stores",
        (f"{s.name}: {s.kind} on {s.served_by}, mounted at {s.mount}" for s in plan.stores),
    )
    yield from _section(
        "Volumes",
        (f"{v.name}: {v.driver}, {'shared' if v.shared else 'not shared'}" for v in plan.volumes),
    )
    yield from _section("Containers", (f"{t.service}: {t.containers} ({t.kind})" for t in plan.targets))
    yield from _section("Checks", (f"{check.id}" for check in plan.checks))


def _tail(plan: Plan) -> Iterator[str]:
    yield from _steps("Undo", plan.undo)
    yield from _section("Notes", plan.notes)


def _demand(demand: Demand) -> str:
    part = f" (its part {demand.part})" if demand.part else ""
    where = f" on {', '.join(demand.nodes)}" if demand.nodes else ""
    return f"{demand.feature}{where}, for {demand.wanted_by}{part}"


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    entries = [f"  {line}" for line in lines]
    if entries:
        yield from ("", f"{title}:", *entries)


def _steps(title: str, steps: Iterable[Step]) -> Iterator[str]:
    for phase, group in itertools.groupby(steps, key=lambda step: step.phase):
        yield from ("", f"{title}, {phase}:")
        for step in group:
            yield f"  # {step.title}, on {step.node}"
            yield f"  {_command(step)}"


def _command(step: Step) -> str:
    source = f" < {shlex.quote(step.document)}" if step.document else ""
    return shlex.join(step.argv) + source


def _documents(plan: Plan) -> Iterator[str]:
    for document in plan.documents:
        yield from ("", f"Document {document.name}:")
        yield from (f"  {line}" for line in document.text.splitlines())
