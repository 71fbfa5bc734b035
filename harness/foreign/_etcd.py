"""The logs of the Jepsen test of etcd that Porcupine's tests judge: one line an event, a cas-register.

`INFO  jepsen.util - 3  :invoke  :cas  [1 2]`. In these a failed cas is an answer: the register held another value.
A failed read timed out and says nothing. Lines of other loggers are left out.
"""

from __future__ import annotations

import re
from collections.abc import Hashable

from harness.checkers import model_for
from harness.foreign._events import Event, Kind, Pairs, refuse
from harness.model.calls import Calls

_EVENT = re.compile(r"INFO\s+jepsen\.util\s+-\s+(\S+)\s+:(invoke|ok|fail|info)\s+:(\S+)\s+(.*?)\s*")
_KINDS: dict[str, Kind] = {"invoke": "invoke", "ok": "ok", "fail": "fail", "info": "info"}
_OURS = re.compile(r"INFO\s+jepsen\.util\s+-")
_OTHER = re.compile(r"(?:TRACE|DEBUG|INFO|WARN|ERROR)\s+\S+\s+-(?:\s.*)?")
_INTEGER = re.compile(r"-?[0-9]{1,18}")
_PAIR = re.compile(r"\[(-?[0-9]{1,18})\s+(-?[0-9]{1,18})\]")
_ERROR = re.compile(r":\S+|nil|\".*\"")


def read_etcd(file: str, text: str, *, failed_cas_is_seen: bool) -> Calls:
    """The calls of such a log. Raises UsageError with the line."""
    pairs = Pairs(file, frozenset({"cas"}) if failed_cas_is_seen else frozenset())
    others, kinds = 0, set()
    lines = text.split("\n")
    for number, line in enumerate(lines, start=1):
        found = _EVENT.fullmatch(line.rstrip("\r"))
        if found and found[1] != ":nemesis":
            kinds.add(found[3])
            pairs.add(_event(file, number, found[1], _KINDS[found[2]], found[3], found[4]))
        elif found or (_OTHER.fullmatch(line.rstrip("\r")) and not _OURS.match(line)):
            others += 1
        elif line.strip():
            cut = " (the last line: the file may be cut)" if number == len(lines) else ""
            refuse(file, number, f"no event of jepsen.util, and no line of another logger: {line[:60]!r}{cut}")
    notes = (f"{others} lines of the nemesis and of other loggers were left out",) if others else ()
    return Calls(file, "etcd", model_for(frozenset(kinds)), pairs.done(), dropped=pairs.dropped, notes=notes)


def _event(file: str, number: int, process: str, kind: Kind, f: str, value: str) -> Event:
    if not process.isdecimal():
        refuse(file, number, f"{process[:40]!r} is no process: those of clients are numbers")
    if f == "cas":
        return _cas(file, number, process, kind, value)
    if f not in ("read", "write"):
        refuse(file, number, f":{f[:40]} is no call of a cas-register")
    if kind in ("fail", "info"):
        return Event(number, process, kind, f)
    argument, result = _value(file, number, value), None
    if f == "write" and argument is None:
        refuse(file, number, "a write without a value")
    if f == "read":
        argument, result = None, argument
    return Event(number, process, kind, f, "", argument, result)


def _value(file: str, number: int, value: str) -> Hashable:
    if value == "nil":
        return None
    if not _INTEGER.fullmatch(value):
        refuse(file, number, f"{value[:40]!r} is neither nil nor a number")
    return int(value)


def _cas(file: str, number: int, process: str, kind: Kind, value: str) -> Event:
    found = _PAIR.fullmatch(value)
    if found:
        return Event(number, process, kind, "cas", "", (int(found[1]), int(found[2])), kind == "ok")
    if kind != "info" or not _ERROR.fullmatch(value):
        refuse(
            file,
            number,
            f"a cas with {value[:40]!r}, not [old new]",
            "a failed cas says here that the register held something else; with an error it may also say nothing",
        )
    return Event(number, process, kind, "cas")
