"""Calls on an object with a sequential specification: what a general search places in one order.

A history of calls is what remains of any history, ours or a foreign one, once its importer has decided what each
line means. An event's place in its file is its time, or nanoseconds where the file has clocks.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from harness.model.history import NEVER


@dataclass(frozen=True, slots=True)
class Call:
    """One call. It precedes another iff its `end` is less than that one's `start`; else they are concurrent.

    `argument` and `result` are hashable; what they hold by `f` is the model's business (checkers/_models.py).
    A call that nobody answered has the end NEVER and the result None: it happened at any time, or never did.
    What certainly did not happen is not here at all. `place` says where it stands, for people: `line 7`.
    """

    process: str
    f: str
    key: str
    argument: Hashable
    result: Hashable
    start: int
    end: int
    place: str = ""

    @property
    def crashed(self) -> bool:
        return self.end == NEVER


@dataclass(frozen=True)
class Calls:
    """The calls of one file. `model` is the one that their kinds suggest, empty where there are none; `initial`
    is what registers hold at first; `dropped` counts what did not happen, `notes` say what else was left out.
    """

    file: str
    format: str
    model: str
    calls: tuple[Call, ...]
    initial: Hashable = None
    dropped: int = 0
    notes: tuple[str, ...] = ()
