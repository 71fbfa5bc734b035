"""Histories of Jepsen and Knossos, and Porcupine's key-value logs: maps in EDN, one an event.

`[{:process 0, :type :invoke, :f :read, :value nil} ...]`, or the maps alone, or with the tag of a record. The
order in the file is the order in time. A failed call did not happen (Knossos leaves such out, and so do we), a cas
included: there a refused cas says nothing about the state.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from harness.checkers import model_for
from harness.foreign._edn import EdnError, Map, Tagged, Word, values
from harness.foreign._events import Event, Kind, Pairs, refuse
from harness.model.calls import Calls

_RECORDS = ("jepsen.history.Op", "knossos.op.Op")
_KINDS: dict[str, Kind] = {":invoke": "invoke", ":ok": "ok", ":fail": "fail", ":info": "info"}
_REGISTER = ("read", "write", "cas")
_STORE = ("get", "put", "append")
_LOCK = ("acquire", "release")
_STEPS = {":r": "r", ":read": "r", ":w": "w", ":write": "w"}


@dataclass(frozen=True)
class _Line:
    """A map of the file as it stands."""

    line: int
    process: str
    kind: Kind
    f: str
    map: Map

    @property
    def value(self) -> Any:
        return self.map.get("value")

    @property
    def told(self) -> bool:
        """Whether its value means something: what failed, or is unknown, may have an error there instead."""
        return self.kind in ("invoke", "ok")


def read_edn(file: str, text: str, *, failed_cas_is_seen: bool, store: bool = False) -> Calls:
    """The calls of an EDN history. `store` demands a key-value log. Raises UsageError with the line."""
    try:
        found, others = _lines(file, text)
    except EdnError as error:
        refuse(file, error.line, str(error))
    read = _Reader(file, keyed=_keyed(found))
    pairs = Pairs(file, frozenset({"cas"}) if failed_cas_is_seen else frozenset())
    for line in found:
        if store and line.f not in _STORE:
            refuse(file, line.line, f":f :{line.f} is no call of a key-value log", f"it knows {', '.join(_STORE)}")
        pairs.add(read.event(line))
    calls = pairs.done()
    notes = [f"{others} events of :nemesis were left out"] if others else []
    kinds = frozenset(line.f for line in found)
    form = "kv" if kinds and kinds <= frozenset(_STORE) else "edn"
    return Calls(file, form, model_for(kinds), calls, dropped=pairs.dropped, notes=tuple(notes))


def _lines(file: str, text: str) -> tuple[list[_Line], int]:
    """The events of clients, and how many others there are. Raises EdnError, UsageError."""
    found, others, index = [], 0, -1
    for line, map_ in _maps(file, text):
        place = map_.get("index")
        if isinstance(place, int):
            if place <= index:
                refuse(file, line, f":index {place} follows {index}: the events are not in their order")
            index = place
        if map_.get("process") == Word(":nemesis"):
            others += 1
        else:
            found.append(_line(file, line, map_))
    return found, others


def _maps(file: str, text: str) -> Iterator[tuple[int, Map]]:
    for line, value in values(text):
        if isinstance(value, tuple):
            for member in value:
                yield _map(file, line, member)
        else:
            yield _map(file, line, value)


def _map(file: str, line: int, value: Any) -> tuple[int, Map]:
    if isinstance(value, Tagged):
        if value.tag not in _RECORDS:
            refuse(file, line, f"#{value.tag} is a record that this version does not know")
        value = value.value
    if not isinstance(value, Map):
        refuse(file, line, f"an event is a map, not {str(value)[:40]}")
    return value.line, value


def _line(file: str, line: int, map_: Map) -> _Line:
    for name in ("process", "type", "f"):
        if map_.get(name) is None:
            refuse(file, line, f"an event has no :{name}")
    kind = _KINDS.get(str(map_.get("type")))
    if kind is None:
        refuse(file, line, f":type {map_.get('type')} is none of {' '.join(_KINDS)}")
    return _Line(line, str(map_.get("process")), kind, str(map_.get("f")).removeprefix(":"), map_)


def _keyed(lines: Sequence[_Line]) -> bool:
    """Whether values are `[key value]`, as jepsen.independent has them: the first cas, write or read tells it."""
    for f in _REGISTER[::-1]:
        line = next((line for line in lines if line.f == f and line.told and line.value is not None), None)
        if line:
            return _is_pair(line.value) and (f != "cas" or _is_pair(line.value[1]))
    return False


def _is_pair(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 2


class _Reader:
    """Makes events of lines, each after its `:f`."""

    def __init__(self, file: str, *, keyed: bool) -> None:
        self._file = file
        self._keyed = keyed

    def event(self, line: _Line) -> Event:
        if line.f in _REGISTER:
            return self._register(line)
        if line.f in _STORE:
            return self._store(line)
        if line.f in _LOCK:
            if line.told and line.value is not None:
                self._refuse(line, "a value", "locks that return one are not known")
            return self._made(line, "" if line.told else None)
        if line.f != "txn":
            self._refuse_f(line)
        return self._txn(line)

    def _refuse_f(self, line: _Line) -> NoReturn:
        known = ", ".join((*_REGISTER, *_LOCK, "txn", *_STORE))
        refuse(self._file, line.line, f":f :{line.f} is no call of any model", f"known are {known}")

    def _refuse(self, line: _Line, what: str, wanted: str) -> NoReturn:
        refuse(self._file, line.line, f"{line.f} has {what} {_told(line.value)}", wanted)

    def _made(self, line: _Line, key: str | None, argument: Hashable = None, result: Hashable = None) -> Event:
        return Event(line.line, line.process, line.kind, line.f, key, argument, result)

    def _register(self, line: _Line) -> Event:
        if not line.told:
            return self._made(line, None, result=False if line.f == "cas" else None)
        key, value = self._split(line)
        if isinstance(value, Map):
            self._refuse(line, "the value", "a register holds no maps here")
        if line.f == "read":
            return self._made(line, key, result=value if line.kind == "ok" else None)
        if line.f == "cas" and not _is_pair(value):
            self._refuse(line, "the value", "a cas has [old new], or [key [old new]] in a history with keys")
        return self._made(line, key, value, True if line.f == "cas" else None)

    def _split(self, line: _Line) -> tuple[str, Any]:
        if not self._keyed:
            if line.f != "cas" and isinstance(line.value, tuple):
                self._refuse(line, "the value", "other values of this history have no key; one file has one form")
            return "", line.value
        if not _is_pair(line.value):
            self._refuse(line, "the value", "in this history a value is [key value]; one file has one form")
        key, value = line.value
        return _told(key), value

    def _store(self, line: _Line) -> Event:
        key = line.map.get("key")
        if not isinstance(key, str):
            refuse(self._file, line.line, f"{line.f} has no :key that is a text")
        if not line.told:
            return self._made(line, key)
        is_get = line.f == "get"
        if isinstance(line.value, str):
            return self._made(line, key, None if is_get else line.value, line.value if is_get else None)
        if not (is_get and line.kind == "invoke" and line.value is None):
            self._refuse(line, "the value", "the values of a key-value log are texts")
        return self._made(line, key)

    def _txn(self, line: _Line) -> Event:
        if not line.told:
            return self._made(line, None)
        if not isinstance(line.value, tuple):
            self._refuse(
                line, "the value", "a transaction is a vector of [:read key value] and [:write key value]"
            )
        steps = tuple(self._step(line, step) for step in line.value)
        blank = tuple((kind, key, value if kind == "w" else None) for kind, key, value in steps)
        return self._made(line, "", blank, steps if line.kind == "ok" else None)

    def _step(self, line: _Line, step: Any) -> tuple[str, str, Hashable]:
        kind = _STEPS.get(str(step[0])) if isinstance(step, tuple) and len(step) == 3 else None
        if kind is None or isinstance(step[2], Map):
            self._refuse(
                line, "the value", "a step is [:read key value] or [:write key value]; lists are not known"
            )
        return kind, _told(step[1]), step[2]


def _told(value: Any) -> str:
    """A value as in the file, more or less."""
    if isinstance(value, tuple):
        return f"[{' '.join(map(_told, value))}]"[:60]
    if isinstance(value, Map):
        return "{..}"
    return "nil" if value is None else f'"{value}"'[:60] if isinstance(value, str) else str(value)[:60]
