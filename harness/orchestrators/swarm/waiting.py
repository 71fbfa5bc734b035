"""Waiting for services, and saying in Swarm's own words why one does not come."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harness.model.errors import EnvironmentBroken
from harness.model.plan import LABEL, Plan
from harness.orchestrators.hosts import image_hint, must, script, ticks
from harness.orchestrators.swarm import names
from harness.orchestrators.swarm.looking import containers
from harness.ports import Cluster, Host, Progress
from harness.transport.deadlines import answer_of

RUNNING_TIMEOUT_S = 90.0
LOOK_TIMEOUT_S = 15.0
#: Swarm starts a task again and again; so many equal ends are not an accident any more.
MAX_REPEATS = 3
#: A task that has had no place for so long gets none: its node is not late, its wish cannot be met.
UNPLACED_TIMEOUT_S = 15.0
_DEAD = ("Rejected", "Failed", "Complete")
_NODES = 'docker node ls --format "{{json .}}"'
_SERVICES = (
    'docker service ls --filter "label=$1" --format "{{json .}}" && '
    'docker stack ps --no-trunc --format "{{json .}}" "$2"'
)
_LAST_WORDS = (
    'state=$(docker inspect --format "{{.State.Status}} {{.State.ExitCode}} {{.State.Error}}" "$1") || exit 1; '
    'case "$state" in exited*|dead*) echo "$state"; docker logs --tail 5 "$1" ;; *) exit 1 ;; esac'
)


@dataclass(frozen=True)
class Look:
    """Running and wanted tasks by service, the tasks that ended or cannot be placed, nodes that are not Ready."""

    replicas: Mapping[str, tuple[int, int]]
    dead: tuple[tuple[str, str], ...] = ()
    stuck: tuple[tuple[str, str], ...] = ()
    unready: tuple[str, ...] = ()

    def missing(self, wanted: Mapping[str, int]) -> list[str]:
        return [name for name, count in wanted.items() if self.replicas.get(name) != (count, count)]


def look(manager: Host, plan: Plan, *, nodes: bool = False) -> Look:
    """One round trip to the manager; of no scheduled services nothing is asked, of nodes only on request."""
    asked = [text for text, wanted in ((_NODES, nodes), (_SERVICES, names.scheduled(plan))) if wanted]
    if not asked:
        return Look({})
    argv = script(" && ".join(asked), f"{LABEL}={plan.run}", names.stack(plan))
    text = must(manager, argv, timeout_s=LOOK_TIMEOUT_S)
    rows = [json.loads(line) for line in text.splitlines() if line.strip()]
    services = [row for row in rows if "Replicas" in row]
    tasks = [row for row in rows if "DesiredState" in row]
    return Look(
        replicas={_short(plan, row["Name"]): _replicas(row["Replicas"]) for row in services},
        dead=tuple(_ends(plan, tasks)),
        stuck=tuple(_pending(plan, tasks)),
        unready=tuple(_unready(rows)),
    )


def await_running(cluster: Cluster, plan: Plan, progress: Progress) -> None:
    """Returns when every container of the plan runs. Raises EnvironmentBroken with the tasks' own errors.

    Swarm's count comes late and the engines' count too early for a service that ends by itself: both must fit.
    The engines are asked when Swarm's count fits, or when it says that something went wrong.
    """
    manager = cluster.hosts[plan.managers[0]]
    seen: dict[str, str] = {}
    unplaced_since: dict[tuple[str, str], float] = {}
    for _ in ticks(RUNNING_TIMEOUT_S * cluster.slowness):
        state = look(manager, plan)
        _report(plan, state, seen, progress)
        late = state.missing(_scheduled_counts(plan))
        if late and not (state.dead or state.stuck):
            continue
        lacking = short_of(cluster, plan)
        _give_up_early(cluster, plan, state, lacking)
        if not lacking and not late:
            return
        if _is_unplaceable(state, unplaced_since):
            break
    raise EnvironmentBroken(f"does not run: {_reasons(plan, state, short_of(cluster, plan))}")


def short_of(cluster: Cluster, plan: Plan) -> dict[str, int]:
    """Services of which not as many containers run as the plan says, with how many do."""
    running = Counter(container.service for container in containers(cluster, plan))
    return {t.service: running[t.service] for t in plan.targets if running[t.service] != t.containers}


def _scheduled_counts(plan: Plan) -> dict[str, int]:
    return {target.service: target.containers for target in names.scheduled(plan)}


def _unready(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for row in rows:
        if "Hostname" in row and row["Status"] != "Ready":
            yield f"node {row['Hostname']} is {row['Status']}"


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


def _report(plan: Plan, state: Look, seen: dict[str, str], progress: Progress) -> None:
    for name, count in _scheduled_counts(plan).items():
        line = f"{name}: {state.replicas.get(name, (0, 0))[0]} of {count}"
        if seen.get(name) != line:
            seen[name] = line
            progress(line)


def _give_up_early(cluster: Cluster, plan: Plan, state: Look, lacking: Mapping[str, int]) -> None:
    """What ended MAX_REPEATS times alike, and a plain container that ended, will not come any more."""
    repeated = Counter(end for end in state.dead if end[0] in lacking)
    lines = [f"{name}: {error}" for (name, error), count in repeated.items() if count >= MAX_REPEATS]
    ended = [name for name in lacking if plan.target(name).kind == "plain"]
    lines += [f"{name}: {words}" for name in ended if (words := _last_words(cluster, plan, name))]
    if lines:
        raise EnvironmentBroken("does not run: " + "; ".join(lines), hint=image_hint("; ".join(lines)))


def _is_unplaceable(state: Look, since: dict[tuple[str, str], float]) -> bool:
    """Whether Swarm has said the same about an unplaced task for UNPLACED_TIMEOUT_S; keeps `since` up to date."""
    now = time.monotonic()
    kept = {end: since.get(end, now) for end in state.stuck}
    since.clear()
    since.update(kept)
    return any(now - first > UNPLACED_TIMEOUT_S for first in kept.values())


def _reasons(plan: Plan, state: Look, lacking: Mapping[str, int]) -> str:
    said = dict([*state.dead, *state.stuck])
    return "; ".join(
        f"{name} {running} of {plan.target(name).containers} ({said.get(name, 'no error from Swarm')})"
        for name, running in lacking.items()
    )


def _last_words(cluster: Cluster, plan: Plan, name: str) -> str:
    """How a plain container ended, and the end of its output; empty where it may still run."""
    host = cluster.hosts[plan.target(name).node]
    result = answer_of(host, script(_LAST_WORDS, names.plain(plan, name)), timeout_s=LOOK_TIMEOUT_S)
    return " ".join(result.output.split()) if result.ok else ""
