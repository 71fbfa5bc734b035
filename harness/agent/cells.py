"""Values in files: a writer's number and its sequence number, as a record in a small file or block of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, NamedTuple

from .frames import builder, id_at, record_id
from .puts import put_at_once

#: What is read where nobody has written, and where there is something else than a whole record.
NOTHING, NOT_WHOLE = 0, -1
#: Every so many operations a shim spoils one, the first of them early.
EVERY, FIRST = 97, 13


class Cell(NamedTuple):
    """A place for a value; `key` is how the history calls it."""

    key: str
    path: str
    offset: int


def cells_of(spec: dict[str, Any]) -> Iterator[Cell]:
    """The cells of a worker's `spec`: `keys` of them, as files `path.0`, `path.1`, or as blocks of the one file
    `path` (`layout`), called `key|0`, `key|1`.
    """
    for number in range(spec["keys"]):
        key = f"{spec['key']}|{number}"
        if spec["layout"] == "blocks":
            yield Cell(key, spec["path"], number * spec["block_bytes"])
        else:
            yield Cell(key, f"{spec['path']}.{number}", 0)


class Values:
    """Puts a writer's values into descriptors, and reads anybody's."""

    def __init__(self, writer: int, block_bytes: int) -> None:
        self._writer = writer
        self._bytes = block_bytes
        self._build = builder(writer, block_bytes)

    def number(self, sequence: int) -> int:
        """How the history calls the value of that sequence number."""
        return record_id(self._writer, sequence)

    def put(self, fd: int, offset: int, sequence: int) -> None:
        """One pwrite(2). Raises OSError."""
        put_at_once(fd, self._build(sequence), offset)

    def get(self, fd: int, offset: int) -> int:
        """One pread(2): the value's number, NOTHING or NOT_WHOLE. Raises OSError."""
        data = os.pread(fd, self._bytes, offset)
        found = id_at(data, 0, self._bytes)
        if found is not None:
            return found
        return NOT_WHOLE if data.strip(b"\0") else NOTHING


class Turns:
    """Says at which turns a shim strikes."""

    def __init__(self) -> None:
        self._turn = 0

    def strikes(self) -> bool:
        self._turn += 1
        return self._turn % EVERY == FIRST
