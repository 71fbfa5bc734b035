"""A directory of a GlusterFS store, which every node mounts by its FUSE client."""

from __future__ import annotations

from harness.drivers._stored import Stored, store_device
from harness.model.plan import StorePlan, VolumePlan
from harness.model.topology import Volume
from harness.ports import VolumeDriver
from harness.promises import promises_of

#: Attributes and names are cached for 1 s by the kernel, then 1 s by the client (mount.glusterfs(8),
#: performance.md-cache-timeout). Longer after a pause of a node: its client reads less than the others do for 8 s,
#: and more than 10 s on a busy machine (measured, GlusterFS 11.1, replica 3).
SETTLE_S = 30.0


class GlusterFS(Stored):
    """`driver: glusterfs` on Swarm."""

    plugin = "glusterfs"

    def plan(self, name: str, volume: Volume, store: StorePlan | None) -> VolumePlan:
        options = _options(store) if store else {}
        return VolumePlan(
            name=name,
            driver="glusterfs",
            shared=True,
            promises=promises_of("glusterfs", "fuse", options),
            device=store_device(name, volume),
            options=options,
            store=volume.store or "",
            fstype="fuse.glusterfs",
            source=store.source if store else "",
            settle_s=SETTLE_S,
        )


def _options(store: StorePlan) -> dict[str, str]:
    """All that decides what is promised, as the promise matrix names it. How many bricks a volume that exists has
    nobody says.
    """
    replica = int(store.options["replica"])
    shape = {"replica": str(replica)}
    if store.nodes:
        shape["distribute"] = str(len(store.nodes) // replica)
    mount = {"o": store.options["mount_options"]} if store.options["mount_options"] else {}
    return {**shape, **store.options["volume_options"], **mount}


VOLUMES: dict[tuple[str, str], VolumeDriver] = {("swarm", "glusterfs"): GlusterFS()}
