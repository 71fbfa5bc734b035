"""`promises` of a topology: one volume promises other than the matrix says, and the reason is told everywhere."""

from __future__ import annotations

import json
from importlib.resources import files

import pytest

from harness import session
from harness.loader import loads
from harness.model.errors import Problem, TopologyError
from harness.model.plan import plan_from_json, plan_to_json
from harness.promises import promises_of
from harness.session import CATALOG, Options
from tests.loader_jsonschema import accepts

VOLUMES = "name: x\nvolumes: {shared: {}, other: {}}\n"
RIGHT = "{volume: shared, promise: close-to-open, expected: holds, reason: one host only}"


def text(*overrides: str) -> str:
    """Overrides begin in line 4."""
    return VOLUMES + "promises:\n" + "".join(f"  - {override}\n" for override in overrides)


def problems(*overrides: str) -> list[Problem]:
    with pytest.raises(TopologyError) as raised:
        loads(text(*overrides), "x.yaml", CATALOG)
    return list(raised.value.problems)


def override(**changes: str) -> str:
    parts = {
        "volume": "shared",
        "promise": "close-to-open",
        "expected": "holds",
        "reason": "one host only",
    } | changes
    return "{" + ", ".join(f"{key}: {value}" for key, value in parts.items() if value) + "}"


def test_an_override_is_in_the_plan_with_its_reason_and_what_it_replaced() -> None:
    topology = loads(text(RIGHT), "x.yaml", CATALOG)
    plan = session.make_plan(topology, Options(seed=1), run="r1")
    stated = plan.volume("shared").promises
    matrix = promises_of("local", "own", {})
    was, source = matrix["close-to-open"]
    assert stated["close-to-open"] == (
        "holds",
        f"overridden by the topology: one host only; the matrix says {was} ({source})",
    )
    assert {**stated, "close-to-open": (was, source)} == matrix
    assert dict(plan.volume("other").promises) == matrix
    again = plan_from_json(json.loads(json.dumps(plan_to_json(plan))))
    assert again.topology == plan.topology
    assert tuple(again.volume("shared").promises["close-to-open"]) == stated["close-to-open"]


@pytest.mark.parametrize(
    ("wrong", "column", "key", "message", "near"),
    [
        (override(volume="shard"), 14, "volume", "unknown volume 'shard'", "shared"),
        (override(volume="db"), 14, "volume", "unknown volume 'db' (there is: other, shared)", None),
        (override(promise="close-to-opn"), 31, "promise", "unknown promise 'close-to-opn'", "close-to-open"),
        (override(expected="hold"), 56, "expected", "must be holds, may or unproven, not hold", "holds"),
        (override(expected="opt"), 56, "expected", "must be holds, may or unproven, not opt", None),
        (override(reason='" "'), 71, "reason", "an override says why", None),
    ],
)
def test_what_an_override_gets_wrong_is_told_with_its_place(
    wrong: str, column: int, key: str, message: str, near: str | None
) -> None:
    (found,) = problems(wrong)
    assert (found.line, found.column, found.key) == (4, column, f"promises[0].{key}")
    assert (found.message, found.nearest) == (message, near)


@pytest.mark.parametrize("key", ["volume", "promise", "expected", "reason"])
def test_every_part_of_an_override_is_required(key: str) -> None:
    (found,) = problems(override(**{key: ""}))
    assert (found.line, found.key) == (4, f"promises[0].{key}")
    assert "missing" in found.message or "required" in found.message


def test_a_promise_is_stated_once_for_a_volume() -> None:
    (found,) = problems(RIGHT, override(expected="may"))
    assert (found.line, found.key) == (5, "promises[1].promise")
    assert found.message == "close-to-open of shared is stated twice, also in line 4"
    loads(text(RIGHT, override(volume="other"), override(promise="shared")), "x.yaml", CATALOG)


def test_the_schema_takes_an_override_and_none_without_a_reason() -> None:
    schema = json.loads((files("harness") / "schema" / "topology.schema.json").read_text())
    entry = {"volume": "shared", "promise": "close-to-open", "expected": "holds", "reason": "one host only"}
    whole = {"name": "x", "volumes": {"shared": None}, "promises": [entry]}
    assert accepts(schema, whole)
    for key in entry:
        lacking = {name: value for name, value in entry.items() if name != key}
        assert not accepts(schema, {**whole, "promises": [lacking]})
    assert not accepts(schema, {**whole, "promises": [{**entry, "promise": "is-fast"}]})
