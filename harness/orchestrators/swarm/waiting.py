"""Waiting for services, and saying in Swarm's own words why one does not come."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harness.model.errors import EnvironmentBroken
from harness.model.plan import LABEL, Plan
from harness.orchestrators.swarm import names
from harness.orchestrators.swarm.hosts import must, script, ticks
from harness.orchestrators.swarm.looking import containers
from harness.ports import Cluster, Host, Progress

RUNNING_TIMEOUT_S = 90.0
LOOK_TIMEOUT_S = 15.0
#: Swarm starts a task again and again; so many equal ends are not an accident any more.
MAX_REPEATS = 3
_DEAD = ("Rejected", "Failed", "Complete")
_LOOK = (
    'docker service ls --filter "label=$1" --format "{{json .}}" && '
    'docker stack ps --no-trunc --format "{{json .}}" "$2"'
)
_LAST_WORDS = (
    'docker inspect --format "{{.State.Status}}, code {{.State.ExitCode}} {{.State.Error}}" "$1"; '
    'docker logs --tail 5 "$1"'
)


@dataclass(frozen=True)
class Look:
    """Running and wanted tasks by service, and the tasks that ended or cannot be placed."""

    replicas: Mapping[str, tuple[int, int]]
    dead: tuple[tuple[str, str], ...]
    stuck: tuple[tuple[str, str], ...]

    def missing(self, wanted: Mapping[str, int]) -> list[str]:
        return [name for name, count in wanted.items() if self.replicas.get(name) != (count, count)]


def look(manager: Host, plan: Plan) -> Look:
    """One round trip to the manager; of no scheduled services nothing is asked."""
    if not names.scheduled(plan):
        return Look({}, (), ())
    text = must(manager, script(_LOOK, f"{LABEL}={plan.run}", names.stack(plan)), timeout_s=LOOK_TIMEOUT_S)
    rows = [json.loads(line) for line in text.splitlines() if line.strip()]
    services = [row for row in rows if "Replicas" in row]
    tasks = [row for row in rows if "DesiredState" in row]
    return Look(
        replicas={_short(plan, row["Name"]): _replicas(row["Replicas"]) for row in services},
        dead=tuple(_ends(plan, tasks)),
        stuck=tuple(_pending(plan, tasks)),
    )


def await_running(cluster: Cluster, plan: Plan, progress: Progress) -> None:
    """Returns when every container of the plan runs. Raises EnvironmentBroken with the tasks' own errors."""
    manager = cluster.hosts[plan.managers[0]]
    wanted = {target.service: target.containers for target in names.scheduled(plan)}
    seen: dict[str, str] = {}
    for _ in ticks(RUNNING_TIMEOUT_S):
        state = look(manager, plan)
        missing = state.missing(wanted)
        _report(state, wanted, seen, progress)
        _give_up_early(state, missing)
        if not missing and not absent(cluster, plan):
            return
    state = look(manager, plan)
    raise EnvironmentBroken(
        f"not running within {RUNNING_TIMEOUT_S:g} s: " + "; ".join(_reasons(cluster, plan, state, wanted))
    )


def absent(cluster: Cluster, plan: Plan) -> list[str]:
    """Plain containers of the plan that do not run."""
    running = {container.service for container in containers(cluster, plan)}
    return [t.service for t in plan.targets if t.kind == "plain" and t.service not in running]


def _short(plan: Plan, name: str) -> str:
    return name.removeprefix(f"{names.stack(plan)}_")


def _replicas(text: str) -> tuple[int, int]:
    """`2/3`, or `2/3 (max 1 per node)`."""
    running, wanted = text.split(maxsplit=1)[0].split("/")
    return int(running), int(wanted)


def _ends(plan: Plan, tasks: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    for task in tasks:
        state = task["CurrentState"].split()[0]
        if state in _DEAD:
            yield _service_of(plan, task), task["Error"] or f"its container ends by itself ({state})"


def _pending(plan: Plan, tasks: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    for task in tasks:
        if task["Error"] and task["CurrentState"].split()[0] == "Pending":
            yield _service_of(plan, task), task["Error"]


def _service_of(plan: Plan, task: Mapping[str, Any]) -> str:
    """`STACK_SERVICE.SLOT`, with a mark in front of it where the task is an earlier one of its slot."""
    name = str(task["Name"]).lstrip("\\_ ")
    return _short(plan, name).split(".")[0]


def _report(state: Look, wanted: Mapping[str, int], seen: dict[str, str], progress: Progress) -> None:
    for name, count in wanted.items():
        line = f"{name}: {state.replicas.get(name, (0, 0))[0]} of {count}"
        if seen.get(name) != line:
            seen[name] = line
            progress(line)


def _give_up_early(state: Look, missing: Iterable[str]) -> None:
    lacking = set(missing)
    repeated = Counter(end for end in state.dead if end[0] in lacking)
    lines = [f"{name}: {error}" for (name, error), count in repeated.items() if count >= MAX_REPEATS]
    if lines:
        raise EnvironmentBroken("; ".join(lines), hint=_hint(lines))


def _hint(lines: Iterable[str]) -> str | None:
    if any("No such image" in line for line in lines):
        return "every node needs the image; `docker image ls` on a node lists what is there"
    return None


def _reasons(cluster: Cluster, plan: Plan, state: Look, wanted: Mapping[str, int]) -> Iterator[str]:
    said = dict([*state.dead, *state.stuck])
    for name in state.missing(wanted):
        running = state.replicas.get(name, (0, 0))[0]
        yield f"{name} {running} of {wanted[name]} ({said.get(name, 'no error from Swarm')})"
    for name in absent(cluster, plan):
        yield f"{name} ({_last_words(cluster, plan, name)})"


def _last_words(cluster: Cluster, plan: Plan, name: str) -> str:
    """How a plain container ended, and the end of its output."""
    host = cluster.hosts[plan.target(name).node]
    result = host.run(script(_LAST_WORDS, names.plain(plan, name)), timeout_s=LOOK_TIMEOUT_S)
    return " ".join(result.output.split())
