"""Volumes that come to pods as a directory of their node: hostPath, or a claim to a PersistentVolume of that path.

The directory of a store's volume exists inside the mount only, and hostPath of type Directory takes nothing else:
a pod whose node has lost the mount does not start, instead of writing to the node's own disk. With `access_mode`
the same path is a PersistentVolume to which one claim is bound. Nothing is attached then, so nobody keeps a second
node from a ReadWriteOnce volume: check `access-mode` shows it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import yaml

from harness.drivers._stored import by_plugin
from harness.model.plan import LABEL, Document, Plan, Step
from harness.model.topology import Volume
from harness.ports import Declared

APPLY_TIMEOUT_S = 60.0
REMOVE_TIMEOUT_S = 60.0
#: As core/v1 spells them; ReadWriteOncePod came with 1.22.
ACCESS_MODES = ("ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany")
#: What a claim asks for where the topology says nothing; a hostPath has no size of its own.
CAPACITY = "1Gi"


def problems(volume: Volume) -> Iterator[tuple[str, str]]:
    """Keys that a directory of a node cannot have."""
    if volume.storage_class:
        yield "storage_class", f"{volume.driver} is a directory of the nodes; `driver: claim` asks a storage class"
    yield from mode_problems(volume)
    if by_plugin(volume):
        yield "driver_opts.via", "Kubernetes has no volume plugins of Docker's: leave it out"


def mode_problems(volume: Volume) -> Iterator[tuple[str, str]]:
    if volume.access_mode and volume.access_mode not in ACCESS_MODES:
        yield "access_mode", f"an access mode is one of {', '.join(ACCESS_MODES)}, not {volume.access_mode!r}"


def declare(name: str, volume: Volume, path: str, plan: Plan) -> Declared:
    """`path` is there on every node when pods come."""
    if plan.topology.cluster.is_foreign_kubernetes:  # nobody makes directories on its nodes
        return Declared(stack={"emptyDir": {}})
    source = {"hostPath": {"path": path, "type": "Directory"}}
    return bound(name, volume.access_mode, source, plan) if volume.access_mode else Declared(stack=source)


def bound(name: str, mode: str, source: dict[str, Any], plan: Plan) -> Declared:
    """A PersistentVolume of `source`, and the claim that it is bound to."""
    spec = {**claim_spec(mode, ""), "volumeName": plan.engine_name(name)}
    made = claimed(name, spec, plan, before=(_volume(name, mode, source, plan),))
    argv = (
        *plan.topology.cluster.kubectl,
        "delete",
        "persistentvolume",
        plan.engine_name(name),
        "--ignore-not-found",
        "--wait=true",
    )
    undo = Step("remove volumes", f"remove volume {name}", plan.managers[0], argv, REMOVE_TIMEOUT_S)
    return replace(made, undo=(*made.undo, undo))


def claimed(name: str, spec: dict[str, Any], plan: Plan, *, before: Sequence[dict[str, Any]] = ()) -> Declared:
    """A claim called as the volume, after `before`. It stands in the plan's namespace, which is made with the
    first claim where it is ours; with the namespace it goes, and what its provisioner made of it soon after.
    """
    kubectl, labels = plan.topology.cluster.kubectl, {LABEL: plan.run}
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": plan.namespace, "labels": labels}}
    spaces = [] if plan.topology.cluster.is_foreign_kubernetes else [space]
    metadata = {"name": name, "namespace": plan.namespace, "labels": labels}
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}
    file = f"volume-{name}.yaml"
    argv = (*kubectl, "apply", "-f", "-")
    gone = (*kubectl, "--namespace", plan.namespace, "delete", "persistentvolumeclaim", name)
    rest = ("--ignore-not-found", "--wait=true")
    undo = Step("remove volumes", f"remove claim {name}", plan.managers[0], (*gone, *rest), REMOVE_TIMEOUT_S)
    return Declared(
        steps=(Step("volumes", f"claim volume {name}", plan.managers[0], argv, APPLY_TIMEOUT_S, file),),
        undo=(undo,),
        documents=(Document(file, yaml.safe_dump_all([*spaces, *before, claim])),),
        stack={"persistentVolumeClaim": {"claimName": name}},
    )


def claim_spec(mode: str, storage_class: str) -> dict[str, Any]:
    requests = {"requests": {"storage": CAPACITY}}
    return {"accessModes": [mode], "storageClassName": storage_class, "resources": requests}


def _volume(name: str, mode: str, source: dict[str, Any], plan: Plan) -> dict[str, Any]:
    metadata = {"name": plan.engine_name(name), "labels": {LABEL: plan.run}}
    spec = {
        "capacity": {"storage": CAPACITY},
        "accessModes": [mode],
        "persistentVolumeReclaimPolicy": "Retain",
        "storageClassName": "",
        **source,
    }
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": metadata, "spec": spec}
