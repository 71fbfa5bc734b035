"""Verbs about clusters: up, list, exec, shell, heal, down."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

from harness import session
from harness.cli.choices import (
    Context,
    Inventory,
    Json,
    Kubeconfig,
    Namespace,
    Orchestrator,
    ProviderName,
    Set,
    WorkloadImage,
    look_at,
    options,
)
from harness.cli.output import Progress, errors
from harness.model.errors import EXIT_PASS, Incomplete, UsageError
from harness.ports import ClusterInfo, Survey
from harness.session.planning import new_run

EXEC_TIMEOUT_S = 3600.0

Name = Annotated[str, typer.Argument(metavar="CLUSTER", help="A name that `harness list` shows, or its run.")]
Node = Annotated[str, typer.Argument(metavar="NODE", help="n1, n2, ...")]


def add_to(app: typer.Typer) -> None:
    """Add the verbs, in the order in which help shows them."""
    app.command()(up)
    app.command(name="list")(list_)
    app.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})(exec_)
    app.command()(shell)
    app.command()(heal)
    app.command()(down)


def up(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A topology in YAML.")],
    provider: ProviderName = None,
    inventory: Inventory = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Namespace = None,
    orchestrator: Orchestrator = None,
    set_: Set = None,
    workload_image: WorkloadImage = None,
) -> int:
    """Bring a cluster up, deploy the topology, and leave it there."""
    chosen = options(
        provider=provider,
        inventory=inventory,
        kubeconfig=kubeconfig,
        context=context,
        namespace=namespace,
        orchestrator=orchestrator,
        set_=set_,
        workload_image=workload_image,
    )
    plan = session.make_plan(session.topology_of(file, chosen), chosen, run=new_run())
    with Progress() as progress:
        live = session.up(plan, progress)
    errors.print(
        f"`harness shell {live.cluster.name} n1` looks inside; `harness down {live.cluster.name}` removes it"
    )
    print(live.cluster.name)
    return EXIT_PASS


def list_(
    as_json: Json = False,
    inventory: Inventory = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Namespace = None,
) -> int:
    """Show the clusters that are there; where something cannot be asked, also what, by the exit code as well."""
    look_at(inventory, kubeconfig, context, namespace)
    seen = session.survey()
    if as_json:
        keys = ("name", "run", "provider", "nodes", "since")
        print(json.dumps({"clusters": [{key: asdict(info)[key] for key in keys} for info in seen.clusters]}))
    elif seen.clusters:
        _show(seen.clusters)
    else:
        print("no clusters" + (" that can be seen" if seen.unseen else ""))
    if seen.unseen:
        raise Incomplete(seen.unseen)
    return EXIT_PASS


def _show(infos: Sequence[ClusterInfo]) -> None:
    table = Table(
        Column("CLUSTER", no_wrap=True),  # a name is there to be copied
        "TOPOLOGY",
        "PROVIDER",
        "NODES",
        "SINCE",
        box=None,
        header_style="bold",
    )
    for info in infos:
        table.add_row(info.name, info.topology, info.provider, str(info.nodes), info.since)
    Console(highlight=False).print(table)


def exec_(
    cluster: Name,
    node: Node,
    command: Annotated[list[str], typer.Argument(metavar="COMMAND...", help="What to run, after --.")],
    inventory: Inventory = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Namespace = None,
) -> int:
    """Run a command on a node; its output and exit code are passed on."""
    look_at(inventory, kubeconfig, context, namespace)
    argv = command[1:] if command[0] == "--" else command
    if not argv:
        raise UsageError("there is no command after --", hint=f"harness exec {cluster} {node} -- docker ps")
    result = session.host_of(cluster, node).run(argv, timeout_s=EXEC_TIMEOUT_S)
    sys.stdout.write(result.stdout)
    sys.stderr.write(result.stderr)
    return result.code


exec_.__name__ = "exec"


def shell(
    cluster: Name,
    node: Node,
    container: Annotated[
        str | None, typer.Option("--container", help="A container on that node, by `docker ps`.")
    ] = None,
    inventory: Inventory = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Namespace = None,
) -> int:
    """Open a shell on a node, or in a container on it."""
    look_at(inventory, kubeconfig, context, namespace)
    argv = session.shell_argv(cluster, node, container)
    if not sys.stdin.isatty():
        raise UsageError(
            "a shell needs a terminal", hint=f"harness exec {cluster} {node} -- COMMAND runs one command"
        )
    os.execvp(argv[0], argv)  # noqa: S606 - no shell in between: the terminal is handed over


def heal(
    names: Annotated[list[str] | None, typer.Argument(metavar="[CLUSTER]...", help="Default: all.")] = None,
    inventory: Inventory = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Namespace = None,
) -> int:
    """Undo every fault that is still in force, whoever injected it."""
    look_at(inventory, kubeconfig, context, namespace)
    seen = Survey(()) if names else session.survey()
    for name in names or [info.name for info in seen.clusters]:
        healed = session.heal(name)
        print(f"{name}: {'; '.join(healed) if healed else 'no fault was in force'}")
    if seen.unseen:
        raise Incomplete(seen.unseen)
    return EXIT_PASS


def down(
    names: Annotated[list[str] | None, typer.Argument(metavar="[CLUSTER]...")] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every cluster, and the harness's own engine.")] = False,
    inventory: Inventory = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Namespace = None,
) -> int:
    """Remove clusters: containers, volumes, networks, faults on the wire."""
    look_at(inventory, kubeconfig, context, namespace)
    if bool(names) == all_:
        raise UsageError("name the clusters, or say --all", hint="harness list shows those that are there")
    try:
        with Progress() as progress:
            removed = (
                session.down_all(progress)
                if all_
                else [line for name in names or [] for line in session.down(name)]
            )
    except Incomplete as error:
        _show_removed(error.done)
        raise
    if not removed:
        print("nothing was there")
    _show_removed(removed)
    return EXIT_PASS


def _show_removed(lines: Sequence[str]) -> None:
    for line in lines:
        print(f"removed {line}")
