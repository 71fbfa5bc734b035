"""Directories of stores on Kubernetes: GlusterFS, CephFS and NFS as every node has them mounted.

What they promise is what the same store promises on Swarm: servers, clients and their options are the same.
"""

from __future__ import annotations

from harness.drivers import _hosted, swarm_nfs
from harness.drivers._stored import Stored
from harness.drivers.swarm_cephfs import CephFS as SwarmCephFS
from harness.drivers.swarm_glusterfs import GlusterFS as SwarmGlusterFS
from harness.model.plan import Plan, StorePlan
from harness.model.topology import Volume
from harness.ports import Declared, VolumeDriver

#: Of `via`: Kubernetes' own volume of the kind (core/v1, NFSVolumeSource).
IN_TREE = "in-tree"
#: The version that a client and a server of today agree on where nobody says one (nfs(5), `nfsvers`).
NEGOTIATED = "4.2"
MANY = "ReadWriteMany"


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
    """`driver: nfs` on Kubernetes. With `driver_opts: {via: in-tree}` kubelets mount the volume's directory
    themselves, for each pod: a pod names server and path, or, where there are mount options or an access mode, a
    PersistentVolume does, since a pod cannot say how.
    """

    ways = ("bind", IN_TREE)

    def declare(self, name: str, volume: Volume, plan: Plan) -> Declared:
        if volume.via != IN_TREE:
            return super().declare(name, volume, plan)
        store = plan.store(volume.store or "")
        server, _, path = f"{store.mounted_from(plan.run)}/{name}".rpartition(":")
        source = {"nfs": {"server": server.strip("[]"), "path": path}}
        options = _mount_options(store)
        if not volume.access_mode and options == [f"vers={NEGOTIATED}"]:
            return Declared(stack=source)
        return _hosted.bound(name, volume.access_mode or MANY, {**source, "mountOptions": options}, plan)


def _mount_options(store: StorePlan) -> list[str]:
    given = str(store.options.get("mount_options", ""))
    return [f"vers={store.options['version']}", *filter(None, given.split(","))]


VOLUMES: dict[tuple[str, str], VolumeDriver] = {
    ("kubernetes", "glusterfs"): GlusterFS(),
    ("kubernetes", "cephfs"): CephFS(),
    ("kubernetes", "nfs"): NFS(),
}
