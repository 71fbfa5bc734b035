"""concurrent-append: processes on every node append framed records to one file of a volume."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal

from pydantic import Field

from harness.model.history import History
from harness.model.plan import Plan
from harness.model.topology import Check
from harness.ports import Assignment, Container, Load, Repeat
from harness.workloads._experiment import Experiment, Params, Stages
from harness.workloads._places import Item, on_hosts, place, until_stopped
from harness.workloads._volumes import FILE_TIMEOUT_S, STOP_TIMEOUT_S, Volume, on_volume, reader, workers

SUFFIX = ".log"


class ConcurrentAppendParams(Params):
    volume: str = Field(..., description="The volume to write to")
    writers_per_node: int = Field(2, ge=1, le=64, description="Processes that append on each node")
    duration_s: float = Field(5.0, ge=0.2, le=3600, description="How long they append, at least")
    record_bytes: int = Field(128, ge=24, le=65536, description="Length of a record, frame included")
    rate_per_s: int = Field(2000, ge=0, le=1_000_000, description="Records a second and process; 0: unpaced")
    block: int = Field(4096, ge=16, le=1_000_000, description="Sequence numbers a writer reserves at a time")
    fsync: bool = Field(False, description="fsync(2) after every record")
    follow_s: float = Field(
        0.0, ge=0, le=60, description="Every node also reads what is new so often while they append; 0: at the end"
    )
    shim: Literal["none", "lost", "duplicated", "torn", "reordered"] = Field(
        "none", description="A bug on purpose, to see the check fail"
    )


def run(params: ConcurrentAppendParams, check: Check, plan: Plan, rng: random.Random) -> Stages:
    def work(volume: Volume, ends: list[Container]) -> Iterator[Load]:
        yield _appends(params, volume, ends)

    def reads(volume: Volume, ends: list[Container]) -> Iterator[Load | Repeat]:
        load, settle_s = _reads(params, volume, ends), plan.volume(params.volume).settle_s
        yield Repeat(load, _one_content, settle_s) if settle_s else load

    return on_volume(params.volume, check, plan, rng, work=work, reads=reads, anew=True)


def _appends(params: ConcurrentAppendParams, volume: Volume, ends: list[Container]) -> Load:
    load = on_hosts(
        "append",
        "writers",
        workers(volume, ends, params.writers_per_node, SUFFIX),
        timeout_s=STOP_TIMEOUT_S,
        key=volume.name,
        **params.model_dump(include={"record_bytes", "rate_per_s", "block", "fsync", "shim"}),
    )
    followers = _followers(params, volume, ends) if params.follow_s else ()
    both = replace(load, assignments=(*load.assignments, *followers))
    return until_stopped(both, faults=True, hold_s=params.duration_s)


def _followers(params: ConcurrentAppendParams, volume: Volume, ends: list[Container]) -> tuple[Assignment, ...]:
    """A reader on every node that follows the file; it never writes, so its number says nothing."""
    items: list[Item] = [
        (
            c.node,
            {**place(c).fields, "process": f"tail-{c.node}", "writer": number, "path": volume.file(c, SUFFIX)},
        )
        for number, c in enumerate(ends, start=1)
    ]
    settings: dict[str, Any] = {
        "record_bytes": params.record_bytes,
        "every_s": params.follow_s,
        "key": volume.name,
    }
    return on_hosts("work", "workers", items, timeout_s=STOP_TIMEOUT_S, program="tail", **settings).assignments


def _one_content(rows: History) -> bool:
    """Whether all readers found the same; the last read of each is the one that counts."""
    return len(set(rows.only(f="read", outcome="ok")["value"].tolist())) <= 1


def _reads(params: ConcurrentAppendParams, volume: Volume, ends: list[Container]) -> Load:
    readers: list[Item] = [(c.node, {**reader(c), "path": volume.file(c, SUFFIX)}) for c in ends]
    record_bytes = params.record_bytes
    # Reading takes about as long as writing did; a slow store gets four times that.
    deadline = FILE_TIMEOUT_S + 4 * params.duration_s
    return on_hosts("read_log", "readers", readers, timeout_s=deadline, key=volume.name, record_bytes=record_bytes)


WORKLOAD = Experiment("concurrent-append", ConcurrentAppendParams, run)
