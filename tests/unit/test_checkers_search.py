"""The general search: hand-made histories, injected bugs, and brute force on small random ones."""

from __future__ import annotations

import itertools
import math
import os
import random
import time
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import pytest

from harness.checkers import _linearizable
from harness.checkers._linearizable import concurrency, linearizable
from harness.checkers._models import ILLEGAL, MODELS, Model, model_for, parts
from harness.checkers._search import Budget, search
from harness.model.calls import Call
from harness.model.history import NEVER

HISTORIES = int(os.environ.get("HARNESS_HISTORIES", "2000"))
CHUNKS = 20


def call(f: str, argument: Hashable, result: Hashable, start: int, end: int = NEVER, key: str = "") -> Call:
    return Call(f"p{start}", f, key, argument, result, start, end)


def write(value: Hashable, start: int, end: int = NEVER) -> Call:
    return call("write", value, None, start, end)


def read(value: Hashable, start: int, end: int) -> Call:
    return call("read", None, value, start, end)


def cas(old: int, new: int, done: bool | None, start: int, end: int = NEVER) -> Call:
    return call("cas", (old, new), done, start, end)


def txn(*steps: tuple[str, str, Hashable], start: int, end: int = NEVER) -> Call:
    return call("txn", steps, None, start, end)


def verdict(model: str, *calls: Call) -> str:
    return linearizable(MODELS[model](), calls, timeout_s=60).verdict


class Example(NamedTuple):
    model: str
    calls: tuple[Call, ...]
    verdict: str


EXAMPLES = {
    "a read sees the write before it": Example("register", (write(1, 1, 2), read(1, 3, 4)), "pass"),
    "a read sees nothing at first": Example("register", (read(None, 1, 2), write(1, 3, 4)), "pass"),
    "a stale read": Example("register", (write(1, 1, 2), write(2, 3, 4), read(1, 5, 6)), "fail"),
    "a value that nobody wrote": Example("register", (write(1, 1, 2), read(7, 3, 4)), "fail"),
    "a value from the future": Example("register", (read(1, 1, 2), write(1, 3, 4)), "fail"),
    "two reads in the wrong order": Example(
        "register", (write(1, 1, 2), write(2, 3, 10), read(2, 4, 5), read(1, 6, 7)), "fail"
    ),
    "both orders of concurrent writes": Example(
        "register", (write(1, 1, 4), write(2, 1, 4), read(1, 5, 6), read(1, 7, 8)), "pass"
    ),
    "what ends as another begins is concurrent to it": Example(
        "register", (write(1, 1, 3), read(None, 3, 5)), "pass"
    ),
    "a crashed write took effect": Example("register", (write(1, 1), write(2, 1, 2), read(1, 3, 4)), "pass"),
    "a crashed write took effect late": Example(
        "register", (write(1, 1), write(2, 1, 2), read(2, 3, 4), read(1, 5, 6)), "pass"
    ),
    "a write of what is there already may have to wait": Example(
        "register", (write(1, 1, 2), write(1, 3, 10), write(2, 4, 5), read(2, 6, 7), read(1, 8, 9)), "pass"
    ),
    "a crashed write takes effect once": Example(
        "register", (write(1, 1), write(2, 2, 3), read(1, 4, 5), write(2, 6, 7), read(1, 8, 9)), "fail"
    ),
    "each of two equal crashed writes once": Example(
        "register",
        (write(1, 1), write(1, 1), write(2, 2, 3), read(1, 4, 5), write(2, 6, 7), read(1, 8, 9)),
        "pass",
    ),
    "many crashed writes": Example(
        "register", (*(write(n, 1) for n in range(2, 60)), write(1, 2, 3), read(0, 4, 5)), "fail"
    ),
    "many crashed writes, two of them seen": Example(
        "register",
        (*(write(n, 1) for n in range(2, 60)), write(1, 2, 3), read(9, 4, 5), read(7, 6, 7), read(9, 8, 9)),
        "fail",
    ),
    "nothing at all": Example("register", (), "unknown"),
    "no read": Example("register", (write(1, 1, 2),), "unknown"),
    "no write": Example("register", (read(None, 1, 2),), "unknown"),
    "a cas that was done": Example("cas-register", (write(1, 1, 2), cas(1, 2, True, 3, 4), read(2, 5, 6)), "pass"),
    "a cas from what is not there": Example("cas-register", (write(1, 1, 2), cas(3, 2, True, 3, 4)), "fail"),
    "a cas refused although it fits": Example("cas-register", (write(1, 1, 2), cas(1, 2, False, 3, 4)), "fail"),
    "a crashed write explains a refusal": Example(
        "cas-register", (write(1, 1, 2), write(5, 1), cas(1, 2, False, 3, 4)), "pass"
    ),
    "two cas of one value": Example(
        "cas-register", (write(1, 1, 2), cas(1, 2, True, 3, 6), cas(1, 3, True, 3, 6)), "fail"
    ),
    "a lock passed on": Example(
        "mutex",
        (call("acquire", None, None, 1, 2), call("release", None, None, 3, 6), call("acquire", None, None, 4, 5)),
        "pass",
    ),
    "a lock granted twice": Example(
        "mutex", (call("acquire", None, None, 1, 2), call("acquire", None, None, 3, 4)), "fail"
    ),
    "a transaction sees both or neither": Example(
        "multi-register",
        (
            txn(("w", "x", 1), ("w", "y", 1), start=1, end=2),
            txn(("w", "x", 2), ("w", "y", 2), start=3, end=6),
            txn(("r", "x", 2), ("r", "y", 1), start=4, end=5),
        ),
        "fail",
    ),
    "the first value of a register is free": Example(
        "multi-register", (txn(("r", "x", 9), start=1, end=2), txn(("w", "x", 1), start=3, end=4)), "pass"
    ),
    "but it is one value": Example(
        "multi-register", (txn(("r", "x", 9), start=1, end=2), txn(("r", "x", 8), start=3, end=4)), "fail"
    ),
    "appended twice": Example(
        "key-value",
        (call("append", "a", None, 1, 2), call("append", "b", None, 1, 2), call("get", None, "ba", 3, 4)),
        "pass",
    ),
    "an append is lost": Example(
        "key-value",
        (call("append", "a", None, 1, 2), call("append", "b", None, 3, 4), call("get", None, "b", 5, 6)),
        "fail",
    ),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples(name: str) -> None:
    example = EXAMPLES[name]
    assert verdict(example.model, *example.calls) == example.verdict


# --- brute force -------------------------------------------------------------------------------------------


def brute_force(model: Model, calls: Sequence[Call], *, until: int = NEVER - 1) -> bool:
    """Whether any order of all calls answered by `until` and any of the others is legal: all of them are tried."""
    answered = [c for c in calls if c.end <= until]
    others = [c for c in calls if c.start <= until < c.end]
    return any(
        _some_order(model, model.initial, [*answered, *taken])
        for count in range(len(others) + 1)
        for taken in itertools.combinations(others, count)
    )


def _some_order(model: Model, state: Hashable, left: list[Call]) -> bool:
    if not left:
        return True
    for chosen in left:
        if any(other.end < chosen.start for other in left):
            continue
        after = model.step(state, chosen)
        if after is not ILLEGAL and _some_order(model, after, [c for c in left if c is not chosen]):
            return True
    return False


def random_calls(model: str, rng: random.Random) -> list[Call]:
    """Up to eight calls of up to four processes, answered by an object that is right most of the time."""
    object_, calls = MODELS[model](), []
    state = object_.initial
    free_at = [0] * rng.randint(1, 4)
    crashes = rng.choice([0, 0.2, 0.5])
    for _ in range(rng.randint(0, 8)):
        process = rng.randrange(len(free_at))
        start = free_at[process] + rng.randint(1, 6)
        end = start + rng.randint(0, 8)
        made = random_call(model, state, rng, start, end)
        after = object_.step(state, made)
        state = state if after is ILLEGAL else after
        crashed = rng.random() < crashes
        calls.append(call(made.f, made.argument, None, start) if crashed else made)
        free_at[process] = NEVER // 2 if crashed else end
    return [c for c in calls if c.start < NEVER // 4]


def random_call(model: str, state: Hashable, rng: random.Random, start: int, end: int) -> Call:
    f = rng.choice(sorted(MODELS[model]().kinds))
    value = rng.randint(1, 2)
    seen = state if rng.random() < 0.7 else rng.choice([None, "", 1, 2])
    if f == "cas":
        return cas(value, rng.randint(1, 2), rng.random() < 0.5, start, end)
    if f in ("read", "get"):
        return call(f, None, seen, start, end)
    if f == "txn":
        keys = rng.sample("xyz", rng.randint(1, 2))
        held: dict[str, int] = dict(state)  # type: ignore[call-overload]
        steps = [(rng.choice("rw"), k, held.get(k, value) if rng.random() < 0.7 else value) for k in keys]
        return txn(*steps, start=start, end=end)
    return call(f, str(value) if model == "key-value" else value, None, start, end)


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_the_same_as_trying_all_orders(chunk: int) -> None:
    rng = random.Random(chunk)
    found = set()
    for _ in range(math.ceil(HISTORIES / CHUNKS)):
        name = rng.choice(sorted(MODELS))
        calls = random_calls(name, rng)
        model = MODELS[name]()
        expected = brute_force(model, calls)
        assert (verdict(name, *calls) != "fail") == expected, (name, calls)
        found.add((name, expected))
    assert HISTORIES < 2000 or {name for name, _ in found} == set(MODELS)
    assert {expected for _, expected in found} == {True, False}


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_the_witness_is_the_shortest_prefix_without_an_order(chunk: int) -> None:
    """Up to just before the answer that is named there is an order, with it there is none."""
    rng = random.Random(1000 + chunk)
    for _ in range(math.ceil(HISTORIES / CHUNKS)):
        name = rng.choice(sorted(MODELS))
        model, calls = MODELS[name](), random_calls(name, rng)
        found = search(model, calls, Budget(2**30, time.monotonic() + 60))
        if found.legal:
            continue
        stuck = found.stuck
        assert stuck is not None
        assert brute_force(model, calls, until=stuck.end - 1), (name, calls, stuck)
        assert not brute_force(model, calls, until=stuck.end), (name, calls, stuck)


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_zones_and_search_and_all_orders_agree_where_values_are_written_once(chunk: int) -> None:
    rng = random.Random(2000 + chunk)
    found = set()
    for _ in range(math.ceil(HISTORIES / CHUNKS)):
        calls = written_once(random_calls("register", rng), rng)
        model = MODELS["register"]()
        zoned = linearizable(model, calls, timeout_s=60)
        searched = search(model, calls, Budget(2**30, time.monotonic() + 60)).legal
        assert zoned.checker == "zones, register"
        assert (zoned.verdict != "fail") == searched == brute_force(model, calls), calls
        found.add(searched)
    assert found == {True, False}


def written_once(calls: Sequence[Call], rng: random.Random) -> list[Call]:
    """The same, but each write has a value of its own; a read mostly brings one that was begun before."""
    renamed = []
    for number, c in enumerate(calls, start=1):
        begun = [n for n, w in enumerate(calls, start=1) if w.f == "write" and w.start <= c.end]
        seen = rng.choice([None, *begun[-3:]] if rng.random() < 0.8 else [None, *range(1, 10)])
        if c.f == "write":
            renamed.append(call("write", number, None, c.start, c.end))
        else:
            renamed.append(call("read", None, None if c.crashed else seen, c.start, c.end))
    return renamed


def test_the_four_calls_that_no_order_fits_are_named() -> None:
    calls = [write(1, 1, 2), write(2, 3, 4), read(2, 5, 6), read(1, 7, 8)]
    found = linearizable(MODELS["register"](), calls, timeout_s=60)
    assert found.verdict == "fail"
    told = [line.strip() for line in found.witness.splitlines()]
    assert told == [
        "no order fits these calls, since a value stands from its write to its last read.",
        "process p1: write 1",
        "had ended when this began:",
        "process p5: read 2",
        "and",
        "process p3: write 2",
        "had ended when this began:",
        "process p7: read 1",
    ]


# --- larger histories, with bugs on purpose ------------------------------------------------------------------


def long_history(count: int, processes: int, keys: int, rng: random.Random) -> list[Call]:
    """A linearizable history of cas-registers: each call takes effect at a moment within it."""
    held: dict[str, int] = {}
    free_at = [0] * processes
    planned = []
    for number in range(count):
        process = number % processes
        start = free_at[process] + rng.randint(1, 20)
        moment = start + rng.randint(0, 20)
        free_at[process] = moment + rng.randint(0, 20)
        planned.append((moment, start, free_at[process], process))
    calls = []
    for _moment, start, end, process in sorted(planned):
        key, value = f"k{rng.randrange(keys)}", rng.randint(1, 5)
        f = rng.choice(["read", "write", "cas"])
        old, argument, result = rng.randint(1, 5), value, None
        if f == "read":
            calls.append(Call(f"p{process}", f, key, None, held.get(key), start, end))
            continue
        done = f == "write" or held.get(key) == old
        if done:
            held[key] = value
        made = (old, value) if f == "cas" else argument
        calls.append(Call(f"p{process}", f, key, made, done if f == "cas" else result, start, end))
    return calls


def test_a_long_history_passes_and_one_wrong_read_in_it_is_found() -> None:
    calls = long_history(3000, 6, 3, random.Random(1))
    good = linearizable(MODELS["cas-register"](), calls, timeout_s=120)
    assert (good.verdict, good.operations, good.keys) == ("pass", 3000, 3)
    where = next(n for n, c in enumerate(calls) if n > 2000 and c.f == "read")
    calls[where] = Call("p0", "read", calls[where].key, None, 77, calls[where].start, calls[where].end, "line 9")
    bad = linearizable(MODELS["cas-register"](), calls, timeout_s=120)
    assert bad.verdict == "fail"
    assert f"key {calls[where].key}: line 9, process p0: read 77 cannot be placed" in bad.witness


def test_a_lost_update_is_found_by_name() -> None:
    calls = [write(0, 1, 2), cas(0, 1, True, 3, 8), cas(0, 2, True, 4, 9), read(2, 10, 11)]
    found = linearizable(MODELS["cas-register"](), calls, timeout_s=60)
    assert found.verdict == "fail"
    assert "cas 0 to 2, done cannot be placed" in found.witness
    assert (
        "The 2 calls that were answered before it can be put in order; then the register holds 1." in found.witness
    )


# --- bounds ------------------------------------------------------------------------------------------------


def hard(writers: int = 24) -> list[Call]:
    """Concurrent appends that no get explains: all of their orders must be tried."""
    appends = [call("append", chr(97 + n), None, 1, 100) for n in range(writers)]
    return [*appends, call("get", None, "?", 101, 102)]


def test_memory_that_runs_out_is_unknown_and_says_where(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_linearizable, "MEMORY_BYTES", 2**21)
    found = linearizable(MODELS["key-value"](), hard(), timeout_s=600)
    assert found.verdict == "unknown"
    assert "the memory that it was given (2 MiB)" in found.witness
    assert "of 25 answered calls" in found.witness
    assert "up to 24 calls were under way at once" in found.witness


def test_time_that_runs_out_is_unknown() -> None:
    found = linearizable(MODELS["key-value"](), hard(), timeout_s=0)
    assert found.verdict == "unknown"
    assert "the time that it was given" in found.witness


def test_a_hard_key_does_not_hide_a_broken_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_linearizable, "MEMORY_BYTES", 2**22)
    easy = [call("put", "a", None, n, n, key="easy") for n in range(1, 200)]
    easy.append(call("get", None, "b", 300, 301, key="easy"))
    found = linearizable(MODELS["key-value"](), [*hard(), *easy], timeout_s=600)
    assert found.verdict == "fail"
    assert found.witness.startswith("key easy: ")


# --- small parts -------------------------------------------------------------------------------------------


def test_registers_that_share_a_transaction_are_one_object() -> None:
    calls = [
        txn(("w", "x", 1), start=1, end=2),
        txn(("w", "z", 1), start=1, end=2),
        txn(("r", "x", 1), ("w", "y", 1), start=3, end=4),
        txn(start=5, end=6),
    ]
    found = parts(MODELS["multi-register"](), calls)
    assert {name: len(members) for name, members in found.items()} == {"x y": 2, "z": 1}


def test_the_narrowest_model_is_chosen() -> None:
    assert model_for(frozenset({"read"})) == "register"
    assert model_for(frozenset({"cas", "read"})) == "cas-register"
    assert model_for(frozenset({"acquire"})) == "mutex"
    assert model_for(frozenset({"put", "get"})) == "key-value"
    assert model_for(frozenset({"read", "acquire"})) == ""
    assert model_for(frozenset()) == ""


def test_concurrency_counts_what_is_under_way_at_once() -> None:
    assert concurrency([]) == 0
    assert concurrency([write(1, 1, 2), write(2, 3, 4)]) == 1
    assert concurrency([write(1, 1), write(2, 3, 5), read(1, 5, 6)]) == 3
