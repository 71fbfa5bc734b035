"""Judges writes of whole blocks over each other, and reads of them in one go, from several hosts.

`writes-not-mixed`: a block is the work of one write. `reads-not-torn`: one read shows one write.
`_block_writes` tells the two apart. Where reads saw a single value, nothing was there to tear: unknown.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.checkers._block_writes import NOT_WHOLE, NOTHING, Shown, distinct, is_mixed, overlapping, shown
from harness.checkers._sharing import parts, summed, unread_hosts, verdict_of, workers_of
from harness.checkers._volumes import Measured, too_few_workers
from harness.model.history import History, Op
from harness.model.plan import Plan
from harness.model.topology import Check
from harness.model.verdict import Verdict

WRITER_SHIFT = 32
#: Processes that read in the end, and do nothing else.
_READER = "reader-"


@dataclass(frozen=True)
class _Read:
    op: Op
    found: Shown

    @property
    def final(self) -> bool:
        return self.op.process.startswith(_READER)


def check(history: History, plan: Plan, check: Check) -> Verdict:
    """Params used: `volume`, `workers_per_node`. Rows used: blit scan mount nonce."""
    volume = check.params["volume"]
    writes, scans = history.only(f="blit"), history.only(f="scan", outcome="ok")
    reads = _reads(scans)
    measured = summed(_measured, parts(history, volume))
    found = len(workers_of(_live(history.only(f=("blit", "scan"), outcome="ok"))))
    doubts = too_few_workers(
        history,
        plan,
        volume,
        per_node=int(check.params.get("workers_per_node", 1)),
        found=found,
        what="workers read or wrote",
    )
    values = distinct(read.found for read in reads)
    if values < 2:
        doubts.append(f"reads saw {values} different writes: there was nothing to tear or to mix")
    return verdict_of(
        history,
        plan,
        check,
        measured,
        doubts=[*doubts, *unread_hosts(_finals(history), "scan")],
        figures={
            "writes": len(writes.only(outcome="ok")),
            "reads": len(reads),
            "indeterminate": len(writes.only(outcome="info")),
            "values_seen": values,
            "torn": measured["reads-not-torn"].count,
            "mixed": measured["writes-not-mixed"].count,
            "block_bytes": int(check.params.get("block_bytes", 0)),
            "o_direct": bool(check.params.get("direct", False)),
        },
        counts=(len(writes.only(outcome="ok")) + len(reads), len(writes.only(outcome="info"))),
    )


def _finals(history: History) -> History:
    return history.where(_is_final(history))


def _live(history: History) -> History:
    return history.where(~_is_final(history))


def _is_final(history: History) -> npt.NDArray[np.bool_]:
    processes = history.coded("process")
    final = np.array([str(name).startswith(_READER) for name in processes.texts.tolist()] + [False], dtype=bool)
    whose: npt.NDArray[np.bool_] = final[processes.codes]
    return whose


def _reads(scans: History) -> list[_Read]:
    return [_Read(op, shown(str(op.value))) for op in scans.ops()]


def _measured(rows: History) -> dict[str, Measured]:
    blits = rows.only(f="blit")
    blits = blits.where(blits["outcome"] != "fail")
    scans = rows.only(f="scan", outcome="ok")
    live = _live(scans)
    story = _Story(rows, {int(op.value): op for op in blits.ops()}, _reads(_finals(scans)))
    mixed: list[_Read] = []
    torn: list[_Read] = []
    for read in [*_reads(live), *story.finals]:
        if not read.found.whole or story.from_nowhere(read.found):
            (mixed if story.is_mixed(read) else torn).append(read)
    at_once = int(np.count_nonzero(overlapping(blits, blits, same=True)))
    under_way = int(np.count_nonzero(overlapping(live, blits, same=False)))
    return {
        "writes-not-mixed": Measured(len(mixed), at_once, story.tell(mixed[0], "holds") if mixed else ""),
        "reads-not-torn": Measured(len(torn), under_way, story.tell(torn[0], "was read as") if torn else ""),
    }


class _Story:
    """What is known of a part: its writes by value, reservations, and what was read in the end."""

    def __init__(self, rows: History, writes: dict[int, Op], finals: list[_Read]) -> None:
        self.finals = finals
        self._writes = writes
        starts = rows.only(f=("blit", "scan"))["start_ns"]
        self._origin_ns = int(starts.min()) if len(starts) else 0
        reserved = rows.only(f="reserve")
        self._reserved = list(zip(reserved.value_int().tolist(), reserved["length"].tolist(), strict=True))

    def from_nowhere(self, found: Shown) -> bool:
        """Whether it shows what nobody wrote, nor may have written."""
        return any(value > NOTHING and not self._possible(value) for value in found.values)

    def _possible(self, value: int) -> bool:
        return value in self._writes or any(first <= value < first + count for first, count in self._reserved)

    def is_mixed(self, read: _Read) -> bool:
        if NOT_WHOLE in read.found.values or len(read.found.values) < 2:
            return False
        if is_mixed(read.op, read.found, self._writes):
            return True
        alike = [other.found.text == read.found.text for other in self.finals if other.op.key == read.op.key]
        return read.final and all(alike)

    def tell(self, read: _Read, how: str) -> str:
        op, found = read.op, read.found
        who = f"{op.process} in {op.at} on {op.host}"
        spans = ", then ".join(f"{run.frames} frames of {self._write(run.value)}" for run in found.runs[:3])
        more = f", and {len(found.runs) - 3} more pieces" if len(found.runs) > 3 else ""
        at = f"; at offset {op.offset + found.border}: {_dump(found)}" if found.before else ""
        block = op.key.partition("|")[2]
        return (
            f"block {block} ({op.length} bytes at offset {op.offset}) {how} {spans}{more}, by one pread of {who} "
            f"({self._ms(op.start_ns)} to {self._ms(op.end_ns)} ms){at}"
        )

    def _write(self, value: int) -> str:
        if value == NOTHING:
            return "NUL bytes"
        if value == NOT_WHOLE:
            return "bytes that are no whole frame"
        name = f"write {value & 0xFFFFFFFF} of worker {value >> WRITER_SHIFT}"
        op = self._writes.get(value)
        if op is None:
            return f"{name} (never told of)"
        end = "never answered" if op.outcome == "info" else f"to {self._ms(op.end_ns)} ms"
        return f"{name} on {op.host} ({self._ms(op.start_ns)} {end})"

    def _ms(self, time_ns: int) -> str:
        return f"{(time_ns - self._origin_ns) / 1e6:.3f}"


def _dump(found: Shown) -> str:
    return f"{found.before.hex(' ', 4)} | {found.after.hex(' ', 4)}"
