"""What tests of kind look at on the machine."""

from __future__ import annotations

from pathlib import Path

#: Settings of the kernel that no namespace holds, and that parts of a node would write to.
SETTINGS = (
    "fs/file-max", "fs/nr_open", "fs/inotify/max_user_instances", "fs/inotify/max_user_watches", "kernel/panic",
    "kernel/panic_on_oops", "kernel/pid_max", "kernel/threads-max", "vm/overcommit_memory", "vm/panic_on_oom",
    "vm/max_map_count", "kernel/keys/maxkeys", "kernel/printk", "kernel/core_pattern",
)  # fmt: skip


def settings() -> dict[str, str]:
    return {name: path.read_text() for name in SETTINGS if (path := Path("/proc/sys", name)).exists()}
