"""Small sequential models. Each says what a call does to a state, and what of a call cannot be.

| model | f: argument -> result |
| --- | --- |
| register | write: value -> nothing; read: None -> value |
| cas-register | the same, and cas: (old, new) -> True or False |
| mutex | acquire, release: None -> nothing; it does not know who holds it |
| multi-register | txn: (("w", key, value) or ("r", key, None), ..) -> the same with what was read |
| key-value | get: None -> text; put, append: text -> nothing; a key begins empty |

A crashed call has no result: what it would have answered is free. A model is deterministic, and its states are
hashable and never change.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from typing import Final, Protocol

from harness.model.calls import Call

State = Hashable


class Illegal:
    """The only state that is none: the call cannot be here."""

    def __repr__(self) -> str:
        return "ILLEGAL"


ILLEGAL: Final = Illegal()


class Model(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def kinds(self) -> frozenset[str]:
        """The `f` that it knows."""

    @property
    def initial(self) -> State: ...
    def step(self, state: State, call: Call) -> State:
        """The state after `call`, or ILLEGAL where the call cannot have had its result in `state`."""

    def observes(self, call: Call) -> bool:
        """Whether no state is changed by an answered `call`, wherever it stands; but for a first value."""

    def overwrites(self, call: Call) -> bool:
        """Whether `call` is legal everywhere and the state after it does not depend on the one before it."""

    def lacks(self, calls: Sequence[Call]) -> str:
        """What acknowledged calls must be there before a pass means anything; empty where they are."""

    def tell(self, call: Call) -> str:
        """A call in words."""

    def tell_state(self, state: State) -> str: ...


def _answered(calls: Sequence[Call], *kinds: str) -> bool:
    return any(call.f in kinds and not call.crashed for call in calls)


class Register:
    name = "register"
    kinds = frozenset({"read", "write"})

    def __init__(self, initial: State = None) -> None:
        self.initial = initial

    def step(self, state: State, call: Call) -> State:
        if call.f == "write":
            return call.argument
        return state if call.crashed or call.result == state else ILLEGAL

    def observes(self, call: Call) -> bool:
        return call.f == "read"

    def overwrites(self, call: Call) -> bool:
        return call.f == "write"

    def lacks(self, calls: Sequence[Call]) -> str:
        if not _answered(calls, "read", "cas"):
            return "no acknowledged read"
        return "" if _answered(calls, "write", "cas") else "no acknowledged write"

    def tell(self, call: Call) -> str:
        return f"write {tell(call.argument)}" if call.f == "write" else f"read {tell(call.result)}"

    def tell_state(self, state: State) -> str:
        return f"the register holds {tell(state)}"


class CasRegister(Register):
    """A cas that answers False is an observation: the register held something else. Histories in which it says
    only that nothing happened must not have it at all.
    """

    name = "cas-register"
    kinds = frozenset({"read", "write", "cas"})

    def step(self, state: State, call: Call) -> State:
        if call.f != "cas":
            return super().step(state, call)
        old, new = _pair(call)
        if state == old:
            return ILLEGAL if call.result is False else new
        return ILLEGAL if call.result is True else state

    def observes(self, call: Call) -> bool:
        return call.f == "read" or (call.f == "cas" and call.result is False)

    def tell(self, call: Call) -> str:
        if call.f != "cas":
            return super().tell(call)
        old, new = _pair(call)
        answer = "" if call.crashed else ", done" if call.result is True else ", refused"
        return f"cas {tell(old)} to {tell(new)}{answer}"


def _pair(call: Call) -> tuple[State, State]:
    assert isinstance(call.argument, tuple)
    old, new = call.argument
    return old, new


class Mutex:
    name = "mutex"
    kinds = frozenset({"acquire", "release"})
    initial: State = False

    def step(self, state: State, call: Call) -> State:
        wanted = call.f == "acquire"
        return ILLEGAL if state is wanted else wanted

    def observes(self, call: Call) -> bool:
        return call.f not in self.kinds

    def overwrites(self, call: Call) -> bool:
        return call.f not in self.kinds

    def lacks(self, calls: Sequence[Call]) -> str:
        return "" if _answered(calls, "acquire") else "no acknowledged acquire"

    def tell(self, call: Call) -> str:
        return call.f

    def tell_state(self, state: State) -> str:
        return "the lock is held" if state else "the lock is free"


Txn = tuple[tuple[str, str, State], ...]


class MultiRegister:
    """Registers that a transaction reads and writes at once. What they hold at first is not in a history, so the
    first read of each says it.
    """

    name = "multi-register"
    kinds = frozenset({"txn"})
    initial: State = ()

    def step(self, state: State, call: Call) -> State:
        held: dict[str, State] = dict(state)  # type: ignore[call-overload]
        for kind, key, value in _txn(call):
            if kind == "w":
                held[key] = value
            elif not call.crashed and held.setdefault(key, value) != value:
                return ILLEGAL
        return tuple(sorted(held.items(), key=_by_key))

    def observes(self, call: Call) -> bool:
        return all(kind == "r" for kind, _key, _value in _txn(call))

    def overwrites(self, call: Call) -> bool:
        return call.f not in self.kinds

    def lacks(self, calls: Sequence[Call]) -> str:
        done = {kind for call in calls if not call.crashed for kind, _key, _value in _txn(call)}
        return "no acknowledged read" if "r" not in done else "" if "w" in done else "no acknowledged write"

    def tell(self, call: Call) -> str:
        words = {"r": "read", "w": "write"}
        return ", ".join(f"{words[kind]} {key} = {tell(value)}" for kind, key, value in _txn(call)) or "nothing"

    def tell_state(self, state: State) -> str:
        held = ", ".join(f"{key} = {tell(value)}" for key, value in state)  # type: ignore[attr-defined]
        return f"the registers hold {held or 'what they held at first'}"


def _by_key(item: tuple[str, State]) -> str:
    return item[0]


def _txn(call: Call) -> Txn:
    return call.argument if call.result is None else call.result  # type: ignore[return-value]


class KeyValue:
    name = "key-value"
    kinds = frozenset({"get", "put", "append"})
    initial: State = ""

    def step(self, state: State, call: Call) -> State:
        if call.f == "put":
            return call.argument
        if call.f == "append":
            return f"{state}{call.argument}"
        return state if call.crashed or call.result == state else ILLEGAL

    def observes(self, call: Call) -> bool:
        return call.f == "get"

    def overwrites(self, call: Call) -> bool:
        return call.f == "put"

    def lacks(self, calls: Sequence[Call]) -> str:
        if not _answered(calls, "get"):
            return "no acknowledged get"
        return "" if _answered(calls, "put", "append") else "no acknowledged put or append"

    def tell(self, call: Call) -> str:
        return f"get {tell(call.result)}" if call.f == "get" else f"{call.f} {tell(call.argument)}"

    def tell_state(self, state: State) -> str:
        return f"the key holds {tell(state)}"


#: By name, the narrowest first.
MODELS: dict[str, Callable[[], Model]] = {
    "register": Register,
    "cas-register": CasRegister,
    "mutex": Mutex,
    "multi-register": MultiRegister,
    "key-value": KeyValue,
}


def make_model(name: str, initial: State = None) -> Model:
    """The model of that name; registers hold `initial` at first."""
    if name in ("register", "cas-register"):
        return Register(initial) if name == "register" else CasRegister(initial)
    return MODELS[name]()


def model_for(kinds: frozenset[str]) -> str:
    """The narrowest model that knows all `kinds` of calls; empty where none does, or there are none."""
    return next((name for name, make in MODELS.items() if kinds and kinds <= make().kinds), "")


def tell(value: State) -> str:
    """A value in at most 40 characters; of a long one its end, which is what differs in an appended text."""
    text = "nothing" if value is None else repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 40 else f"..{text[-38:]}"


def parts(model: Model, calls: Sequence[Call]) -> dict[str, list[Call]]:
    """Calls by the independent object that they work on: a history is linearizable iff each part is.

    Source: P-compositionality, Horn and Kroening, arXiv 1504.00204. Registers that share a transaction are one.
    """
    if not isinstance(model, MultiRegister):
        by_key: defaultdict[str, list[Call]] = defaultdict(list)
        for call in calls:
            by_key[call.key].append(call)
        return dict(by_key)
    return _joined(calls)


def _joined(calls: Sequence[Call]) -> dict[str, list[Call]]:
    head: dict[str, str] = {}

    def find(key: str) -> str:
        while head.setdefault(key, key) != key:
            head[key] = head[head[key]]
            key = head[key]
        return key

    for call in calls:
        keys = [key for _kind, key, _value in _txn(call)]
        for key in keys:
            head[find(key)] = find(keys[0])
    together: defaultdict[str, list[Call]] = defaultdict(list)
    for call in calls:
        if _txn(call):
            together[find(_txn(call)[0][1])].append(call)
    names = {root: " ".join(sorted(key for key in head if find(key) == root)) for root in together}
    return {names[root]: found for root, found in together.items()}
