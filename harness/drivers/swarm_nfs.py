"""A directory of an NFS store, which every node mounts by the kernel's client."""

from __future__ import annotations

from harness.drivers._stored import Stored, store_device
from harness.model.plan import StorePlan, VolumePlan
from harness.model.topology import Volume
from harness.ports import VolumeDriver
from harness.promises import promises_of

#: nfs(5), acregmax and acdirmax: cached attributes and names are used so long, if no option says otherwise.
CACHED_S = 60.0


class NFS(Stored):
    """`driver: nfs` on Swarm."""

    def plan(self, name: str, volume: Volume, store: StorePlan | None) -> VolumePlan:
        options = _options(store) if store else {}
        return VolumePlan(
            name=name,
            driver="nfs",
            shared=True,
            promises=promises_of("nfs", "kernel", options),
            device=store_device(name, volume),
            options=options,
            store=volume.store or "",
            fstype="nfs" if options.get("vers") == "3" else "nfs4",
            source=store.source if store else "",
            settle_s=_settle_s(options.get("o", "")),
        )


def _options(store: StorePlan) -> dict[str, str]:
    """All that decides what is promised, as the promise matrix names it. A server that exists is taken to export
    with `sync`, the default of exports(5).
    """
    given = str(store.options.get("mount_options", ""))
    return {"vers": str(store.options.get("version", "4.2")), **({"o": given} if given else {})}


def _settle_s(options: str) -> float:
    """The longest that a client may use what it has cached, by its mount options; what comes later wins."""
    longest = {"acregmax": CACHED_S, "acdirmax": CACHED_S}
    for word in options.split(","):
        name, _, given = word.partition("=")
        if name == "noac":
            longest = dict.fromkeys(longest, 0.0)
        elif name == "actimeo":
            longest = dict.fromkeys(longest, float(given))
        elif name in longest:
            longest[name] = float(given)
    return max(longest.values())


VOLUMES: dict[tuple[str, str], VolumeDriver] = {("swarm", "nfs"): NFS()}
