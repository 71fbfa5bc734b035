"""Directories of the nodes as hostPath: one of each node's own, or one that all nodes share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from harness.drivers import _hosted
from harness.drivers.swarm_local import Local as SwarmLocal
from harness.drivers.swarm_local import is_bind, option_problems
from harness.model.plan import Plan, Step, VolumePlan
from harness.model.topology import Volume
from harness.ports import Declared, VolumeDriver

COMMAND_TIMEOUT_S = 30.0
#: Where a node keeps volumes of its own, a directory each.
VOLUMES_DIR = "/var/lib/harness/volumes"


class Local(SwarmLocal):
    """`driver: local` on Kubernetes. It promises what the same directory promises on Swarm."""

    def problems(self, name: str, volume: Volume) -> list[tuple[str, str]]:  # noqa: ARG002
        return [*option_problems(volume), *_hosted.problems(volume)]

    def declare(self, name: str, volume: Volume, plan: Plan) -> Declared:
        """The directory is made first: where it is missing a pod fails aloud (hostPath, type Directory)."""
        path = _path(name, volume, plan)
        if plan.topology.cluster.is_foreign_kubernetes:
            return _hosted.declare(name, volume, path, plan)
        steps = [] if volume.store else list(_make(name, path, plan))
        undo = [] if volume.store or is_bind(volume) else list(_remove(name, path, plan))
        hosted = _hosted.declare(name, volume, path, plan)
        return replace(hosted, steps=(*steps, *hosted.steps), undo=(*hosted.undo, *undo))


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
