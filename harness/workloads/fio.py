"""fio: every host writes a file with fio(1), and every other host lets fio verify it, block by block."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from harness.model.plan import Plan
from harness.model.topology import Check
from harness.ports import Command, Commands, Container
from harness.workloads._experiment import Experiment, Params, Stages
from harness.workloads._volumes import Volume, on_volume, outside

#: fio reads a file's size from its options: without this a verification would make the file that it should find.
_NO_NEW_FILES = "--allow_file_create=0"


class FioParams(Params):
    volume: str = Field(..., description="The volume to work on")
    size_kib: int = Field(16_384, ge=4, le=64 << 20, description="Size of each host's file")
    block_kib: int = Field(64, ge=4, le=16_384, description="Size of a block; each carries its own checksum")
    pattern: Literal["write", "randwrite"] = Field("write", description="In order, or in random order")
    direct: bool = Field(False, description="O_DIRECT, where the file system has it")
    timeout_s: float = Field(60.0, ge=1, le=86_400, description="For each file that is written or verified")


def run(params: FioParams, check: Check, plan: Plan, rng: random.Random) -> Stages:
    seed = rng.getrandbits(31)

    def work(volume: Volume, ends: list[Container]) -> Iterator[Commands]:
        yield Commands(tuple(_write(params, volume, end, seed) for end in ends))

    def reads(volume: Volume, ends: list[Container]) -> Iterator[Commands]:
        yield Commands(
            tuple(
                _verify(params, volume, reader, writer, seed)
                for reader in ends
                for writer in ends
                if reader != writer or len(ends) == 1
            )
        )

    yield from on_volume(params.volume, check, plan, rng, work=work, reads=reads)


def _write(params: FioParams, volume: Volume, end: Container, seed: int) -> Command:
    """Synced before it is closed: what others find afterwards was promised to them."""
    file = _file(volume, end, end)
    argv = (*_fio(params, file, params.pattern, seed), "--do_verify=0", "--end_fsync=1")
    remove = ("rm", "-f", file)
    return Command(end.node, volume.name, argv, params.timeout_s, undo=remove, at=end.name, f="fio-write")


def _verify(params: FioParams, volume: Volume, reader: Container, writer: Container, seed: int) -> Command:
    """What the kernel has cached of the file goes first (fio does so by its option `invalidate`)."""
    pattern = params.pattern.replace("write", "read")
    argv = (*_fio(params, _file(volume, reader, writer), pattern, seed), "--verify_fatal=1", _NO_NEW_FILES)
    key = f"{volume.name}|{writer.name}"
    return Command(reader.node, key, argv, params.timeout_s, at=reader.name, f="fio-verify")


def _fio(params: FioParams, file: str, pattern: str, seed: int) -> tuple[str, ...]:
    """The node's own fio, whatever the container's image holds."""
    return (
        "fio", "--name=harness", f"--filename={file}", f"--rw={pattern}", f"--size={params.size_kib}k",
        f"--bs={params.block_kib}k", "--verify=crc32c", f"--direct={int(params.direct)}", f"--randseed={seed}",
        "--ioengine=psync", "--thread", "--output-format=json",
    )  # fmt: skip


def _file(volume: Volume, end: Container, writer: Container) -> str:
    return outside(end, volume.file(end, f"-{writer.node}.fio"))


WORKLOAD = Experiment("fio", FioParams, run, needs=("package:fio",))
