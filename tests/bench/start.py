"""From nothing to Ready nodes, and a whole run."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from harness import session
from harness.model.places import data_dir
from harness.ports import Progress
from harness.session import Options
from tests.bench.rig import Timeline, cluster
from tests.bench.table import Goal, Row

READY_S, RUN_S, ALL_S = 6.0, 30.0, 240.0


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
    """`harness run topologies/overlay.yaml`, and all topologies in one: clusters, checks, reports, down again.

    By the clock of whoever waits for it; the engine runs already.
    """
    folder = data_dir("topologies")
    networks = [path for path in sorted(folder.glob("*.yaml")) if _of_networks(path)]
    return [
        _runs("`harness run topologies/overlay.yaml`", [folder / "overlay.yaml"], rounds, progress, RUN_S),
        _runs(f"`harness run` of all {len(networks)} topologies of networks", networks, 1, progress, ALL_S),
    ]


def _of_networks(path: Path) -> bool:
    """Runs on container nodes as a Swarm, and is about networks, or binds of a node's files."""
    topology = session.topology_of(path, Options())
    cluster = (topology.cluster.provider, topology.cluster.orchestrator)
    return cluster == ("docker", "swarm") and not topology.stores and not path.name.startswith("volume")


def _runs(title: str, files: Sequence[Path], rounds: int, progress: Progress, most_s: float) -> Row:
    taken, outcomes = [], set()
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as runs:
            begin_s = time.perf_counter()
            series = session.Series(files, Options(runs_dir=Path(runs)))
            with closing(series.results(progress)) as results:
                checks = [check for result in results for check in result.run.checks]
            taken.append(time.perf_counter() - begin_s)
        for check in checks:
            outcomes.add(check.verdict)
            if check.verdict != "pass":
                progress(f"{check.id}: {check.verdict}: {check.reason}")
    return Row(f"{title} ({', '.join(sorted(outcomes))})", taken, "s", Goal(most_s, most=True))
