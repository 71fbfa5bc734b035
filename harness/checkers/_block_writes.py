"""What reads of blocks show, and which writes of a block ran at the same time.

A read of one block in one go that shows two writes is torn, or the block itself is mixed. It is mixed where two of
the writes that it shows ran at the same time and had all ended before the read began: no read did that. A final
read that shows two writes is mixed where every host reads the same; what only one host sees is that host's read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from harness.model.history import History, Op

#: What a frame holds that nobody wrote, and one that is not whole (docs/history.md).
NOTHING, NOT_WHOLE = 0, -1


class Run(NamedTuple):
    value: int
    first: int
    frames: int


@dataclass(frozen=True)
class Shown:
    """What a read found: its runs, how many more there were, and the bytes around the first border."""

    runs: tuple[Run, ...]
    border: int = 0
    before: bytes = b""
    after: bytes = b""

    @property
    def values(self) -> list[int]:
        return list(dict.fromkeys(run.value for run in self.runs))

    @property
    def whole(self) -> bool:
        """One write, and all of it; or nothing yet."""
        return len(self.runs) == 1 and self.runs[0].value != NOT_WHOLE

    @property
    def text(self) -> str:
        return " ".join(f"{run.value}@{run.first}+{run.frames}" for run in self.runs)


def shown(value: str) -> Shown:
    """From the value of a `scan` row. Raises ValueError where it is none."""
    told, _, hexes = value.partition(" #")
    if "@" not in told:
        return Shown((Run(int(told), 0, 0),))
    border, _, dump = hexes.partition(":")
    before, _, after = dump.partition("|")
    runs = tuple(_run(word) for word in told.split(" ") if "@" in word)
    return Shown(runs, int(border), bytes.fromhex(before), bytes.fromhex(after))


def _run(word: str) -> Run:
    value, _, span = word.partition("@")
    first, _, frames = span.partition("+")
    return Run(int(value), int(first), int(frames))


def ran_before(one: Op, other: Op) -> bool:
    """Whether `one` had certainly ended when `other` began; on one host clocks agree."""
    slack = 0 if one.host == other.host else one.err_ns + other.err_ns
    return one.outcome != "info" and one.end_ns + slack < other.start_ns


def is_mixed(read: Op, found: Shown, writes: Mapping[int, Op]) -> bool:
    """Whether the block itself was mixed when this read began."""
    known = [writes[value] for value in found.values if value in writes]
    if not all(ran_before(write, read) for write in known):
        return False
    return any(
        not ran_before(one, other) and not ran_before(other, one)
        for place, one in enumerate(known)
        for other in known[:place]
    )


def overlapping(rows: History, with_rows: History, *, same: bool) -> npt.NDArray[np.bool_]:
    """Which of `rows` ran while one of `with_rows` on the same key did; `same`: both are the same rows."""
    met = np.zeros(len(rows), dtype=bool)
    keys, other_keys = rows.coded("key"), with_rows.coded("key")
    for code in np.unique(keys.codes).tolist():
        mine, theirs = keys.codes == code, other_keys.codes == code
        begun = np.searchsorted(np.sort(with_rows["start_ns"][theirs]), rows["end_ns"][mine], side="right")
        ended = np.searchsorted(np.sort(with_rows["end_ns"][theirs]), rows["start_ns"][mine], side="left")
        met[mine] = begun - ended > (1 if same else 0)
    return met


def distinct(reads: Iterable[Shown]) -> int:
    """How many different writes were seen at all."""
    return len({value for read in reads for value in read.values if value > NOTHING})
