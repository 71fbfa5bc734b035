"""Faults by hand, on a cluster that was kept: `harness fault inject`, `heal`, `list`."""

from __future__ import annotations

from typing import Annotated, Any

import typer
import yaml
from rich.console import Console
from rich.table import Table

from harness import session
from harness.cli.choices import Context, Inventory, Kubeconfig, Namespace, look_at
from harness.cli.clusters import Name
from harness.cli.output import errors
from harness.model.errors import EXIT_PASS, EXIT_UNKNOWN, UsageError

app = typer.Typer(name="fault", help="Inject and heal faults by hand.", no_args_is_help=True)


@app.command()
def inject(
    cluster: Name,
    fault: Annotated[str, typer.Argument(metavar="FAULT", help="`harness fault list` shows them.")],
    targets: Annotated[
        list[str], typer.Argument(metavar="TARGET...", help="Nodes, or one of: one minority majority all.")
    ],
    direction: Annotated[
        str, typer.Option("--direction", help="both, in or out, seen from the targets.")
    ] = "both",
    keys: Annotated[
        list[str] | None, typer.Option("--with", metavar="KEY=VALUE", help="A key of the fault's own; repeatable.")
    ] = None,
    inventory: Inventory = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Namespace = None,
) -> int:
    """Inject a fault, and say by what it was felt (2 where it was not); it holds until it is healed."""
    if direction not in ("both", "in", "out"):
        raise UsageError(f"--direction is both, in or out, not {direction!r}")
    look_at(inventory, kubeconfig, context, namespace)
    felt = session.inject(cluster, fault, targets, direction, dict(_pair(text) for text in keys or ()))
    print(f"{fault} {'felt' if felt.felt else 'NOT FELT'}: {felt.evidence}")
    errors.print(f"`harness fault heal {cluster}` undoes it, whatever becomes of this shell")
    return EXIT_PASS if felt.felt else EXIT_UNKNOWN


@app.command()
def heal(
    cluster: Name,
    faults: Annotated[list[str] | None, typer.Argument(metavar="[FAULT]...", help="Default: all.")] = None,
    inventory: Inventory = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Namespace = None,
) -> int:
    """Undo faults, whoever injected them."""
    look_at(inventory, kubeconfig, context, namespace)
    healed = session.heal(cluster, faults or ())
    print(f"{cluster}: {'; '.join(healed) if healed else 'no fault was in force'}")
    return EXIT_PASS


@app.command(name="list")
def list_() -> int:
    """Show every fault, its own keys, the rights and the features that it needs."""
    table = Table("FAULT", "KEYS", "RIGHTS", "NEEDS", box=None, header_style="bold")
    for name, fault, keys in session.known_faults():
        needs = ", ".join(demand.feature for demand in fault.demands())
        told = ", ".join(f"{key}={value}" for key, value in keys.items())
        table.add_row(name, told, ", ".join(sorted(fault.rights)), needs)
    Console(highlight=False).print(table)
    return EXIT_PASS


def _pair(text: str) -> tuple[str, Any]:
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise UsageError(f"--with takes KEY=VALUE, such as port=7946, not {text!r}")
    try:
        return key, yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise UsageError(f"--with {text}: {value!r} is no value") from error
