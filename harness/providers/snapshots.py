"""Snapshots of formed Swarms in the cache: folders that are whole or not there, few, and not old.

A folder, `snapshots/NAME`, has for each node the head of its memory (`n1.head`), the memory (`n1.memory`, or
`n1.memory.zst`) and its disk (`n1.qcow2`, over the box's), for each network its XML, and `snapshot.json`, whose
list of sizes tells whole from half. NAME is a hash of all that makes the machines. Secrets of the Swarm are in
there: the folder is its owner's alone.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.model.plan import Plan
from harness.providers.vagrant_plan import CPUS, MEMORY_MB

#: Of what a folder holds, and how it is read.
FORMAT = 1
RECEIPT = "snapshot.json"
NETWORKS = ("wire", "control")
#: A snapshot takes some 300 MB a node (measured: 127 of memory, 163 of disk). The newest so many are kept.
KEEP = 3
#: Swarm renews a node's certificate, valid for 90 days, from half of that on: one that is woken is far from it.
OLD_AFTER_S = 14 * 86400.0


@dataclass(frozen=True)
class Disk:
    """A node's disk: its size as the machine sees it, and what it lies over, by path, size and time of change."""

    capacity_bytes: int
    below: str
    below_is: str


@dataclass(frozen=True)
class Snapshot:
    """`taken` is ISO 8601, UTC; `taken_s` the same in seconds since 1970. `wire` and `control` are subnets,
    `addresses` those of the nodes on the control link.
    """

    folder: Path
    taken: str
    taken_s: float
    wire: str
    control: str
    addresses: Mapping[str, str]
    disks: Mapping[str, Disk]
    files: Mapping[str, int]

    @property
    def name(self) -> str:
        return self.folder.name

    def memory(self, node: str) -> Path:
        packed = self.folder / f"{node}.memory.zst"
        return packed if packed.name in self.files else self.folder / f"{node}.memory"

    def disk(self, node: str) -> Path:
        return self.folder / f"{node}.qcow2"

    def flaw(self) -> str:
        """What is wrong with its files; empty where they are as they were written."""
        for name, size in self.files.items():
            try:
                found = (self.folder / name).stat().st_size
            except OSError:
                return f"{name} is gone"
            if found != size:
                return f"{name} has {found} bytes, not {size}"
        return ""


def facts(plan: Plan, **more: str) -> dict[str, Any]:
    """All that must be the same for machines to be woken in the place of those that `plan` wants; `more` is what
    the plan does not say: box, emulator, versions.
    """
    cluster = plan.topology.cluster
    driver = more.get("driver", "")
    return {
        "format": FORMAT,
        "nodes": [[node.name, node.role] for node in plan.nodes],
        "memory_mb": cluster.memory_mb or MEMORY_MB,
        "cpus": cluster.cpus or CPUS.get(driver, 0),
        "heartbeat_s": cluster.effective_heartbeat_s,
        "orchestrator": plan.orchestrator,
        **more,
    }


def name_of(what: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]


def write_receipt(snapshot: Snapshot) -> None:
    """The last file of a new folder."""
    told = {key: value for key, value in asdict(snapshot).items() if key != "folder"}
    (snapshot.folder / RECEIPT).write_text(json.dumps({"format": FORMAT, **told}, indent=1))


def sizes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in sorted(folder.iterdir()) if path.name != RECEIPT}


def read(folder: Path) -> Snapshot | None:
    """None where there is none, or none that can be read."""
    try:
        told = json.loads((folder / RECEIPT).read_text())
        if told.pop("format") != FORMAT:
            return None
        disks = {node: Disk(**disk) for node, disk in told.pop("disks").items()}
        return Snapshot(folder=folder, disks=disks, **told)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def publish(new: Path, place: Path) -> None:
    """`new`, beside it or below, takes the place of what was there."""
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if place.exists():
        discard(place)
    new.rename(place)


def discard(folder: Path) -> None:
    """Gone at once for whoever looks for it, then its files."""
    doomed = folder.with_name(f".{folder.name}")
    shutil.rmtree(doomed, ignore_errors=True)
    folder.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def is_old(snapshot: Snapshot) -> bool:
    """Too old, or of a time that has not come yet."""
    return not 0 <= time.time() - snapshot.taken_s <= OLD_AFTER_S


def prune(place: Path, used: Collection[str]) -> list[str]:
    """Remove the old, broken or beyond the newest `KEEP`, but for what machines stand on. Returns its names."""
    if not place.is_dir():
        return []
    found = {folder.name: read(folder) for folder in place.iterdir() if folder.name not in used}
    good = [each for each in found.values() if each is not None and not each.flaw() and not is_old(each)]
    kept = {each.name for each in sorted(good, key=lambda each: -each.taken_s)[:KEEP]}
    gone = sorted(set(found) - kept)
    for name in gone:
        discard(place / name) if not name.startswith(".") else shutil.rmtree(place / name, ignore_errors=True)
    return gone
