"""Files that a fault leaves on a node that it struck, so that whoever heals knows of it."""

from __future__ import annotations

from collections.abc import Iterator

from harness.model.errors import EnvironmentBroken
from harness.ports import Cluster, Host


def struck(cluster: Cluster, mark: str, timeout_s: float) -> Iterator[Host]:
    """Hosts on which the file `mark` stands. A node that is gone took it along, and what it stands for."""
    for host in cluster.hosts.values():
        try:
            if host.run(["test", "-e", mark], timeout_s=timeout_s).ok:
                yield host
        except EnvironmentBroken:
            continue
