"""Files of the cache that are whole or not there: a receipt, written last, tells one from a half-written one. What
takes minutes is made once, whoever of this machine's processes asks for it meanwhile.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from harness.ports import Progress
from harness.providers.machine import Lock, locked

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


def alone(path: Path, progress: Progress) -> AbstractContextManager[None]:
    """No other process makes `path` meanwhile: whoever has waited looks whether it is there now. The lock is a
    file beside it. Raises EnvironmentBroken where somebody else has it for too long.
    """
    held = f"another process has been making {path} for {ALONE_TIMEOUT_S:g} s"
    lock = Lock(path.with_name(path.name + ".lock"), ALONE_TIMEOUT_S, held)
    return locked(lock, lambda: progress(f"another process of the harness makes {path.name}: waiting for it"))


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
