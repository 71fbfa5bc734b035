"""What the harness may leave behind on a machine, counted: before a test and after it the two must be equal.

Processes are exact on a shared machine: this process is made the reaper of orphans, so that whatever a run starts
stays among its descendants, an engine and its containers included. It reaps nobody, as many a container's first
process: zombies must not count as running, here and in the harness.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from harness.model.places import engine_dir, run_dir, state_name
from harness.model.plan import LABEL
from harness.providers.docker import DockerProvider

#: prctl(2)
PR_SET_CHILD_SUBREAPER = 36
SETTLE_S = 15.0


def adopt_orphans() -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


@dataclass(frozen=True)
class Traces:
    """All of the engine that HARNESS_STATE names. `stored` are folders of containers and volumes in its data,
    which tell also of what an engine that has ended would find again.
    """

    containers: tuple[str, ...]
    volumes: tuple[str, ...]
    networks: tuple[str, ...]
    stored: tuple[str, ...]
    namespaces: tuple[str, ...]
    tables: tuple[str, ...]
    links: tuple[str, ...]
    mounts: tuple[str, ...]
    processes: tuple[str, ...]

    @classmethod
    def now(cls) -> Traces:
        return cls(
            containers=_labelled("ps", "--all"),
            volumes=_labelled("volume", "ls"),
            networks=_labelled("network", "ls"),
            stored=tuple(_stored()),
            namespaces=tuple(_entries(Path("/run/netns"), state_name())),
            tables=tuple(_tables()),
            links=tuple(_links()),
            mounts=tuple(_mounts()),
            processes=tuple(sorted(_descendants())),
        )

    def differences(self, before: Traces) -> list[str]:
        """What came and what went, for people."""
        told = []
        for field in fields(self):
            old, new = set(getattr(before, field.name)), set(getattr(self, field.name))
            told += [f"{field.name}: {thing} came" for thing in sorted(new - old)]
            told += [f"{field.name}: {thing} went" for thing in sorted(old - new)]
        return told


def assert_nothing_left(before: Traces) -> None:
    """What ends by itself (a client whose engine is gone) gets a moment."""
    deadline = time.monotonic() + SETTLE_S
    while found := Traces.now().differences(before):
        assert time.monotonic() < deadline, "left behind:\n" + "\n".join(found)
        time.sleep(0.2)


def engine_pid() -> int:
    return int((run_dir() / "engine" / "pid").read_text().split()[0])


def docker(*arguments: str) -> str:
    """The output of the engine's client. Empty where no engine is there."""
    engine = DockerProvider().own.running()
    if engine is None:
        return ""
    argv = engine.argv(*arguments)
    return subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False).stdout


def _labelled(*arguments: str) -> tuple[str, ...]:
    name = "{{.Names}}" if arguments[0] == "ps" else "{{.Name}}"
    return tuple(sorted(docker(*arguments, "--filter", f"label={LABEL}", "--format", name).split()))


def _stored() -> Iterator[str]:
    data = engine_dir() / "data"
    for kind in ("containers", "volumes"):
        folder = data / kind
        yield from (f"{kind}/{path.name}" for path in folder.glob("*") if path.is_dir())


def _entries(folder: Path, prefix: str) -> list[str]:
    return sorted(path.name for path in folder.glob(f"{prefix}*"))


def _tables() -> Iterator[str]:
    """Of this namespace, and of the engine's, where it is."""
    for space in ("", *_entries(Path("/run/netns"), state_name())):
        for row in _json(space, "nft", "-j", "list", "tables")["nftables"]:
            if row.get("table", {}).get("name", "").startswith("harness"):
                yield f"{space}:{row['table']['family']} {row['table']['name']}"


def _links() -> Iterator[str]:
    """All links of the engine's namespace, and those of this one that an engine makes."""
    for space in ("", *_entries(Path("/run/netns"), state_name())):
        for row in _json(space, "ip", "-json", "link", "show"):
            if space or row["ifname"].startswith(("br-", "harness", "vx-")):
                yield f"{space}:{row['ifname']}"


def _json(space: str, *argv: str) -> Any:
    enter = ["nsenter", f"--net=/run/netns/{space}"] if space else []
    done = subprocess.run([*enter, *argv], capture_output=True, text=True, timeout=30, check=False)
    return json.loads(done.stdout or '{"nftables": []}')


def _mounts() -> Iterator[str]:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = line.split()[4]
        if state_name() in point or engine_dir().name in point.split("/"):
            yield point


def _descendants() -> Iterator[str]:
    """Live ones; a zombie is only a number."""
    parents = {}
    names = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            head, _, tail = Path(f"/proc/{entry}/stat").read_text().rpartition(")")
        except OSError:
            continue
        state, parent = tail.split()[:2]
        if state != "Z":
            parents[int(entry)] = int(parent)
            names[int(entry)] = head.partition("(")[2]
    for pid in parents:
        if os.getpid() in _ancestors(pid, parents):
            yield f"{names[pid]} {pid}"


def _ancestors(pid: int, parents: dict[int, int]) -> Iterator[int]:
    while pid in parents:
        pid = parents[pid]
        yield pid
