"""Options that several verbs share, once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from harness import session
from harness.session.options import parse_setting

ProviderName = Annotated[str | None, typer.Option("--provider", help="Instead of the topology's own.")]
Orchestrator = Annotated[str | None, typer.Option("--orchestrator", help="Instead of the topology's own.")]
Inventory = Annotated[
    Path | None,
    typer.Option("--inventory", metavar="FILE", help="Hosts that exist; default: HARNESS_INVENTORY."),
]
Kubeconfig = Annotated[
    Path | None,
    typer.Option("--kubeconfig", metavar="FILE", help="A Kubernetes that exists; default: HARNESS_KUBECONFIG."),
]
Context = Annotated[
    str | None, typer.Option("--context", help="Of the kubeconfig; default: HARNESS_CONTEXT, or its current one.")
]
Namespace = Annotated[
    str | None,
    typer.Option("--namespace", help="One that exists, where none can be made; default: HARNESS_NAMESPACE."),
]
Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Lay a value over the file; repeatable.")
]
Only = Annotated[list[str] | None, typer.Option("--only", metavar="CHECK", help="This check only; repeatable.")]
Seed = Annotated[int | None, typer.Option("--seed", min=0, help="Repeat the plan of an earlier run.")]
Keep = Annotated[bool, typer.Option("--keep", help="Leave the cluster up.")]
REUSE = (
    "Use a cluster that was kept, and leave it up. Else, with provider vagrant: wake machines from a snapshot of "
    "a formed Swarm, or take one."
)
Reuse = Annotated[bool, typer.Option("--reuse", help=REUSE)]
NoSkip = Annotated[bool, typer.Option("--no-skip", help="What is skipped for a missing feature fails.")]
StopOnFail = Annotated[
    bool,
    typer.Option(
        "--stop-on-fail", help="End a load of appends, registers or sessions at the first proof that it fails."
    ),
]
WorkloadImage = Annotated[str | None, typer.Option("--workload-image", help="Instead of the harness's own.")]
RunsDir = Annotated[Path, typer.Option("--runs-dir", help="Where run folders are written.")]
Pcap = Annotated[
    list[str] | None,
    typer.Option("--pcap", metavar="NETWORK", help="Capture its packets on every node, in a ring; repeatable."),
]
Json = Annotated[bool, typer.Option("--json", help="Machine-readable, on standard output.")]


def options(
    *,
    provider: str | None = None,
    orchestrator: str | None = None,
    set_: Sequence[str] | None = None,
    only: Sequence[str] | None = None,
    seed: int | None = None,
    keep: bool = False,
    reuse: bool = False,
    no_skip: bool = False,
    stop_on_fail: bool = False,
    workload_image: str | None = None,
    runs_dir: Path = Path("runs"),
    inventory: Path | None = None,
    pcap: Sequence[str] | None = None,
    kubeconfig: Path | None = None,
    context: str | None = None,
    namespace: str | None = None,
) -> session.Options:
    return session.Options(
        provider=provider,
        orchestrator=orchestrator,
        workload_image=workload_image,
        runs_dir=runs_dir,
        no_skip=no_skip,
        stop_on_fail=stop_on_fail,
        seed=seed,
        keep=keep,
        reuse=reuse,
        only=tuple(only or ()),
        settings=tuple(parse_setting(text) for text in set_ or ()),
        inventory=inventory,
        pcap=tuple(pcap or ()),
        kubeconfig=kubeconfig,
        context=context,
        namespace=namespace,
    )


def look_at(inventory: Path | None, kubeconfig: Path | None, context: str | None, namespace: str | None) -> None:
    """For verbs without a topology: clusters that exist are looked for where these say."""
    session.use_inventory(inventory)
    session.use_kubeconfig(kubeconfig, context, namespace)
