"""Events in the order of a file, paired to calls: each invocation with its completion."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Literal, NoReturn

from harness.model.calls import Call
from harness.model.errors import UsageError
from harness.model.history import NEVER

Kind = Literal["invoke", "ok", "fail", "info"]


@dataclass(frozen=True)
class Event:
    """One line of a history. A completion that does not repeat its `key` or `argument` has None there."""

    line: int
    process: str
    kind: Kind
    f: str
    key: str | None = ""
    argument: Hashable = None
    result: Hashable = None


def refuse(file: str, line: int, message: str, hint: str | None = None) -> NoReturn:
    raise UsageError(f"{file}:{line}: {message}", hint=hint)


class Pairs:
    """Pairs the events of one file. Raises UsageError where one does not fit those before it.

    `failed_is_seen` names the calls whose failure is an answer (the state differed); any other failed call did not
    happen and is dropped. What is under way at the end of the file was never answered.
    """

    def __init__(self, file: str, failed_is_seen: frozenset[str] = frozenset()) -> None:
        self._file = file
        self._seen = failed_is_seen
        self._under_way: dict[str, tuple[int, Event]] = {}
        self._calls: list[Call] = []
        self._now = 0
        self.dropped = 0

    def add(self, event: Event) -> None:
        self._now += 1
        if event.kind == "invoke":
            self._invoke(event)
        else:
            self._complete(event)

    def done(self) -> tuple[Call, ...]:
        """All calls, in the order of their invocations."""
        for start, began in self._under_way.values():
            self._calls.append(_call(began, start, NEVER, None))
        self._under_way.clear()
        return tuple(sorted(self._calls, key=lambda call: call.start))

    def _invoke(self, event: Event) -> None:
        earlier = self._under_way.get(event.process)
        if earlier:
            refuse(
                self._file,
                event.line,
                f"process {event.process} invokes {event.f}, but line {earlier[1].line}, its {earlier[1].f}, "
                "has no completion",
                "a process does one call at a time: a line is missing, or the file was put together from several",
            )
        self._under_way[event.process] = (self._now, event)

    def _complete(self, event: Event) -> None:
        start, began = self._under_way.pop(event.process, (0, None))
        if began is None:
            refuse(
                self._file,
                event.line,
                f"process {event.process} completes {event.f}, which it did not invoke",
                "the completion stands there twice, or the invocation is missing",
            )
        if began.f != event.f or event.key not in (None, began.key):
            refuse(
                self._file,
                event.line,
                f"this completes {_told(event)}, but line {began.line} began {_told(began)}",
            )
        if event.argument is not None and event.argument != began.argument:
            refuse(self._file, event.line, f"this completes another {event.f} than line {began.line} began")
        if event.kind == "info":
            self._calls.append(_call(began, start, NEVER, None))
        elif event.kind == "ok" or event.f in self._seen:
            self._calls.append(_call(began, start, self._now, event.result))
        else:
            self.dropped += 1


def _told(event: Event) -> str:
    return f"{event.f} of key {event.key}" if event.key else event.f


def _call(began: Event, start: int, end: int, result: Hashable) -> Call:
    return Call(began.process, began.f, began.key or "", began.argument, result, start, end, f"line {began.line}")
