"""Directories of stores on Kubernetes: GlusterFS, CephFS and NFS as every node has them mounted.

What they promise is what the same store promises on Swarm: servers, clients and their options are the same.
"""

from __future__ import annotations

from harness.drivers import _hosted, swarm_nfs
from harness.drivers._stored import Stored
from harness.drivers.swarm_cephfs import CephFS as SwarmCephFS
from harness.drivers.swarm_glusterfs import GlusterFS as SwarmGlusterFS
from harness.model.plan import Plan
from harness.model.topology import Volume
from harness.ports import Declared, VolumeDriver


class _Hosted(Stored):
    """To stand before the class that knows the promises."""

    plugin = ""

    def problems(self, name: str, volume: Volume) -> list[tuple[str, str]]:  # noqa: ARG002
        ours = list(_hosted.problems(volume))
        named = {key for key, _ in ours}
        return [*ours, *(found for found in self._option_problems(volume) if found[0] not in named)]

    def declare(self, name: str, volume: Volume, plan: Plan) -> Declared:
        return _hosted.declare(name, volume, plan.volume(name).device, plan)


class GlusterFS(_Hosted, SwarmGlusterFS):
    """`driver: glusterfs` on Kubernetes."""

    plugin = ""


class CephFS(_Hosted, SwarmCephFS):
    """`driver: cephfs` on Kubernetes."""

    plugin = ""


class NFS(_Hosted, swarm_nfs.NFS):
    """`driver: nfs` on Kubernetes."""


VOLUMES: dict[tuple[str, str], VolumeDriver] = {
    ("kubernetes", "glusterfs"): GlusterFS(),
    ("kubernetes", "cephfs"): CephFS(),
    ("kubernetes", "nfs"): NFS(),
}
