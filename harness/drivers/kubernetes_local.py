"""Directories of the nodes as hostPath: one of each node's own, or one that all nodes share."""

from __future__ import annotations

from collections.abc import Iterator

from harness.drivers.swarm_local import Local as SwarmLocal
from harness.drivers.swarm_local import is_bind
from harness.model.plan import Plan, Step, VolumePlan
from harness.model.topology import Volume
from harness.ports import Declared, VolumeDriver

COMMAND_TIMEOUT_S = 30.0
#: Where a node keeps volumes of its own, a directory each.
VOLUMES_DIR = "/var/lib/harness/volumes"


class Local(SwarmLocal):
    """`driver: local` on Kubernetes. It promises what the same directory promises on Swarm."""

    def problems(self, name: str, volume: Volume) -> list[tuple[str, str]]:
        keys = ("storage_class", "access_mode")
        later = [(key, f"{key} is not supported yet with driver local") for key in keys if getattr(volume, key)]
        return later or super().problems(name, volume)

    def declare(self, name: str, volume: Volume, plan: Plan) -> Declared:
        """The directory is made first: where it is missing a pod fails aloud (hostPath, type Directory)."""
        path = _path(name, volume, plan)
        steps = [] if volume.store else list(_make(name, path, plan))
        undo = [] if volume.store or is_bind(volume) else list(_remove(name, path, plan))
        source = {"hostPath": {"path": path, "type": "Directory"}}
        return Declared(steps=tuple(steps), undo=tuple(undo), stack=source)


def _path(name: str, volume: Volume, plan: Plan) -> str:
    planned: VolumePlan = plan.volume(name)
    return planned.device if volume.store or is_bind(volume) else f"{VOLUMES_DIR}/{plan.engine_name(name)}"


def _make(name: str, path: str, plan: Plan) -> Iterator[Step]:
    for node in plan.nodes:
        title = f"make the directory of volume {name}"
        yield Step("volumes", title, node.name, ("mkdir", "-p", "--", path), COMMAND_TIMEOUT_S)


def _remove(name: str, path: str, plan: Plan) -> Iterator[Step]:
    for node in plan.nodes:
        argv = ("rm", "-rf", "--", path)
        yield Step("remove volumes", f"remove volume {name}", node.name, argv, COMMAND_TIMEOUT_S)


VOLUMES: dict[tuple[str, str], VolumeDriver] = {("kubernetes", "local"): Local()}
