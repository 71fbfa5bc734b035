"""concurrent-append: processes on every node append framed records to one file of a volume."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic import Field

from harness.model.errors import UsageError
from harness.model.plan import Plan
from harness.model.topology import Check
from harness.ports import Container, Load, Look, Scene
from harness.workloads._experiment import Experiment, Params, Stages
from harness.workloads._places import Item, on_hosts, one_per_node, place, until_stopped

STOP_TIMEOUT_S = 60.0
FILE_TIMEOUT_S = 60.0


class ConcurrentAppendParams(Params):
    volume: str = Field(..., description="The volume to write to")
    writers_per_node: int = Field(2, ge=1, le=64, description="Processes that append on each node")
    duration_s: float = Field(5.0, ge=0.2, le=3600, description="How long they append, at least")
    record_bytes: int = Field(128, ge=24, le=65536, description="Length of a record, frame included")
    rate_per_s: int = Field(2000, ge=0, le=1_000_000, description="Records a second and process; 0: unpaced")
    block: int = Field(4096, ge=16, le=1_000_000, description="Sequence numbers a writer reserves at a time")
    fsync: bool = Field(False, description="fsync(2) after every record")
    shim: Literal["none", "lost", "duplicated", "torn", "reordered"] = Field(
        "none", description="A bug on purpose, to see the check fail"
    )


@dataclass(frozen=True)
class Volume:
    """A volume as one check sees it; `stem` begins the names of all files that the check makes."""

    name: str
    paths: dict[str, str]
    stem: str

    def path(self, container: Container) -> str:
        return self.paths[container.service].rstrip("/") or "/"

    def file(self, container: Container) -> str:
        return f"{self.path(container)}/{self.stem}.log"


def run(params: ConcurrentAppendParams, check: Check, plan: Plan, rng: random.Random) -> Stages:
    volume = _volume(params, check, plan)
    scene = yield Look("start")
    # a cluster that is used again may still have the files of another check of this name
    volume = replace(volume, stem=f"{volume.stem}-{scene.token}")
    ends = _ends(_users(scene, volume), volume, check, rng)
    yield _mounts("before", volume, ends)
    yield _put_nonces(volume, ends)
    yield _get_nonces(volume, ends)
    yield _appends(params, volume, ends)
    ends = _ends(_again(_users((yield Look("after")), volume), ends), volume, check, rng)
    yield _mounts("after", volume, ends)
    yield _reads(params, volume, ends)


def _volume(params: ConcurrentAppendParams, check: Check, plan: Plan) -> Volume:
    """Raises UsageError where no service can write to the volume."""
    writable = {
        target.service: target.mounts[params.volume]
        for target in plan.targets
        if params.volume in target.mounts and not _read_only(plan, target.service, params.volume)
    }
    if not writable:
        raise UsageError(
            f"check {check.id}: no service mounts the volume {params.volume!r} writable",
            hint=f"add `volumes: [{{type: volume, source: {params.volume}, target: /data}}]` to a service",
        )
    return Volume(params.volume, writable, f".harness-{plan.run}-{check.id}")


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
        (c.node, {**_reader(c), "path": volume.path(c), "key": f"{phase}|{volume.name}"}) for c in ends
    ]
    return on_hosts("mount", "looks", looks, timeout_s=FILE_TIMEOUT_S)


def _put_nonces(volume: Volume, ends: list[Container]) -> Load:
    puts: list[Item] = [(c.node, {**place(c).fields, "path": volume.path(c), **_nonce(volume, c)}) for c in ends]
    return on_hosts("nonce", "puts", puts, timeout_s=FILE_TIMEOUT_S, gets=[])


def _get_nonces(volume: Volume, ends: list[Container]) -> Load:
    """Each container looks for what the others left; alone on its volume, it looks for its own."""
    gets: list[Item] = [
        (
            reader.node,
            {**_reader(reader), "path": volume.path(reader), **_nonce(volume, writer), **_seen(volume, writer)},
        )
        for reader in ends
        for writer in ends
        if writer != reader or len(ends) == 1
    ]
    return on_hosts("nonce", "gets", gets, timeout_s=FILE_TIMEOUT_S, puts=[])


def _nonce(volume: Volume, writer: Container) -> dict[str, Any]:
    return {"name": f"{volume.stem}-{writer.name}", "text": f"{volume.stem} {writer.name} {writer.id}"}


def _seen(volume: Volume, writer: Container) -> dict[str, Any]:
    return {"key": f"{volume.name}|{writer.name}"}


def _appends(params: ConcurrentAppendParams, volume: Volume, ends: list[Container]) -> Load:
    load = on_hosts(
        "append",
        "writers",
        _writers(params.writers_per_node, volume, ends),
        timeout_s=STOP_TIMEOUT_S,
        key=volume.name,
        **params.model_dump(include={"record_bytes", "rate_per_s", "block", "fsync", "shim"}),
    )
    return until_stopped(load, faults=True, hold_s=params.duration_s)


def _writers(per_node: int, volume: Volume, ends: list[Container]) -> Iterator[Item]:
    writer = 0
    for container in ends:
        for _ in range(per_node):
            writer += 1
            fields = {"process": f"w{writer}", "writer": writer, "path": volume.file(container)}
            yield container.node, {**place(container).fields, **fields}


def _reads(params: ConcurrentAppendParams, volume: Volume, ends: list[Container]) -> Load:
    readers: list[Item] = [(c.node, {**_reader(c), "path": volume.file(c)}) for c in ends]
    record_bytes = params.record_bytes
    # Reading takes about as long as writing did; a slow store gets four times that.
    deadline = FILE_TIMEOUT_S + 4 * params.duration_s
    return on_hosts("read_log", "readers", readers, timeout_s=deadline, key=volume.name, record_bytes=record_bytes)


def _reader(container: Container) -> dict[str, Any]:
    return {"process": f"reader-{container.node}", **place(container).fields}


WORKLOAD = Experiment("concurrent-append", ConcurrentAppendParams, run)
