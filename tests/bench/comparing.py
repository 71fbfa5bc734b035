"""How long it takes to hold three network drivers against each other."""

from __future__ import annotations

import tempfile
from pathlib import Path

from harness.compare import Comparing, cells_of, parse_vary
from harness.model.errors import EnvironmentBroken
from harness.model.places import data_dir
from harness.ports import Progress
from harness.session import Options
from tests.bench.rig import timed
from tests.bench.table import Goal, Row

#: As the README has it.
DRIVERS = (
    "networks.app={driver: overlay, attachable: true},"
    "{driver: macvlan, scope: swarm, attachable: true, ipam: {config: [{subnet: 10.72.0.0/24}]}},{driver: bridge}"
)
TIMES = (1, 3)
GOAL = Goal(120.0, most=True)


def networks(progress: Progress) -> list[Row]:
    """`harness compare networks` of three drivers, every check on three nodes, by the clock of whoever waits for
    it; the engine runs already. What a bridge cannot show across nodes is unknown, and no failure.
    """
    return [_compared(times, progress) for times in TIMES]


def _compared(repeat: int, progress: Progress) -> Row:
    with tempfile.TemporaryDirectory() as runs:
        options = Options(runs_dir=Path(runs))
        cells = cells_of(data_dir("topologies") / "networks.yaml", [parse_vary(DRIVERS)], options)
        comparing = Comparing("networks", cells, repeat=repeat, seed=1, runs_dir=Path(runs))
        took_s = timed(lambda: comparing.run(progress))
        for error in comparing.errors:
            raise EnvironmentBroken(f"what is measured broke: {error.message}") from error
    rounds = "1 round" if repeat == 1 else f"{repeat} rounds"
    return Row(f"`harness compare` of 3 network drivers on 3 nodes, all checks, {rounds}", [took_s], "s", GOAL)
