"""What tests of kind share: what they look at on the machine, and what an administrator would have made."""

from __future__ import annotations

import json
from pathlib import Path

#: Settings of the kernel that no namespace holds, and that parts of a node would write to.
SETTINGS = (
    "fs/file-max", "fs/nr_open", "fs/inotify/max_user_instances", "fs/inotify/max_user_watches", "kernel/panic",
    "kernel/panic_on_oops", "kernel/pid_max", "kernel/threads-max", "vm/overcommit_memory", "vm/panic_on_oom",
    "vm/max_map_count", "kernel/keys/maxkeys", "kernel/printk", "kernel/core_pattern",
)  # fmt: skip


def settings() -> dict[str, str]:
    return {name: path.read_text() for name in SETTINGS if (path := Path("/proc/sys", name)).exists()}


def storage_class(name: str, access_mode: str, folder: str) -> str:
    """For `kubectl apply`: a class that provisions nothing, and a volume of it that nobody has claimed yet."""
    named = {"metadata": {"name": name}}
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": [access_mode],
        "persistentVolumeReclaimPolicy": "Retain",
        "storageClassName": name,
        "hostPath": {"path": folder, "type": "DirectoryOrCreate"},
    }
    provisioner = {"provisioner": "kubernetes.io/no-provisioner"}
    made = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", **named, **provisioner}
    volume = {"apiVersion": "v1", "kind": "PersistentVolume", **named, "spec": spec}
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": [made, volume]})
