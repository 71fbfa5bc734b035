"""What every check of a volume does around its own work: who uses the volume, one container a node, mounts and
nonces before, mounts after, and reads from every host at the end.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from pydantic import Field

from harness.model.errors import UsageError
from harness.model.places import STORES_DIR
from harness.model.plan import Plan
from harness.model.topology import Check
from harness.ports import Command, Commands, Container, Load, Look, Repeat, Scene
from harness.workloads._experiment import Params, Stages
from harness.workloads._places import Item, on_hosts, one_per_node, place, until_stopped

#: For workers to end after a stop; one that hangs is given up by the agent after 8 s.
STOP_TIMEOUT_S = 60.0
FILE_TIMEOUT_S = 60.0
#: To mount a store once more; its script gives up before that.
FRESH_TIMEOUT_S = 45.0
#: The service of readers that have a mount of their own, the phase of their looks, and the row of that mount.
FRESH = "fresh"
#: Workers that end by themselves are told to stop this long before their call is given up.
_MARGIN_S = 15.0


class VolumeParams(Params):
    """What all checks whose workers run programs have in common."""

    volume: str = Field(..., description="The volume to work on")
    workers_per_node: int = Field(2, ge=1, le=64, description="Processes that work on each node")
    duration_s: float = Field(5.0, ge=0.2, le=3600, description="How long they work, at least")
    rate_per_s: int = Field(1000, ge=0, le=1_000_000, description="Operations a second and process; 0: unpaced")
    block: int = Field(1024, ge=16, le=1_000_000, description="Sequence numbers a worker reserves at a time")


@dataclass(frozen=True)
class Volume:
    """A volume as one check sees it; `stem` begins the names of all files that the check makes."""

    name: str
    paths: dict[str, str]
    stem: str

    def path(self, container: Container) -> str:
        """Where the container has it mounted."""
        return self.paths[container.service].rstrip("/") or "/"

    def file(self, container: Container, suffix: str) -> str:
        """A file of this check in the volume, as the container names it; `suffix` as in `.log`."""
        return f"{self.path(container)}/{self.stem}{suffix}"


#: From a volume and its ends to what is done there.
Loads = Callable[[Volume, list[Container]], Iterator[Load | Commands | Repeat]]


def on_volume(
    name: str, check: Check, plan: Plan, rng: random.Random, *, work: Loads, reads: Loads, anew: bool = False
) -> Stages:
    """The stages of a check of the volume `name`: `work` between looks at what is mounted, then `reads`; with
    `anew` once more, from a fresh mount of its store on every node, where it has one.

    Raises UsageError where no service can write to the volume, or none of its containers runs.
    """
    volume = _volume(name, check, plan)
    scene = yield Look("start")
    # a cluster that is used again may still have the files of another check of this name
    volume = replace(volume, stem=f"{volume.stem}-{scene.token}")
    ends = _ends(_users(scene, volume), volume, check, rng)
    yield _mounts("before", volume, ends)
    yield _put_nonces(volume, ends)
    yield _get_nonces(volume, ends)
    yield from work(volume, ends)
    ends = _ends(_again(_users((yield Look("after")), volume), ends), volume, check, rng)
    yield _mounts("after", volume, ends)
    yield from reads(volume, ends)
    if anew:
        yield from _reads_anew(volume, ends, plan, reads)


def _reads_anew(volume: Volume, ends: list[Container], plan: Plan, reads: Loads) -> Stages:
    """What a cache answered so far must stand in the store as well. Nodes read there themselves."""
    store = plan.volume(volume.name).store
    folder = plan.store(store).fresh if store else ""
    if not folder:
        return
    yield Commands(tuple(_mount_anew(store, volume, end) for end in ends))
    here = replace(volume, paths={FRESH: f"{folder}/{plan.within_store(volume.name)}"})
    readers = [Container(name=f"{FRESH}.{end.node}", service=FRESH, node=end.node, id="", pid=0) for end in ends]
    yield _mounts(FRESH, here, readers)
    yield from reads(here, readers)


def _mount_anew(store: str, volume: Volume, end: Container) -> Command:
    script = f"{STORES_DIR}/{store}/fresh"
    on, off = ("sh", "-eu", script, "on"), ("sh", "-eu", script, "off")
    return Command(end.node, volume.name, on, FRESH_TIMEOUT_S, undo=off, at=end.node, f=FRESH)


def workers(volume: Volume, ends: list[Container], per_node: int, suffix: str) -> Iterator[Item]:
    """Processes w1, w2, ... with the numbers 1, 2, ... on every end, each on the check's file of that suffix."""
    number = 0
    for container in ends:
        for _ in range(per_node):
            number += 1
            fields = {"process": f"w{number}", "writer": number, "path": volume.file(container, suffix)}
            yield container.node, {**place(container).fields, **fields}


def program(
    name: str,
    items: Iterator[Item],
    params: VolumeParams,
    rng: random.Random,
    **more: Any,
) -> Load:
    """Workers that run the agent's program `name` until they are stopped, while the check's faults strike."""
    load = on_hosts(
        "work",
        "workers",
        items,
        timeout_s=STOP_TIMEOUT_S,
        program=name,
        key=params.volume,
        seed=rng.getrandbits(32),
        **params.model_dump(exclude={"volume", "workers_per_node", "duration_s"}),
        **more,
    )
    return until_stopped(load, faults=True, hold_s=params.duration_s)


def final_program(
    name: str, volume: Volume, ends: list[Container], params: VolumeParams, suffix: str, **more: Any
) -> Load:
    """One worker on every end that runs the program with `final` true, and ends by itself: the last reads."""
    items: list[Item] = [
        (c.node, {**reader(c), "writer": number, "path": volume.file(c, suffix)})
        for number, c in enumerate(ends, start=1)
    ]
    fixed = params.model_dump(exclude={"volume", "workers_per_node", "duration_s", "rate_per_s", "shim"})
    deadline_s = FILE_TIMEOUT_S - _MARGIN_S
    return on_hosts(
        "work",
        "workers",
        items,
        timeout_s=FILE_TIMEOUT_S,
        program=name,
        key=params.volume,
        final=True,
        deadline_s=deadline_s,
        **fixed,
        **more,
    )


def reader(container: Container) -> dict[str, Any]:
    """Who looks and reads on a node."""
    who = FRESH if container.service == FRESH else "reader"
    return {"process": f"{who}-{container.node}", **place(container).fields}


def outside(container: Container, path: str) -> str:
    """A path of the container's as its node sees it: for programs that the container's image does not hold."""
    return f"/proc/{container.pid}/root{path}"


def _volume(name: str, check: Check, plan: Plan) -> Volume:
    writable = {
        target.service: target.mounts[name]
        for target in plan.targets
        if name in target.mounts and not _read_only(plan, target.service, name)
    }
    if not writable:
        raise UsageError(
            f"check {check.id}: no service mounts the volume {name!r} writable",
            hint=f"add `volumes: [{{type: volume, source: {name}, target: /data}}]` to a service",
        )
    return Volume(name, writable, f".harness-{plan.run}-{check.id}")


def _read_only(plan: Plan, service: str, volume: str) -> bool:
    mounts = plan.topology.services[service].volumes
    return any(mount.read_only for mount in mounts if mount.source == volume)


def _ends(users: list[Container], volume: Volume, check: Check, rng: random.Random) -> list[Container]:
    """One container a node of those that use the volume."""
    if not users:
        raise UsageError(f"check {check.id}: no running container mounts the volume {volume.name!r}")
    return one_per_node(users, rng)


def _users(scene: Scene, volume: Volume) -> list[Container]:
    return [container for container in scene.containers if container.service in volume.paths]


def _again(users: list[Container], ends: list[Container]) -> list[Container]:
    """Without those whose sibling on the node was chosen before: mounts are compared by container."""
    chosen = {(container.node, container.name) for container in ends}
    nodes = {user.node for user in users if (user.node, user.name) in chosen}
    return [user for user in users if user.node not in nodes or (user.node, user.name) in chosen]


def _mounts(phase: str, volume: Volume, ends: list[Container]) -> Load:
    looks: list[Item] = [
        (
            c.node,
            {**reader(c), "path": volume.path(c), "file": volume.file(c, ""), "key": f"{phase}|{volume.name}"},
        )
        for c in ends
    ]
    return on_hosts("mount", "looks", looks, timeout_s=FILE_TIMEOUT_S)


def _put_nonces(volume: Volume, ends: list[Container]) -> Load:
    puts: list[Item] = [(c.node, {**place(c).fields, "path": volume.path(c), **_nonce(volume, c)}) for c in ends]
    return on_hosts("nonce", "puts", puts, timeout_s=FILE_TIMEOUT_S, gets=[])


def _get_nonces(volume: Volume, ends: list[Container]) -> Load:
    """Each container looks for what the others left; alone on its volume, it looks for its own."""
    gets: list[Item] = [
        (
            looker.node,
            {**reader(looker), "path": volume.path(looker), **_nonce(volume, writer), **_seen(volume, writer)},
        )
        for looker in ends
        for writer in ends
        if writer != looker or len(ends) == 1
    ]
    return on_hosts("nonce", "gets", gets, timeout_s=FILE_TIMEOUT_S, puts=[])


def _nonce(volume: Volume, writer: Container) -> dict[str, Any]:
    return {"name": f"{volume.stem}-{writer.name}", "text": f"{volume.stem} {writer.name} {writer.id}"}


def _seen(volume: Volume, writer: Container) -> dict[str, Any]:
    return {"key": f"{volume.name}|{writer.name}"}
