"""A directory of a CephFS store, which every node mounts by ceph-fuse or by the kernel's client."""

from __future__ import annotations

from harness.drivers._stored import Stored, store_device
from harness.model.plan import StorePlan, VolumePlan
from harness.model.topology import Volume
from harness.ports import VolumeDriver
from harness.promises import promises_of

#: As /proc/self/mountinfo has them: the type, and how the source begins.
MOUNTED = {"fuse": ("fuse.ceph-fuse", "ceph-fuse"), "kernel": ("ceph", "")}


class CephFS(Stored):
    """`driver: cephfs` on Swarm."""

    plugin = "cephfs"

    def plan(self, name: str, volume: Volume, store: StorePlan | None) -> VolumePlan:
        client = str(store.options.get("client", "fuse")) if store else "fuse"
        options = _options(store, client) if store else {}
        fstype, source = MOUNTED.get(client, ("", ""))
        return VolumePlan(
            name=name,
            driver="cephfs",
            shared=True,
            promises=promises_of("cephfs", client, options),
            device=store_device(name, volume),
            options={**options, "client": client},
            store=volume.store or "",
            fstype=fstype,
            source=source,
        )


def _options(store: StorePlan, client: str) -> dict[str, str]:
    """All that decides what is promised, as the promise matrix names it. A Ceph that exists keeps its objects on
    disks: memstore is for tests.
    """
    keeps = "bluestore" if store.address else str(store.options.get("objectstore", "memstore"))
    decided = {"objectstore": keeps, "size": str(store.options.get("pool_size", 2))}
    if client == "fuse":
        decided["fuse_disable_pagecache"] = str(not store.options.get("page_cache", True)).lower()
    return decided


VOLUMES: dict[tuple[str, str], VolumeDriver] = {("swarm", "cephfs"): CephFS()}
