"""Taking stores down by what the nodes themselves keep: no plan is needed, and none may be there."""

from __future__ import annotations

from functools import partial

from harness.model.errors import CommandFailed
from harness.model.places import STORE_FRESH, STORE_MOUNTS, STORES_DIR
from harness.ports import Cluster, Host
from harness.transport.parallel import at_once

LIST_TIMEOUT_S = 15.0
DOWN_TIMEOUT_S = 60.0

_LIST = 'for folder in "$1"/*/; do [ ! -d "$folder" ] || basename "$folder"; done'
#: All clients before any server: one that looks for its servers would hold its mount. Where servers are silent, a
#: mount hangs whoever touches it: the kernel is asked for it, and after a while it is detached without a word to
#: it (umount(8): --no-canonicalize does not even look).
UNMOUNT = """
for point; do
  grep -qF " $point " /proc/self/mounts || continue
  timeout -k 2 15 umount --no-canonicalize "$point" 2>/dev/null || umount --no-canonicalize -l "$point"
done
"""
_DOWN = """
[ ! -e "$1/down" ] || sh "$1/down" || exit
rm -rf "$1"
if [ -d "$2" ]; then rmdir "$2"; fi
"""


def clear(cluster: Cluster, store: str | None = None) -> list[str]:
    """Unmount and remove one store or all, with their data, on all nodes. Idempotent. Returns their names."""
    hosts = list(cluster.hosts.values())
    there = sorted({name for names in at_once([partial(_names, host) for host in hosts]) for name in names})
    wanted = [name for name in there if store in (None, name)]
    for name in wanted:
        points = (f"{STORE_FRESH}/{name}", f"{STORE_MOUNTS}/{name}")
        at_once([partial(_run, host, UNMOUNT, *points) for host in hosts])
        at_once([partial(_run, host, _DOWN, f"{STORES_DIR}/{name}", f"{STORE_MOUNTS}/{name}") for host in hosts])
    return wanted


def _names(host: Host) -> list[str]:
    return _run(host, _LIST, STORES_DIR, timeout_s=LIST_TIMEOUT_S).split()


def _run(host: Host, script: str, *arguments: str, timeout_s: float = DOWN_TIMEOUT_S) -> str:
    argv = ["sh", "-c", script, "sh", *arguments]
    result = host.run(argv, timeout_s=timeout_s)
    if not result.ok:
        raise CommandFailed(argv, result.code, result.output, where=host.name)
    return result.stdout
