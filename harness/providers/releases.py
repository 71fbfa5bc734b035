"""Engines that container nodes can have: those of Debian's releases, each with what came out beside it.

A node is a root of one release, so containerd, runc, iptables and Python vary with the engine; the kernel, and the
tools on the wire, do not.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Release:
    """An engine and the suite that has it. `absent` are packages of the lists that the suite has under no name."""

    engine: str
    suite: str
    absent: frozenset[str] = frozenset()


#: Before trixie the client comes with docker.io. forky moves on: what a node then has is looked at (docker.py).
RELEASES = (
    Release("20.10.24", "bookworm", absent=frozenset({"docker-cli"})),
    Release("26.1.5", "trixie"),
    Release("28.5.2", "forky"),
)
#: What nodes are made of where nobody asks: the engine of the harness itself, and nodes with stores, are of this.
DEFAULT = RELEASES[1]


def release_of(wanted: str | None) -> Release | None:
    """The release whose engine is `wanted`, a version or the beginning of one; None where there is no such."""
    if wanted is None:
        return DEFAULT
    return next((each for each in RELEASES if is_version(each.engine, wanted)), None)


def is_version(engine: str, wanted: str) -> bool:
    """Whether `28.5.2+dfsg4` is the version `28.5`: part by part, so that 2 is not the beginning of 28."""
    have, want = engine.partition("+")[0].split("."), wanted.split(".")
    return have[: len(want)] == want


def offered() -> str:
    """For people: `20.10.24 (bookworm), ...`"""
    return ", ".join(f"{each.engine} ({each.suite})" for each in RELEASES)
