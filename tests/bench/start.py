"""From nothing to Ready nodes, and a whole run."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from harness import session
from harness.model.places import data_dir
from harness.ports import Progress
from harness.session import Options
from tests.bench.rig import Timeline, cluster
from tests.bench.table import Goal, Row

READY_S, RUN_S = 6.0, 30.0


def nodes_ready(rounds: int, progress: Progress) -> list[Row]:
    """The engine runs and has the images already: `harness up` of three nodes, and taking them down."""
    engines, ready, down = [], [], []
    for _ in range(rounds):
        said = Timeline(progress)
        with cluster("nodes", said):
            up_s = time.perf_counter()
        down.append(time.perf_counter() - up_s)
        engines.append(said.at_s("the engines of"))
        ready.append(said.at_s("nodes are Ready"))
    return [
        Row("3 nodes: every node's engine answers", engines, "s"),
        Row("3 nodes Ready as one Swarm", ready, "s", Goal(READY_S, most=True)),
        Row("3 nodes taken down", down, "s"),
    ]


def whole_run(rounds: int, progress: Progress) -> list[Row]:
    """`harness run topologies/overlay.yaml`: the cluster, all checks, the report, down again."""
    taken, outcomes = [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            result = session.run(data_dir("topologies") / "overlay.yaml", Options(runs_dir=Path(folder)), progress)
        taken.append(result.run.duration_s)
        outcomes.append(result.run.verdict)
        for check in result.run.checks:
            if check.verdict != "pass":
                progress(f"{check.id}: {check.verdict}: {check.reason}")
    said = ", ".join(sorted(set(outcomes)))
    return [Row(f"`harness run topologies/overlay.yaml` ({said})", taken, "s", Goal(RUN_S, most=True))]
