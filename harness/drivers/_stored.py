"""Volumes that are a directory of a store's mount, which every node has before the orchestrator comes.

By default the engine's local driver binds the directory. With `driver_opts: {via: plugin}` the node's volume
plugin, which is called as the driver is, hands out one of its own. Either exists inside the mount only: where the
mount is gone, a container does not start, instead of writing to the node's own disk. A mount that is remade under
a running container does not reach it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from harness.model.places import STORE_MOUNTS
from harness.model.plan import LABEL, Demand, Plan, Step
from harness.model.topology import VIA, Volume
from harness.ports import Declared

COMMAND_TIMEOUT_S = 30.0


class Stored:
    """What drivers of volumes that always lie in a store share; what it promises is each one's own."""

    #: The volume plugin that its stores come with; empty: none.
    plugin: ClassVar[str] = ""
    #: What `via` may say; empty: what follows from `plugin`.
    ways: ClassVar[tuple[str, ...]] = ()

    def demands(self, name: str, volume: Volume) -> list[Demand]:  # noqa: ARG002 - the store demands all of it
        return []

    def problems(self, name: str, volume: Volume) -> list[tuple[str, str]]:  # noqa: ARG002
        return [*self._option_problems(volume), *key_problems(volume)]

    def _option_problems(self, volume: Volume) -> Iterator[tuple[str, str]]:
        ways = self.ways or (("bind", "plugin") if self.plugin else ("bind",))
        for key, value in volume.driver_opts.items():
            if key != VIA:
                told = "a volume of a store has no options of its own: `options` of the store are the place"
                yield f"driver_opts.{key}", told
            elif value not in ways:
                yield f"driver_opts.{key}", f"a volume of this driver comes via {' or '.join(ways)}, not {value!r}"

    def declare(self, name: str, volume: Volume, plan: Plan) -> Declared:
        return declare_served(name, plan, self.plugin) if by_plugin(volume) else declare_bound(name, plan)


def by_plugin(volume: Volume) -> bool:
    return volume.via == "plugin"


def store_device(name: str, volume: Volume) -> str:
    """The directory of a volume on every node; empty where the plugin knows it, by the engine's name for it."""
    return "" if by_plugin(volume) else f"{STORE_MOUNTS}/{volume.store}/{name}"


def declare_bound(name: str, plan: Plan) -> Declared:
    """The engine's volume that binds the planned device on whichever node needs it."""
    options = {"type": "none", "o": "bind", "device": plan.volume(name).device}
    labels = {LABEL: plan.run}
    stack = {"name": plan.engine_name(name), "driver": "local", "labels": labels, "driver_opts": options}
    return Declared(undo=tuple(remove_steps(name, plan)), stack=stack)


def declare_served(name: str, plan: Plan, plugin: str) -> Declared:
    """The engine's volume of the plugin; its data lie in the store, and go with it."""
    stack = {"name": plan.engine_name(name), "driver": plugin, "labels": {LABEL: plan.run}}
    return Declared(undo=tuple(remove_steps(name, plan)), stack=stack)


def key_problems(volume: Volume) -> Iterator[tuple[str, str]]:
    """Keys that mean nothing on Swarm."""
    if volume.access_mode:
        yield "access_mode", "Swarm has no access modes; read_only in a mount says who may write"
    if volume.storage_class:
        yield "storage_class", "Swarm has no storage classes"


def remove_steps(name: str, plan: Plan) -> Iterator[Step]:
    for node in plan.nodes:
        argv = ("docker", "volume", "rm", "--force", plan.engine_name(name))
        yield Step("remove volumes", f"remove volume {name}", node.name, argv, COMMAND_TIMEOUT_S)
