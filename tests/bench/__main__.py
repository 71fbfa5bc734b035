"""Measures, and prints one Markdown table.

    python -m tests.bench [PART...] [--rounds N] [--write README.md]

Parts: ready, run, compare, kubernetes, ssh, mesh, appends, checkers, record, and scale (1e7 operations: minutes,
4 GB); default: all but scale. With --write the table also replaces what stands between `<!-- bench -->` and
`<!-- /bench -->` there. Needs what `harness run` needs; clusters are taken down again.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from pathlib import Path

from harness.cli.interrupts import Interrupts
from harness.cli.output import show_error
from harness.model.errors import EXIT_INTERRUPTED, EXIT_PASS, HarnessError
from tests.bench import (
    appends,
    checkers,
    comparing,
    kubernetes,
    mesh,
    records,
    registers,
    remote,
    rig,
    scale,
    search,
    start,
)
from tests.bench.table import Row, around_markers, replace_between_markers, table

PARTS = ("ready", "run", "compare", "kubernetes", "ssh", "mesh", "appends", "checkers", "record")
#: Measured only where it is named.
LONG = ("scale",)
RUNS = 2


def main() -> int:
    arguments = _arguments()
    Interrupts().install()
    load = os.getloadavg()[0]
    try:
        if arguments.write:
            around_markers(arguments.write)  # known before it is measured, not after
        text = f"{table(_measured(arguments.parts or PARTS, arguments.rounds))}\n\n{_conditions(load)}"
        print(text)
        if arguments.write:
            replace_between_markers(arguments.write, text)
    except HarnessError as error:
        show_error(error)
        return error.exit_code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return EXIT_PASS


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measures speeds and ratios.")
    parser.add_argument(
        "parts", nargs="*", choices=(*PARTS, *LONG, []), metavar="PART", help=", ".join((*PARTS, *LONG))
    )
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured (default 3)")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table between the markers of FILE")
    return parser.parse_args()


def _measured(parts: tuple[str, ...], rounds: int) -> list[Row]:
    """Pure parts last: nothing else runs beside them then."""
    rows: list[Row] = []
    if set(parts) - {"checkers", "record", *LONG}:
        rows += _on_an_engine(parts, rounds)
    if "checkers" in parts:
        rows += checkers.judging(rounds, _say) + registers.judging(rounds, _say) + checkers.reading(rounds, _say)
        rows += checkers.online(rounds, _say) + search.judging(rounds, _say)
    if "record" in parts:
        rows += records.over_a_thousand(rounds, _say)
    if "scale" in parts:
        rows += scale.growing(_say)
    return rows


def _on_an_engine(parts: tuple[str, ...], rounds: int) -> list[Row]:
    with rig.engine(_say) as started:
        rows = list(started)
        if "ready" in parts:
            rows += start.nodes_ready(rounds, _say)
        if "run" in parts:
            rows += start.whole_run(min(rounds, RUNS), _say)
        if "compare" in parts:
            rows += comparing.networks(_say)
        if "kubernetes" in parts:
            rows += kubernetes.warm(min(rounds, RUNS), _say)
        if "ssh" in parts:
            rows += remote.over_ssh(rounds, _say)
        if "mesh" in parts or "appends" in parts:
            rows += _on_a_cluster(parts, rounds)
        return rows


def _on_a_cluster(parts: tuple[str, ...], rounds: int) -> list[Row]:
    rows: list[Row] = []
    with rig.cluster("mesh", _say) as live:
        if "mesh" in parts:
            rows += mesh.measure(live, rounds, _say)
        if "appends" in parts:
            rows += appends.in_a_mount(live, rounds, _say)
    return rows + (appends.on_this_machine(rounds, _say) if "appends" in parts else [])


def _conditions(load: float) -> str:
    machine = f"{os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}"
    return f"`make bench`, {time.strftime('%Y-%m-%d')}, on {machine}; load before it {load:.1f}."


def _say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
