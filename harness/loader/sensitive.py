"""Host paths that a container must not be given unnoticed."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from harness.loader.problems import Problems
from harness.loader.tree import Tree
from harness.model.topology import Topology

#: What is sensitive, and why. Everything below it is as well, and so is whatever holds it.
SENSITIVE = {
    "/etc": "accounts, keys and the configuration of the whole host",
    "/run/docker.sock": "who can write to it is root on the host",
    "/proc": "kernel settings and other processes' memory",
    "/sys": "kernel settings and devices",
    "/root": "root's own files and keys",
    "/boot": "the kernel that the host boots",
    "/dev": "the host's devices and disks",
}


def check_sensitive(topology: Topology, root: Tree, problems: Problems) -> None:
    """Every bind of a sensitive path is a problem, unless the topology says `allow_sensitive: true`."""
    if topology.allow_sensitive:
        return
    for path, tree in _binds(topology, root):
        why = sensitivity(path)
        if why:
            message = f"binds {path} of the host: {why}. If that is meant, say `allow_sensitive: true` at the top"
            problems.at(tree, message)


def sensitivity(path: str) -> str:
    """Why `path` is sensitive; empty where it is not. Its spelling makes no difference; /var/run is /run."""
    plain = posixpath.normpath("/" + path.lstrip("/"))
    if plain == "/var/run" or plain.startswith("/var/run/"):
        plain = plain.removeprefix("/var")
    for held, why in SENSITIVE.items():
        if plain == held or plain.startswith(f"{held}/"):
            return why
        if plain == "/" or held.startswith(f"{plain}/"):
            return f"it holds {held}: {why}"
    return "it holds /run/docker.sock: who can write to it is root on the host" if plain == "/var" else ""


def _binds(topology: Topology, root: Tree) -> Iterator[tuple[str, Tree]]:
    for name, service in topology.services.items():
        for index, mount in enumerate(service.volumes):
            if mount.type == "bind" and mount.source and mount.source.startswith("/"):
                yield mount.source, root.find("services", name, "volumes", index)
    for name, volume in topology.volumes.items():
        device = volume.driver_opts.get("device", "")
        if "bind" in volume.driver_opts.get("o", "").split(",") and device.startswith("/"):
            yield device, root.find("volumes", name, "driver_opts", "device")
