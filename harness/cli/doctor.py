"""The verb `doctor`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from harness import doctor, session
from harness.cli.choices import (
    Context,
    Inventory,
    Json,
    Kubeconfig,
    Namespace,
    Orchestrator,
    ProviderName,
    Set,
    look_at,
    options,
)
from harness.cli.output import Progress
from harness.model.errors import EXIT_BROKEN, EXIT_PASS
from harness.model.plan import Demand, Plan
from harness.transport.local import LocalHost

#: What every run on this machine needs, whatever its topology.
BASIC = ("engine", "cgroups", "capabilities", "disk", "memory", "veth", "bridge", "overlayfs")


def doctor_(
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="A topology to hold against it.")] = None,
    cluster: Annotated[str | None, typer.Option("--cluster", help="Look at its nodes instead.")] = None,
    provider: ProviderName = None,
    inventory: Inventory = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Namespace = None,
    orchestrator: Orchestrator = None,
    set_: Set = None,
    as_json: Json = False,
) -> int:
    """Say which drivers, stores, faults and providers will work on this machine, and why not; nothing is made.

    Exit code 70 where what every run needs is missing, or what the topology cannot do without.
    """
    look_at(inventory, kubeconfig, context, namespace if kubeconfig or context else None)
    if cluster is not None:
        return _nodes(cluster, as_json)
    plan = None
    if inventory is not None:
        provider = provider or "existing"
    if kubeconfig or context:
        provider, orchestrator = provider or "existing", orchestrator or "kubernetes"
    if file is not None:
        chosen = options(
            provider=provider,
            inventory=inventory,
            kubeconfig=kubeconfig,
            context=context,
            namespace=namespace,
            orchestrator=orchestrator,
            set_=set_,
        )
        plan = session.make_plan(session.topology_of(file, chosen), chosen, run="RUN")
    if provider == "existing" or (plan and plan.provider == "existing"):
        return _existing(plan, orchestrator, as_json)
    return _machine(plan, as_json)


def _machine(plan: Plan | None, as_json: bool) -> int:
    """What works here, and what of the plan does."""
    found = doctor.examine(LocalHost("this machine"), plan)
    unmet = doctor.unmet_demands(found, plan.demands) if plan else []
    if as_json:
        print(json.dumps(found.to_json() | ({"unmet": [_told(each) for each in unmet]} if plan else {}), indent=1))
    else:
        _show(found, plan, unmet)
    lacking = [finding for finding in found.findings if finding.name in BASIC and finding.ok is False]
    return EXIT_BROKEN if lacking or any(_is_vital(demand) for demand, _ in unmet) else EXIT_PASS


def _existing(plan: Plan | None, orchestrator: str | None, as_json: bool) -> int:
    """Hosts of the inventory: each by itself, and the paths between them; or our rights in a Kubernetes.

    Nothing is made there.
    """
    with Progress() as progress:
        complaints = session.inspect_existing(plan, progress)
    if as_json:
        print(json.dumps({"complaints": [asdict(complaint) for complaint in complaints]}, indent=1))
    grave = [complaint for complaint in complaints if complaint.grave]
    if not as_json:
        for complaint in grave:
            print(f"{complaint}. To mend: {complaint.hint}")
        is_cluster = "kubernetes" in (orchestrator, plan.orchestrator if plan else None)
        what, they = ("the cluster", "it is") if is_cluster else ("the hosts", "they are")
        print(f"{what} cannot be used as {they}" if grave else f"{what} can be used")
    return EXIT_BROKEN if grave else EXIT_PASS


def _nodes(cluster: str, as_json: bool) -> int:
    examined = doctor.examine_hosts(session.find(cluster).hosts)
    if as_json:
        print(json.dumps({name: found.to_json() for name, found in examined.items()}, indent=1))
        return EXIT_PASS
    console = Console(highlight=False)
    for name, found in examined.items():
        console.rule(name)
        for table in doctor.tables(found):
            console.print(table)
    return EXIT_PASS


def _show(found: doctor.Examination, plan: Plan | None, unmet: list[tuple[Demand, doctor.Finding]]) -> None:
    console = Console(highlight=False)
    for table in doctor.tables(found):
        console.print(table)
        console.print()
    if found.leftovers:
        console.print("In use, or left by earlier runs (`harness down --all` removes them):")
        for line in found.leftovers:
            console.print(f"  {line}")
    if plan is not None:
        console.print(f"[bold]{plan.topology.name}[/] {'will work here as a whole' if not unmet else ''}")
    for demand, finding in unmet:
        what = "cannot work" if _is_vital(demand) else f"its part {demand.part or 'as a whole'} will be skipped"
        console.print(f"  {demand.wanted_by}: {what}: {finding.name} ({finding.why}). To mend: {finding.mend}")


def _told(unmet: tuple[Demand, doctor.Finding]) -> dict[str, str]:
    demand, finding = unmet
    return {"wanted_by": demand.wanted_by, "part": demand.part, "feature": demand.feature, "why": finding.why}


def _is_vital(demand: Demand) -> bool:
    """Whether nothing of the topology can be deployed without it; parts and checks are skipped instead."""
    return not demand.part and not demand.wanted_by.startswith("check ")
