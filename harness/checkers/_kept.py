"""Files of one writer each, told in the end as the records that stand whole in them: which must, and which may."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.checkers._ranges import numbers
from harness.model.history import History, Op

WRITER_SHIFT = 32


@dataclass(frozen=True)
class Kept:
    """A worker's file as one host reads it: `lost` was acknowledged and is not there, `foreign` is there and was
    never written; by sequence number, ascending.
    """

    final: Op
    floor: dict[int, Op]
    lost: Sequence[int]
    foreign: Sequence[int]

    @property
    def wrong(self) -> int:
        return len(self.lost) + len(self.foreign)

    @property
    def reader(self) -> str:
        return f"{self.final.at} on {self.final.host}"

    def first_lost(self) -> str:
        """For people; only where something is lost."""
        op = self.floor[self.lost[0]]
        where = f"(offset {op.offset}, {op.length} bytes)"
        return f"record {self.lost[0]} of {op.process} in {op.at} on {op.host} {where}"

    def first_foreign(self) -> str:
        """Empty where nothing is foreign."""
        return f"{self.reader} finds record {self.foreign[0]}, which nobody wrote" if self.foreign else ""


def finals(rows: History) -> list[Op]:
    return list(rows.only(f="kept", outcome="ok").ops())


def compared(final: Op, attempts: Sequence[Op], acknowledged: Sequence[Op], reserved: History) -> Kept:
    """`attempts` are all of that file's, `acknowledged` those of them that must be there."""
    found = numbers(str(final.value))
    writer = int(final.key.rpartition("|")[2])
    floor = {sequence_of(op): op for op in acknowledged}
    # reserved numbers of this worker: its file is its own, so no other can have written them
    possible = {sequence_of(op) for op in attempts if op.outcome != "fail"} | _reserved(reserved, writer)
    return Kept(final, floor, sorted(set(floor) - found), sorted(found - possible))


def _reserved(reserved: History, writer: int) -> set[int]:
    spans = zip(reserved.value_int().tolist(), reserved["length"].tolist(), strict=True)
    return {
        (first & 0xFFFFFFFF) + n for first, count in spans if first >> WRITER_SHIFT == writer for n in range(count)
    }


def sequence_of(op: Op) -> int:
    return int(op.value) & 0xFFFFFFFF
