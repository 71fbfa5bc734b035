"""Files of the cache that are whole or not there: a receipt, written last, tells one from a half-written one."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def is_whole(path: Path) -> bool:
    try:
        receipt = json.loads(_receipt(path).read_text())
        return bool(receipt["bytes"] == path.stat().st_size)
    except (OSError, ValueError, KeyError, TypeError):
        return False


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
