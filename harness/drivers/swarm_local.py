"""The engine's own volumes: a directory on the node, a bind of one that all nodes share, or of a store's mount."""

from __future__ import annotations

from collections.abc import Iterator

from harness.drivers._stored import declare_bound, key_problems, remove_steps, store_device
from harness.model.plan import LABEL, Demand, Plan, Step, StorePlan, VolumePlan
from harness.model.topology import Volume
from harness.ports import Declared, VolumeDriver
from harness.promises import promises_of

OPTIONS = frozenset({"type", "o", "device"})
_NFS = ("nfs", "nfs4")
_INSTEAD = (
    "use `driver: nfs` and a store of kind nfs, whose `mount_options` are what stands in `o`; for a server that "
    "exists, with `managed: false` and `address`"
)

COMMAND_TIMEOUT_S = 30.0


class Local:
    """`driver: local` on Swarm. With `type: none, o: bind, device: /dir` it is the control: nodes that are
    containers of one machine share the directory, and every promise of a local file system holds. With a store of
    kind local it is a directory of the file system that each node has for itself.
    """

    def demands(self, name: str, volume: Volume) -> list[Demand]:  # noqa: ARG002
        return []

    def problems(self, name: str, volume: Volume) -> list[tuple[str, str]]:  # noqa: ARG002
        return [*option_problems(volume), *key_problems(volume)]

    def plan(self, name: str, volume: Volume, store: StorePlan | None) -> VolumePlan:
        if store is not None:
            return _on_store(name, volume, store)
        shared = is_bind(volume)
        return VolumePlan(
            name=name,
            driver="local",
            shared=shared,
            promises=promises_of("local", "one-directory" if shared else "own", volume.driver_opts),
            device=volume.driver_opts.get("device", ""),
            options=dict(volume.driver_opts),
        )

    def declare(self, name: str, volume: Volume, plan: Plan) -> Declared:
        """The stack makes the volume where a task needs it; a bound directory is made on every node first."""
        if volume.store:
            return declare_bound(name, plan)
        made = plan.engine_name(name)
        nodes = [node.name for node in plan.nodes]
        stack = {"name": made, "driver": "local", "labels": {LABEL: plan.run}}
        if volume.driver_opts:
            stack["driver_opts"] = dict(volume.driver_opts)
        return Declared(
            steps=tuple(_make_directory(name, node, volume) for node in nodes if is_bind(volume)),
            undo=tuple(remove_steps(name, plan)),
            stack=stack,
        )


def is_bind(volume: Volume) -> bool:
    return volume.driver_opts.get("type") == "none" and "bind" in volume.driver_opts.get("o", "").split(",")


def _make_directory(name: str, node: str, volume: Volume) -> Step:
    argv = ("mkdir", "-p", "--", volume.driver_opts["device"])
    return Step("volumes", f"make the directory behind volume {name}", node, argv, COMMAND_TIMEOUT_S)


def _on_store(name: str, volume: Volume, store: StorePlan) -> VolumePlan:
    fstype = str(store.options["fstype"])
    return VolumePlan(
        name=name,
        driver="local",
        shared=False,
        promises=promises_of("local", "own", {"fs": fstype}),
        device=store_device(name, volume),
        options={"fstype": fstype},
        store=volume.store or "",
        fstype=fstype,
        source="/dev/loop",
    )


def option_problems(volume: Volume) -> Iterator[tuple[str, str]]:
    options = volume.driver_opts
    for key in options:
        if key not in OPTIONS:
            yield f"driver_opts.{key}", f"the local driver knows {', '.join(sorted(OPTIONS))}, not {key!r}"
    if volume.store and options:
        yield "driver_opts", f"a volume of a store has no options of its own: {volume.store} says what it is"
    elif options.get("type") in _NFS:
        yield "driver_opts.type", f"the local driver's type {options['type']} is not taken: {_INSTEAD}"
    elif options and not is_bind(volume):
        yield "driver_opts", "only type none with o: bind is supported yet for driver local"
    if is_bind(volume) and not volume.store and not options.get("device", "").startswith("/"):
        yield "driver_opts", "a bind needs a device: the absolute path of the shared directory"


VOLUMES: dict[tuple[str, str], VolumeDriver] = {("swarm", "local"): Local()}
