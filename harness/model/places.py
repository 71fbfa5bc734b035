"""Where things lie: the user's cache, run-time state, and the data files that travel with the package."""

from __future__ import annotations

import os
from pathlib import Path

#: Sockets, locks and namespaces of the harness's own engine; gone after a reboot, as it is.
RUN_DIR = Path("/run/harness")
#: The one directory that all container nodes of a cluster share, as seen on each node.
SHARED_DIR = "/harness/shared"


def cache_dir() -> Path:
    """The user's cache folder for what can be made again (XDG Base Directory Specification)."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "harness"


def data_dir(name: str) -> Path:
    """A folder of data files: `topologies`, `images`. From the checkout if this is one, else from the package."""
    package = Path(__file__).resolve().parent.parent
    checkout = {"topologies": package.parent / "topologies", "images": package.parent / "ci" / "images"}[name]
    inside = package / "_data" / name
    return inside if inside.is_dir() else checkout
