"""Kubernetes by kind, warm: until nodes and DNS are ready, a whole run, and the probe of NetworkPolicy."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import yaml

from harness import session
from harness.model.errors import EnvironmentBroken
from harness.model.places import data_dir
from harness.model.run import Run
from harness.ports import Progress
from harness.session import Options
from tests.bench.rig import Timeline
from tests.bench.table import Goal, Row

READY_S, RUN_S, PROBE_S = 75.0, 120.0, 3.0
#: `kubectl exec` is measured on so many connections; all of them would take minutes.
EXECS = 12
EXEC_TIMEOUT_S = 60.0
_CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], 10250), 2)"


def warm(rounds: int, progress: Progress) -> list[Row]:
    """The images are there (a first run makes them, and is not counted)."""
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "overlay.yaml"
        plain.write_text(_without_faults(data_dir("topologies") / "overlay.yaml"))
        probe, exec_s = _policies(progress)
        ready, taken = [], []
        for _ in range(rounds):
            ready_s, whole_s = _run(plain, progress)
            ready.append(ready_s)
            taken.append(whole_s)
    each_s = exec_s * probe["connections"]
    return [
        Row(
            "kind, 3 nodes: nodes and DNS ready, with services that come beside",
            ready,
            "s",
            Goal(READY_S, most=True),
        ),
        Row("`harness run` of overlay.yaml on kind, without faults", taken, "s", Goal(RUN_S, most=True)),
        Row(
            f"{probe['connections']} connections of 9 pods probed",
            [probe["probe_s"]],
            "s",
            Goal(PROBE_S, most=True),
        ),
        Row(
            "the same by one `kubectl exec` each (extrapolated), in probes' times",
            [each_s / probe["probe_s"]],
            "x",
        ),
    ]


def _without_faults(path: Path) -> str:
    """Nor the check of recovery, which is about nothing then."""
    topology: dict[str, Any] = yaml.safe_load(path.read_text())
    topology["checks"] = [check for check in topology["checks"] if "recovery" not in check]
    for check in topology["checks"]:
        for params in check.values():
            params.pop("faults", None)
    nodes = topology["cluster"]["nodes"]
    return yaml.safe_dump({**topology, "cluster": {"orchestrator": "kubernetes", "nodes": nodes}})


def _run(path: Path, progress: Progress) -> tuple[float, float]:
    """(seconds until nodes and DNS were ready, seconds of the whole run).

    The DNS is waited for when services run, which come up beside it: the first figure holds both.
    """
    said = Timeline(progress)
    with tempfile.TemporaryDirectory() as runs:
        begin_s = time.perf_counter()
        series = session.Series([path], Options(runs_dir=Path(runs)))
        with closing(series.results(said)) as results:
            checks = [check for result in results for check in result.run.checks]
        whole_s = time.perf_counter() - begin_s
    for check in checks:
        if check.verdict != "pass":
            progress(f"{check.id}: {check.verdict}: {check.reason}")
    return said.at_s("the DNS is up"), whole_s


def _policies(progress: Progress) -> tuple[Mapping[str, Any], float]:
    """The figures of a run of policies.yaml, and the seconds of one `kubectl exec` on its cluster."""
    with tempfile.TemporaryDirectory() as runs:
        options = Options(runs_dir=Path(runs), keep=True)
        run = session.run(data_dir("topologies") / "policies.yaml", options, progress).run
        try:
            return run.checks[0].figures, _exec_s(run)
        finally:
            session.down(f"harness-{run.id}")


def _exec_s(run: Run) -> float:
    host = session.find(f"harness-{run.id}").hosts["n1"]
    kubectl = ["kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf", "--namespace", f"harness-{run.id}-z"]
    listed = host.run([*kubectl, "get", "pods", "-o", "name"], timeout_s=EXEC_TIMEOUT_S).stdout.split()
    pods = [pod for pod in listed if "/zc-" not in pod]  # whom the policies let out
    connect = ["python3", "-c", _CONNECT, host.address]
    begin_s = time.perf_counter()
    for number in range(EXECS):
        argv = [*kubectl, "exec", pods[number % len(pods)], "--", *connect]
        if not (result := host.run(argv, timeout_s=EXEC_TIMEOUT_S)).ok:
            raise EnvironmentBroken(f"kubectl exec: {result.output}")
    return (time.perf_counter() - begin_s) / EXECS
