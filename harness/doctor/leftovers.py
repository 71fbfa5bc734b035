"""What bears our name on this machine, whether a run left it or uses it: nothing else may be removed later."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness.model.places import DEFAULT_STATE, STATE_VARIABLE, state_name
from harness.model.plan import PREFIX
from harness.ports import ClusterInfo
from harness.session import cluster_infos

NAMESPACES = Path("/run/netns")
STATE = Path("/run")
LOOPS = Path("/sys/block")
VARIABLE = b"HARNESS_RUN="


def found() -> Iterator[str]:
    """Clusters first; `harness down --all` removes all of these, but for those of another HARNESS_STATE."""
    for info in cluster_infos():
        yield f"cluster {info.name} ({info.nodes} nodes, since {info.since})" if info.nodes else _half(info)
    for path in _named(NAMESPACES):
        yield f"network namespace {path.name}{_beside(path.name)}"
    for path in _named(STATE):
        if (path / "mnt").exists():
            yield f"an engine of ours in {path}{_beside(path.name)}"
    yield from _loops()
    yield from _processes()


def _half(info: ClusterInfo) -> str:
    return f"networks or volumes of {info.name}, which has no node"


def _beside(name: str) -> str:
    """Which HARNESS_STATE it belongs to, where that is not this one's: it may be in use."""
    state = name.removesuffix("-engine").removesuffix("-vms")
    if state == state_name():
        return ""
    word = state.removeprefix(DEFAULT_STATE).removeprefix("-")
    return f" (of {STATE_VARIABLE}={word}, and removed with that set)" if word else f" (without {STATE_VARIABLE})"


def _named(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.name == DEFAULT_STATE or path.name.startswith(PREFIX):
            yield path


def _loops() -> Iterator[str]:
    """A loop device is ours if the file behind it says so."""
    for device in sorted(LOOPS.glob("loop*")):
        backing = device / "loop" / "backing_file"
        file = Path(backing.read_text().strip()) if backing.exists() else None
        if file is not None and PREFIX in str(file):
            yield f"loop device {device.name} on {file}"


def _processes() -> Iterator[str]:
    """What has our variable in its environment; another user's cannot be read, and are passed over."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            entries = (folder / "environ").read_bytes().split(b"\0")
            name = (folder / "comm").read_text().strip()
        except OSError:
            continue
        run = next((entry for entry in entries if entry.startswith(VARIABLE)), None)
        if run is not None:
            yield f"process {folder.name} ({name}) of run {run.removeprefix(VARIABLE).decode(errors='replace')}"
