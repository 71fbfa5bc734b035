"""Bugs on purpose, between a writer and its file: what a checker must find is known to the byte.

Which records it spoils follows from their sequence numbers alone.
"""

from __future__ import annotations

from collections.abc import Callable

from .frames import HEADER, sequence_of

#: Every so many records one is spoiled, the first of them early.
EVERY, FIRST = 97, 13
#: How many later records are written before one that was kept back.
LAG = 3

#: Writes a record to the file and says how many bytes it took, like os.write.
Write = Callable[[bytes], int]


def spoils(sequence: int) -> bool:
    return sequence % EVERY == FIRST


class Honest:
    """No bug: hands everything to `write`. `kept` are pieces that are still to be written."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._kept: list[bytes] = []

    def __call__(self, record: bytes) -> int:
        return self._spoil(record) if spoils(sequence_of(record)) else self._pass(record)

    def close(self) -> None:
        """Write what was kept back."""
        for piece in self._kept:
            self._write(piece)
        self._kept.clear()

    def _spoil(self, record: bytes) -> int:
        return self._write(record)

    def _pass(self, record: bytes) -> int:
        return self._write(record)


class Lost(Honest):
    """Acknowledges a record and does not write it."""

    def _spoil(self, record: bytes) -> int:
        return len(record)


class Duplicated(Honest):
    """Writes a record twice."""

    def _spoil(self, record: bytes) -> int:
        self._write(record)
        return self._write(record)


class Torn(Honest):
    """In turn: a record whose payload is wrong, and one whose second half stands behind the next record."""

    def _spoil(self, record: bytes) -> int:
        if sequence_of(record) // EVERY % 2 == 0:
            return self._write(record[: HEADER.size] + bytes(byte ^ 0xFF for byte in record[HEADER.size :]))
        middle = len(record) // 2
        self._kept.append(record[middle:])
        self._write(record[:middle])
        return len(record)

    def _pass(self, record: bytes) -> int:
        size = self._write(record)
        self.close()
        return size


class Reordered(Honest):
    """Acknowledges a record at once and writes it after LAG later ones."""

    def _spoil(self, record: bytes) -> int:
        self._kept.append(record)
        return len(record)

    def _pass(self, record: bytes) -> int:
        size = self._write(record)
        if self._kept and sequence_of(record) - sequence_of(self._kept[0]) >= LAG:
            self.close()
        return size


SHIMS: dict[str, type[Honest]] = {
    "lost": Lost,
    "duplicated": Duplicated,
    "torn": Torn,
    "reordered": Reordered,
}


def shimmed(name: str, write: Write) -> tuple[Write, Callable[[], None]]:
    """`write` behind the shim of that name, and what to call at the end. Raises ValueError for a name unknown."""
    if name in ("", "none"):
        return write, lambda: None
    if name not in SHIMS:
        raise ValueError(f"there is no shim {name!r}; there are {', '.join(SHIMS)}")
    shim = SHIMS[name](write)
    return shim, shim.close
