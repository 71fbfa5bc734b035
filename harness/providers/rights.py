"""What a node container may do, on engines whose machine lacks a capability."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def explicit_rights() -> dict[str, Any]:
    return {
        "cap_add": ["ALL"],
        "cap_drop": lacking_capabilities(Path("/proc/self/status").read_text()),
        "security_options": ["seccomp=unconfined", "apparmor=unconfined", "systempaths=unconfined"],
        "device_cgroup_rules": ["a *:* rwm"],
    }


#: capabilities(7), in the order of their numbers.
_NAMES = """
CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE
NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN
SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE
MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE
"""
CAPABILITIES = tuple(_NAMES.split())


def lacking_capabilities(status: str) -> list[str]:
    """Names of the capabilities that the bounding set in a proc_pid_status(5) text lacks."""
    bounding = int(next(line.split()[1] for line in status.splitlines() if line.startswith("CapBnd:")), 16)
    return [name for number, name in enumerate(CAPABILITIES) if not bounding >> number & 1]
