"""A directory of a GlusterFS store, which every node mounts by its FUSE client."""

from __future__ import annotations

from collections.abc import Iterator

from harness.drivers._stored import declare_bound, key_problems, store_device
from harness.model.plan import Demand, Plan, StorePlan, VolumePlan
from harness.model.topology import Volume
from harness.ports import Declared, VolumeDriver
from harness.promises import promises_of

#: Attributes and names are cached for 1 s by the kernel, then 1 s by the client (mount.glusterfs(8),
#: performance.md-cache-timeout). Longer after a pause of a node: its client reads less than the others do for 8 s,
#: and more than 10 s on a busy machine (measured, GlusterFS 11.1, replica 3).
SETTLE_S = 30.0


class GlusterFS:
    """`driver: glusterfs` on Swarm."""

    def demands(self, name: str, volume: Volume) -> list[Demand]:  # noqa: ARG002 - the store demands all of it
        return []

    def problems(self, name: str, volume: Volume) -> list[tuple[str, str]]:  # noqa: ARG002
        return [*_option_problems(volume), *key_problems(volume)]

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
            source=f"{store.nodes[0]}:/{store.name}" if store else "",
            settle_s=SETTLE_S,
        )

    def declare(self, name: str, volume: Volume, plan: Plan) -> Declared:  # noqa: ARG002
        return declare_bound(name, plan)


def _options(store: StorePlan) -> dict[str, str]:
    """All that decides what is promised, as the promise matrix names it."""
    replica = int(store.options["replica"])
    shape = {"replica": str(replica), "distribute": str(len(store.nodes) // replica)}
    mount = {"o": store.options["mount_options"]} if store.options["mount_options"] else {}
    return {**shape, **store.options["volume_options"], **mount}


def _option_problems(volume: Volume) -> Iterator[tuple[str, str]]:
    if volume.driver_opts:
        yield "driver_opts", "a volume of a store has no options of its own: `options` of the store are the place"


VOLUMES: dict[tuple[str, str], VolumeDriver] = {("swarm", "glusterfs"): GlusterFS()}
