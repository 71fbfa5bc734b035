"""Files of the cache that are whole or not there: a receipt, written last, tells one from a half-written one. What
takes minutes is made once, whoever of this machine's processes asks for it meanwhile.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.model.errors import EnvironmentBroken
from harness.ports import Progress
from harness.providers.machine import wait_until

#: How long somebody else may make what we wait for: the longest, Kubernetes from source, takes minutes.
ALONE_TIMEOUT_S = 2400.0


def is_whole(path: Path) -> bool:
    try:
        receipt = json.loads(_receipt(path).read_text())
        return bool(receipt["bytes"] == path.stat().st_size)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def once(path: Path, make: Callable[[Path], object], progress: Progress) -> Path:
    """`path`, by `make(new)` where it is not whole. Raises what `make` raises, EnvironmentBroken."""
    if not is_whole(path):
        with alone(path, progress):
            if not is_whole(path):
                with replacing(path) as new:
                    make(new)
    return path


@contextmanager
def alone(path: Path, progress: Progress) -> Iterator[None]:
    """No other process makes `path` meanwhile: whoever has waited looks whether it is there now. The lock, a file
    beside it, goes with its process. Raises EnvironmentBroken where somebody else has it for too long.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not _locked(handle):
            progress(f"another process of the harness makes {path.name}: waiting for it")
            if not wait_until(lambda: _locked(handle), ALONE_TIMEOUT_S):
                raise EnvironmentBroken(f"another process has been making {path} for {ALONE_TIMEOUT_S:g} s")
        yield
    finally:
        os.close(handle)


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path that becomes `path`, with a receipt, when the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix="new-") as folder:
        new = Path(folder) / path.name
        yield new
        size = new.stat().st_size
        new.replace(path)
        _receipt(path).write_text(json.dumps({"bytes": size}))


def _receipt(path: Path) -> Path:
    return path.with_name(path.name + ".json")
