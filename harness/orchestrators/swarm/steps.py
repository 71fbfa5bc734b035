"""How one step is done, and undone, on a node of a Swarm."""

from __future__ import annotations

import re

from harness.model.errors import DeadlineExceeded, EnvironmentBroken, HarnessError
from harness.model.plan import LABEL, Plan, Step
from harness.orchestrators.hosts import each, failure, image_hint, must, script, ticks
from harness.orchestrators.phases import Execute
from harness.ports import Cluster, Host, Result

#: A worker learns of an attachable network when its first container asks for it; the answer may come too late.
_ATTACH_RACE = re.compile(r"could not attach to network|attaching to network failed", re.IGNORECASE)
ATTACH_TIMEOUT_S = 20.0
#: What `docker run` leaves of a container that never started.
_REMOVE_CREATED = (
    'ids=$(docker ps -aq --filter "name=^$1$" --filter status=created) || exit 1; [ -z "$ids" ] || docker rm $ids'
)
_LEFT = (
    'docker ps -aq --filter "label=$1" && docker network ls -q --filter "label=$1" && '
    'docker volume ls -q --filter "label=$1"'
)
GONE_TIMEOUT_S = 60.0
LOOK_TIMEOUT_S = 15.0
_GONE = re.compile(
    r"no such (container|network|volume)|network \S+ not found|nothing found in stack", re.IGNORECASE
)
#: Removal is asynchronous: tasks hold their networks and volumes for a while.
_BUSY = re.compile(r"in use|has active endpoints|removal of container \S+ is already in progress", re.IGNORECASE)

#: What the engine says while a removed network still holds what the next one wants.
_NOT_FREED = re.compile(r"failed to allocate gateway|Pool overlaps|already using parent interface", re.IGNORECASE)
FREED_TIMEOUT_S = 10.0


def make(host: Host, plan: Plan, step: Step) -> None:
    """Run a step once; again only where it is known to have made nothing. Raises CommandFailed, and
    EnvironmentBroken with the words of a step that only looks.

    It has made nothing where a `docker run` left no container, and where a network wants what a removed one
    still has.
    """
    result = _run(host, plan, step)
    if step.argv[:2] == ("docker", "run") and is_attach_race(result):
        result = _again(host, plan, step, result)
    if step.argv[:3] == ("docker", "network", "create"):
        result = _until_freed(host, plan, step, result)
    if not result.ok and step.only_looks:
        raise EnvironmentBroken(f"{step.title}: {host.name} {result.output.strip()}")
    if not result.ok:
        raise failure(host, step.argv, result, hint=image_hint(result.output) or _holder_hint(result.output))


def unmake(errors: list[HarnessError]) -> Execute:
    """Undo a step; an error is kept in `errors`, so that the steps after it are tried as well."""

    def attempt(host: Host, plan: Plan, step: Step) -> None:
        try:
            _remove(host, plan, step)
        except HarnessError as error:
            errors.append(error)

    return attempt


def _remove(host: Host, plan: Plan, step: Step) -> None:
    """Run an undo step until it is done, or what it removes is not there. Raises CommandFailed."""
    result = Result(0, "", "")
    for _ in ticks(step.timeout_s):
        result = _run(host, plan, step)
        if result.ok or _GONE.search(result.output):
            return
        if not _BUSY.search(result.output):
            break
    raise failure(host, step.argv, result)


def _run(host: Host, plan: Plan, step: Step) -> Result:
    document = plan.document(step.document).text.encode() if step.document else b""
    return host.run(step.argv, timeout_s=step.timeout_s, stdin=document)


def is_attach_race(result: Result) -> bool:
    """Whether a container did not start because its node does not know the network yet."""
    return not result.ok and bool(_ATTACH_RACE.search(result.output))


def _holder_hint(text: str) -> str | None:
    """What to do where somebody else's network holds what ours wants."""
    if _NOT_FREED.search(text):
        return "another network of the node holds it: `docker network ls` there, or another subnet or parent"
    return None


def _until_freed(host: Host, plan: Plan, step: Step, result: Result) -> Result:
    """A network that was removed gives its addresses and its parent back some seconds later."""
    for _ in ticks(FREED_TIMEOUT_S):
        if result.ok or not _NOT_FREED.search(result.output):
            break
        result = _run(host, plan, step)
    return result


def _again(host: Host, plan: Plan, step: Step, result: Result) -> Result:
    name = step.argv[step.argv.index("--name") + 1]
    for _ in ticks(ATTACH_TIMEOUT_S):
        removed = host.run(script(_REMOVE_CREATED, name), timeout_s=step.timeout_s)
        if not removed.ok:
            return result
        result = _run(host, plan, step)
        if not is_attach_race(result):
            return result
    return result


def await_gone(cluster: Cluster, plan: Plan) -> None:
    """Returns when no host has anything of the run any more: engines remove after they have answered.

    Raises DeadlineExceeded with the hosts that still have something.
    """
    left: dict[str, str] = {}
    for _ in ticks(GONE_TIMEOUT_S):
        left = each(cluster.hosts.values(), lambda host: _left(host, plan))
        if not any(left.values()):
            return
    lines = [f"{name}: {' '.join(ids.split())}" for name, ids in left.items() if ids]
    raise DeadlineExceeded(f"still there after {GONE_TIMEOUT_S:g} s: {'; '.join(lines)}")


def _left(host: Host, plan: Plan) -> str:
    return must(host, script(_LEFT, f"{LABEL}={plan.run}"), timeout_s=LOOK_TIMEOUT_S).strip()
