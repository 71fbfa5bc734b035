"""Where things lie: the user's cache, run-time state, and the data files that travel with the package."""

from __future__ import annotations

import os
import re
from pathlib import Path

from harness.model.errors import UsageError

#: A word here gives an engine of one's own beside the default one: what it makes is named after the word.
STATE_VARIABLE = "HARNESS_STATE"
DEFAULT_STATE = "harness"
#: The one directory that all container nodes of a cluster share, as seen on each node.
SHARED_DIR = "/harness/shared"
#: On a node, what is known of its stores: a folder each, with the hooks `up` and `down`, and `daemons/NAME` (see
#: harness/transport/daemons.py). It outlives a kill of the node.
STORES_DIR = "/var/lib/harness/stores"
#: Where a node mounts its stores: STORE_MOUNTS/STORE. Volumes are directories inside, so that a mount that is gone
#: is a directory that is missing, never a local one that takes the writes.
STORE_MOUNTS = "/harness/stores"
#: Within a store, what its volume plugin hands out: a directory for each volume, called as engines call it.
PLUGIN_FOLDER = ".volumes"
#: Where a node mounts a store a second time, for the last reads of a check: STORE_FRESH/STORE.
STORE_FRESH = "/harness/fresh"
#: Where a node keeps what backs loop devices: on the engine's own volume, which no overlay lies over.
STORE_DATA = "/var/lib/docker/harness"
#: A node that is emulated says here how many times longer than others it may take, as a whole number.
SLOWNESS_FILE = "/var/lib/harness/slowness"


def cache_dir() -> Path:
    """The user's cache folder for what can be made again (XDG Base Directory Specification)."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "harness"


def state_name() -> str:
    """`harness`, or `harness-WORD`: what the harness's own engine is called on this machine. Raises UsageError."""
    word = os.environ.get(STATE_VARIABLE, "")
    if not re.fullmatch(r"[a-z0-9-]{0,20}", word):
        raise UsageError(f"{STATE_VARIABLE} is up to 20 of a-z, 0-9 and -, not {word!r}")
    return f"{DEFAULT_STATE}-{word}" if word else DEFAULT_STATE


def run_dir() -> Path:
    """Sockets, locks and namespaces of the harness's own engine; gone after a reboot, as it is."""
    return Path("/run") / state_name()


def engine_dir() -> Path:
    """Log and data of the harness's own engine."""
    return cache_dir() / f"engine{state_name().removeprefix(DEFAULT_STATE)}"


def vms_dir() -> Path:
    """Configuration, disks and logs of virtual machines, and of the harness's own libvirt."""
    return cache_dir() / f"vms{state_name().removeprefix(DEFAULT_STATE)}"


def data_dir(name: str) -> Path:
    """A folder of data files: `topologies`, `images`, `kind`, `box`, `vagrant` (the Vagrantfile). From the
    checkout if this is one, else from the package.
    """
    package = Path(__file__).resolve().parent.parent
    root = package.parent
    places = {**{recipe: root / "ci" / recipe for recipe in ("images", "kind", "box")}, "vagrant": root}
    checkout = places.get(name, root / name)
    inside = package / "_data" / name
    return inside if inside.is_dir() else checkout
