"""The call `append`: writers of the append log, and rows of what they report."""

from __future__ import annotations

from array import array
from collections.abc import Callable

from .crew import Crew, Member
from .frames import record_id
from .nursery import Nursery
from .protocol import Call
from .rows import NEVER, Row, packed_times
from .writer import Taken

_SHARED = ("record_bytes", "rate_per_s", "block", "fsync", "shim")


def append(nursery: Nursery) -> Callable[[Call], Row]:
    """The handler of the call `append`."""

    def handler(call: Call) -> Row:
        appending = _Appending(call)
        shared = {name: call.params.get(name) for name in _SHARED}
        try:
            appending.start(nursery, [{**params, **shared} for params in call.params["writers"]])
            return {"writers": {w.process: {"appended": w.next, "end": w.ended} for w in appending.serve()}}
        finally:
            appending.close()

    return handler


class _Appending(Crew):
    """`next` of a member is the first sequence number that it has not reported."""

    def _take(self, member: Member, body: bytes) -> None:
        self._rows(member, Taken.unpacked(body))

    def _finished(self, member: Member, how: Row) -> None:
        if "sequence" in how:
            self._indeterminate(member, how["sequence"], how["start_ns"], how["errno"], how["length"])

    def _vanished(self, member: Member) -> None:
        """The first number that it may have used is indeterminate for sure; its reservations cover the others."""
        if member.next < member.granted:
            self._indeterminate(member, member.next, member.last_ns, 0, self._params["record_bytes"])

    def _rows(self, member: Member, taken: Taken) -> None:
        count = len(taken.ends)
        member.next = taken.first + count
        member.last_ns = taken.ends[-1]
        common = self._common(member, count, self._params["record_bytes"])
        times = {"start_ns": _starts(taken), "end_ns": packed_times(taken.ends)}
        self._call.batch({**common, "value": {"from": record_id(member.writer, taken.first)}, **times})

    def _common(self, member: Member, rows: int, length: int) -> Row:
        return {
            "n": rows, "process": member.process, "at": member.at, "f": "append", "key": self._params["key"],
            "length": length,
        }  # fmt: skip

    def _indeterminate(self, member: Member, sequence: int, start_ns: int, errno: int, length: int) -> None:
        row = {"value": record_id(member.writer, sequence), "start_ns": start_ns, "end_ns": NEVER}
        self._call.batch({**self._common(member, 1, length), **row, "outcome": "info", "errno": errno})


def _starts(taken: Taken) -> Row:
    """A column of starts: where each record begins as the one before it ends, the first start says it all."""
    if not taken.pauses:
        return {"after": taken.begin_ns}
    starts = array("q", [taken.begin_ns]) + taken.ends[:-1]
    for place, begin_ns in taken.pauses:
        starts[place] = begin_ns
    return packed_times(starts)
