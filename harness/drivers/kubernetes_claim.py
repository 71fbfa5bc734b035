"""A PersistentVolumeClaim: a volume of whatever the cluster's storage class provides, CSI included.

An access mode of many nodes means that they see one content. What else it promises nobody has said: that is
`unproven` and measured, unless the topology says otherwise (`promises`, with a reason).
"""

from __future__ import annotations

from collections.abc import Iterator

from harness.drivers import _hosted
from harness.model.plan import Demand, Plan, StorePlan, VolumePlan
from harness.model.topology import Volume
from harness.ports import Declared, VolumeDriver
from harness.promises import NAMES

SIZE = "size"
DEFAULT_MODE = "ReadWriteMany"
ONE_NODE = "ReadWriteOnce"
_MANY = "core/v1, access modes of a PersistentVolume: it can be mounted by many nodes"
_NOBODY = "what a storage class provides, its provisioner alone can promise"


class Claim:
    """`driver: claim` on Kubernetes. `driver_opts: {size: 2Gi}` says how much is asked for."""

    def demands(self, name: str, volume: Volume) -> list[Demand]:  # noqa: ARG002 - the API says what is missing
        return []

    def problems(self, name: str, volume: Volume) -> list[tuple[str, str]]:  # noqa: ARG002
        return list(_problems(volume))

    def plan(self, name: str, volume: Volume, store: StorePlan | None) -> VolumePlan:  # noqa: ARG002
        mode = volume.access_mode or DEFAULT_MODE
        options = {"access_mode": mode, "storage_class": volume.storage_class or "the default"}
        return VolumePlan(
            name=name,
            driver="claim",
            shared=mode != ONE_NODE,
            promises=_promises(mode),
            options=options,
        )

    def declare(self, name: str, volume: Volume, plan: Plan) -> Declared:
        """Without a storage class the cluster's default one is taken: the key is left out."""
        spec = _hosted.claim_spec(volume.access_mode or DEFAULT_MODE, volume.storage_class or "")
        spec["resources"] = {"requests": {"storage": volume.driver_opts.get(SIZE, _hosted.CAPACITY)}}
        if not volume.storage_class:
            del spec["storageClassName"]
        return _hosted.claimed(name, spec, plan)


def _promises(mode: str) -> dict[str, tuple[str, str]]:
    promises = dict.fromkeys(NAMES, ("unproven", _NOBODY))
    return promises if mode == ONE_NODE else {**promises, "shared": ("holds", _MANY)}


def _problems(volume: Volume) -> Iterator[tuple[str, str]]:
    yield from _hosted.mode_problems(volume)
    if volume.store:
        yield "store", "a claim is provided by the storage class: leave it out"
    for key in volume.driver_opts:
        if key != SIZE:
            yield (
                f"driver_opts.{key}",
                f"a claim knows {SIZE}, not {key!r}; what else there is the storage class says",
            )


VOLUMES: dict[tuple[str, str], VolumeDriver] = {("kubernetes", "claim"): Claim()}
