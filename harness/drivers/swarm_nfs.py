"""A directory of an NFS store, which every node mounts by the kernel's client."""

from __future__ import annotations

from collections.abc import Iterator

from harness.drivers._stored import declare_bound, key_problems, store_device
from harness.model.plan import Demand, Plan, StorePlan, VolumePlan
from harness.model.topology import Volume
from harness.ports import Declared, VolumeDriver
from harness.promises import promises_of

#: nfs(5), acregmax and acdirmax: cached attributes and names are used so long, if no option says otherwise.
CACHED_S = 60.0


class NFS:
    """`driver: nfs` on Swarm."""

    def demands(self, name: str, volume: Volume) -> list[Demand]:  # noqa: ARG002 - the store demands all of it
        return []

    def problems(self, name: str, volume: Volume) -> list[tuple[str, str]]:  # noqa: ARG002
        return [*_option_problems(volume), *key_problems(volume)]

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
            source=_source(store) if store else "",
            settle_s=_settle_s(options.get("o", "")),
        )

    def declare(self, name: str, volume: Volume, plan: Plan) -> Declared:  # noqa: ARG002
        return declare_bound(name, plan)


def _options(store: StorePlan) -> dict[str, str]:
    """All that decides what is promised, as the promise matrix names it. A server that exists is taken to export
    with `sync`, the default of exports(5).
    """
    given = str(store.options.get("mount_options", ""))
    return {"vers": str(store.options.get("version", "4.2")), **({"o": given} if given else {})}


def _source(store: StorePlan) -> str:
    """How the mount's source begins: server and export. An IPv6 address is in brackets (nfs(5))."""
    host = store.address or store.nodes[0]
    export = str(store.options["path"]).rstrip("/") if store.options["path"] else f"/{store.name}"
    return f"[{host}]:{export}" if ":" in host else f"{host}:{export}"


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


def _option_problems(volume: Volume) -> Iterator[tuple[str, str]]:
    if volume.driver_opts:
        yield "driver_opts", "a volume of a store has no options of its own: `options` of the store are the place"


VOLUMES: dict[tuple[str, str], VolumeDriver] = {("swarm", "nfs"): NFS()}
