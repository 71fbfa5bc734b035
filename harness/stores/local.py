"""`local`: on each node a file system of its own, XFS or EXT4, on a loop file. It shares nothing between nodes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field, field_validator

from harness.model.plan import Demand, Plan, Step, StorePlan
from harness.model.topology import Topology
from harness.ports import Store
from harness.stores._scripted import Options, Scripted, Scripts, directories, each_node, image

FORMAT_TIMEOUT_S = 60.0
#: mkfs.xfs(8): smaller ones are refused since xfsprogs 5.19. ext4 needs room for its journal.
SMALLEST_BYTES = {"xfs": 300 << 20, "ext4": 8 << 20}
MKFS = {"xfs": "mkfs.xfs -q -f", "ext4": "mkfs.ext4 -q -F"}
#: A file system with less room is full: XFS gives back what it had set aside for files that could not grow.
FULL_BYTES = 4 << 20
_UNITS = {"K": 10, "M": 20, "G": 30, "T": 40}


def size_bytes(text: str) -> int:
    """Of `300M`, `2G`: powers of 1024. Raises ValueError."""
    match = re.fullmatch(r"(\d{1,6})([KMGT])", text)
    if match is None:
        raise ValueError("a size is a number and one of K, M, G, T: 300M")
    return int(match[1]) << _UNITS[match[2]]


class LocalOptions(Options):
    fstype: Literal["xfs", "ext4"] = Field("xfs", description="The file system")
    size: str = Field("300M", description="How large it is; the file behind it is sparse")

    @field_validator("size", mode="before")
    @classmethod
    def _is_a_size(cls, value: Any) -> str:
        size_bytes(str(value))
        return str(value)


class Local(Scripted):
    """Options: `fstype`, `size`. Every node has it, whether it is named or not."""

    kind = "local"
    options = LocalOptions

    def demands(self, topology: Topology, store: str) -> list[Demand]:
        fstype = LocalOptions.model_validate(topology.stores[store].options).fstype
        wanted = ("loop", f"fs-{fstype}", {"xfs": "package:xfsprogs", "ext4": "package:e2fsprogs"}[fstype])
        return [Demand(feature, f"store {store}") for feature in wanted]

    def misfits(self, topology: Topology, store: str, options: LocalOptions) -> Iterator[tuple[str, str]]:
        yield from too_small("options.size", options.size, options.fstype)
        if topology.stores[store].nodes:
            yield "nodes", "a local store is on every node: leave `nodes` out"

    def scripts(self, plan: Plan, store: StorePlan) -> Scripts:
        file = image(plan, store.name)
        return Scripts(
            servers=":",
            mount=f"set -eu\n{mounted(file, store.mount, store.options['fstype'])}\n{directories(store)}",
            down=f"rm -f {file}",
            fresh=_uncached(store),
            disk=taking(store.mount),
        )

    def make(self, plan: Plan, store: StorePlan) -> Iterator[Step]:
        argv = ["sh", "-c", formatting(image(plan, store.name), store.options["fstype"], store.options["size"])]
        phase = f"store {store.name}, file systems"
        yield from each_node(plan, phase, f"format {store.options['fstype']}", argv, timeout_s=FORMAT_TIMEOUT_S)


def _uncached(store: StorePlan) -> str:
    """A file system has one cache a kernel, whatever mounts it, and it is in use: what it has cached of the
    checks' files is written and dropped (dd(1), `nocache`).
    """
    drop = "-exec dd if='{}' iflag=nocache count=0 status=none ';'"
    return f"""
sync -f {store.mount}
find {store.mount} -maxdepth 2 -name '.harness-*' -type f {drop}
mount --bind {store.mount} "$point"
"""


def too_small(key: str, size: str, fstype: str) -> Iterator[tuple[str, str]]:
    smallest = SMALLEST_BYTES[fstype]
    if size_bytes(size) < smallest:
        yield key, f"{fstype} needs at least {smallest >> 20}M"


def formatting(file: str, fstype: str, size: str) -> str:
    """A new file system on a new sparse file."""
    return f"truncate -s {size} {file} && {MKFS[fstype]} {file}"


def mounted(file: str, point: str, fstype: str) -> str:
    """Mount a loop file where it is not mounted. mount(8): `-o loop` frees the device with the mount."""
    return f"mkdir -p {point}\nmountpoint -q {point} || mount -t {fstype} -o loop {file} {point}"


def taking(folder: str) -> str:
    """A script that takes all room of the file system that is mounted at `folder`, by one file that nobody writes:
    the pieces get smaller until not even a block is left.
    """
    return f"""
file={folder}/.harness-full
mountpoint -q {folder} || exit 0
case "$1" in
fill)
  at=0 piece=$((1 << 34))
  while [ "$piece" -ge 4096 ]; do
    if fallocate -o "$at" -l "$piece" "$file" 2>/dev/null; then at=$((at + piece)); else piece=$((piece / 2)); fi
  done
  ;;
free) [ ! -e "$file" ] || {{ rm "$file"; echo given back; }} ;;
state)
  left=$(df --output=avail -B1 {folder} | tail -n 1)
  if [ -e "$file" ] && [ "$left" -lt {FULL_BYTES} ]; then echo full; else echo free; fi
  ;;
esac
"""


STORE: Store = Local()
