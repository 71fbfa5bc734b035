"""The core: what `harness` and the pytest plugin both stand on. The only room that knows every implementation."""

from harness.session.bench import Bench
from harness.session.clusters import (
    Live,
    cluster_infos,
    down,
    down_all,
    find,
    heal,
    host_of,
    shell_argv,
    survey,
    up,
)
from harness.session.histories import Judged, judge_history
from harness.session.inventories import inspect_existing
from harness.session.inventories import use as use_inventory
from harness.session.judging import judge_run, view_of
from harness.session.kubeconfigs import use as use_kubeconfig
from harness.session.options import Options
from harness.session.planning import make_plan, new_run, topology_of
from harness.session.registries import CATALOG, provider
from harness.session.running import Paused, RunResult, run, run_on
from harness.session.series import Again, Job, Series
from harness.session.striking import inject, known_faults

__all__ = [
    "CATALOG",
    "Again",
    "Bench",
    "Job",
    "Judged",
    "Live",
    "Options",
    "Paused",
    "RunResult",
    "Series",
    "cluster_infos",
    "down",
    "down_all",
    "find",
    "heal",
    "host_of",
    "inject",
    "inspect_existing",
    "judge_history",
    "judge_run",
    "known_faults",
    "make_plan",
    "new_run",
    "provider",
    "run",
    "run_on",
    "shell_argv",
    "survey",
    "topology_of",
    "up",
    "use_inventory",
    "use_kubeconfig",
    "view_of",
]
