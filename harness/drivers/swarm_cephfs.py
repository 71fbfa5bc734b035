"""A directory of a CephFS store, which every node mounts by ceph-fuse or by the kernel's client."""

from __future__ import annotations

from collections.abc import Iterator

from harness.drivers._stored import declare_bound, store_device
from harness.model.plan import Demand, Plan, StorePlan, VolumePlan
from harness.model.topology import Volume
from harness.ports import Declared, VolumeDriver
from harness.promises import promises_of

#: As /proc/self/mountinfo has them: the type, and how the source begins.
MOUNTED = {"fuse": ("fuse.ceph-fuse", "ceph-fuse"), "kernel": ("ceph", "")}


class CephFS:
    """`driver: cephfs` on Swarm."""

    def demands(self, name: str, volume: Volume) -> list[Demand]:  # noqa: ARG002 - the store demands all of it
        return []

    def problems(self, name: str, volume: Volume) -> list[tuple[str, str]]:  # noqa: ARG002
        return list(_problems(volume))

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

    def declare(self, name: str, volume: Volume, plan: Plan) -> Declared:  # noqa: ARG002
        return declare_bound(name, plan)


def _options(store: StorePlan, client: str) -> dict[str, str]:
    """All that decides what is promised, as the promise matrix names it."""
    decided = {
        "objectstore": str(store.options.get("objectstore", "memstore")),
        "size": str(store.options.get("pool_size", 2)),
    }
    if client == "fuse":
        decided["fuse_disable_pagecache"] = str(not store.options.get("page_cache", True)).lower()
    return decided


def _problems(volume: Volume) -> Iterator[tuple[str, str]]:
    if volume.driver_opts:
        yield "driver_opts", "a volume of a store has no options of its own: `options` of the store are the place"
    if volume.access_mode:
        yield "access_mode", "Swarm has no access modes; read_only in a mount says who may write"
    if volume.storage_class:
        yield "storage_class", "Swarm has no storage classes"


VOLUMES: dict[tuple[str, str], VolumeDriver] = {("swarm", "cephfs"): CephFS()}
