"""The verb `collect`: what a cluster looks like now, for a bug report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness import evidence, session
from harness.cli.choices import Context, Inventory, Kubeconfig, Namespace, look_at
from harness.cli.clusters import Name
from harness.cli.output import Progress, errors
from harness.model.errors import EXIT_PASS, EXIT_UNKNOWN

BUDGET_S = 60.0


def collect(
    cluster: Name,
    into: Annotated[Path | None, typer.Option("--into", help="A folder; default: below the working one.")] = None,
    pcap: Annotated[
        list[str] | None, typer.Option("--pcap", metavar="NETWORK", help="Its packets on every node; repeatable.")
    ] = None,
    pcap_s: Annotated[float, typer.Option("--pcap-s", min=0.5, max=300, help="For how long.")] = 5.0,
    inventory: Inventory = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Namespace = None,
) -> int:
    """Write logs, engine, networks, FDB, neighbours, routes, nft and more of every node; secrets are taken out.

    Captures are not redacted. Exit code 2 where a part could not be had.
    """
    look_at(inventory, kubeconfig, context, namespace)
    live = session.find(cluster)
    folder = into or Path(f"evidence-{live.run}")
    captures = {network: f"{live.name}-{network}" for network in pcap or ()}
    with Progress() as progress:
        failed = evidence.collect(live, folder, progress, budget_s=BUDGET_S, captures=captures, capture_s=pcap_s)
        session.provider(live.provider).logs(live.name, folder)
    for line in failed:
        errors.print(line, markup=False)
    print(folder)
    return EXIT_UNKNOWN if failed else EXIT_PASS
