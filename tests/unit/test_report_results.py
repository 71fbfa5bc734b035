"""results.json and verdicts.json: the format of the schema, read back, and written whole or not at all."""

from __future__ import annotations

import dataclasses
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.model.errors import EnvironmentBroken
from harness.model.run import overall, run_from_json
from harness.model.verdict import Skip, Verdict
from harness.report import write_all
from harness.report.results import results, write_results
from tests.report_sample import sample_view

VIEW = sample_view()
SCHEMA: dict[str, Any] = json.loads((files("harness") / "schema" / "results.schema.json").read_text())
TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,), "integer": (int,), "number": (int, float), "object": (dict,), "array": (list,),
    "null": (type(None),), "boolean": (bool,),
}  # fmt: skip


def breaches(value: Any, schema: dict[str, Any], path: str = "$") -> list[str]:
    """Where `value` is not what `schema` says; the part of JSON Schema that our schema uses."""
    if "$ref" in schema:
        return breaches(value, SCHEMA["$defs"][schema["$ref"].rsplit("/", 1)[1]], path)
    if "const" in schema or "enum" in schema:
        allowed = schema.get("enum", [schema.get("const")])
        return [] if value in allowed else [f"{path}: {value!r} is none of {allowed}"]
    named = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if not isinstance(value, tuple(kind for name in named for kind in TYPES[name])) or isinstance(value, bool) != (
        "boolean" in named
    ):
        return [f"{path}: {value!r} is no {named}"]
    if isinstance(value, list):
        return [found for i, item in enumerate(value) for found in breaches(item, schema["items"], f"{path}[{i}]")]
    if isinstance(value, dict):
        return _object_breaches(value, schema, path)
    return [f"{path}: {value} is too small"] if "minimum" in schema and value < schema["minimum"] else []


def _object_breaches(value: dict[str, Any], schema: dict[str, Any], path: str) -> list[str]:
    properties, extra = schema.get("properties", {}), schema.get("additionalProperties", True)
    found = [f"{path}: lacks {key}" for key in schema.get("required", []) if key not in value]
    for key, item in value.items():
        if key in properties:
            found += breaches(item, properties[key], f"{path}.{key}")
        elif extra is False:
            found.append(f"{path}: {key} is unknown")
        elif isinstance(extra, dict):
            found += breaches(item, extra, f"{path}.{key}")
    return found


def test_sample_is_what_the_schema_says() -> None:
    assert breaches(results(VIEW.run), SCHEMA) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"verdict": "green"}, "$.verdict: 'green' is none of"),
        ({"seed": "7"}, "$.seed: '7' is no"),
        ({"mood": 1}, "$: mood is unknown"),
        ({"faults": [{"name": "pause"}]}, "$.faults[0]: lacks check"),
        ({"duration_s": -1}, "$.duration_s: -1 is too small"),
    ],
)
def test_schema_refuses(change: dict[str, Any], said: str) -> None:
    assert any(breach.startswith(said) for breach in breaches({**results(VIEW.run), **change}, SCHEMA))


def test_every_field_of_the_contract_is_required() -> None:
    assert set(SCHEMA["required"]) == set(SCHEMA["properties"]) == set(results(VIEW.run))
    check = SCHEMA["$defs"]["check"]
    assert set(check["required"]) == set(check["properties"]) == set(results(VIEW.run)["checks"][0])


def test_results_come_back(tmp_path: Path) -> None:
    write_results(VIEW.run, tmp_path)
    back = run_from_json(json.loads((tmp_path / "results.json").read_text()))
    assert back.to_json() == VIEW.run.to_json()
    assert back.all_skipped == VIEW.run.all_skipped


def test_numbers_that_json_cannot_hold_become_null() -> None:
    odd = Verdict(
        "a", "a", "b", "pass", "", figures={"x_s": float("nan"), "y_s": np.float64(2.5), "n": np.int64(3)}
    )
    figures = results(dataclasses.replace(VIEW.run, checks=(odd,)))["checks"][0]["figures"]
    assert json.loads(json.dumps(figures, allow_nan=False)) == {"x_s": None, "y_s": 2.5, "n": 3}


@pytest.mark.parametrize(
    "data",
    [
        {"schema": 2},
        {**results(VIEW.run), "verdict": "green"},
        {key: value for key, value in results(VIEW.run).items() if key != "started"},
        {**results(VIEW.run), "checks": [{"id": "a"}]},
        {**results(VIEW.run), "checks": [{**results(VIEW.run)["checks"][0], "failures": [{"from": "a"}]}]},
    ],
)
def test_what_is_no_results_file_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"results\.json"):
        run_from_json(data)


PASSED = Verdict("a", "a", "b", "pass", "")


def test_run_without_a_check_is_unknown() -> None:
    assert overall([]) == "unknown"


def test_run_that_broke_off_is_not_green() -> None:
    assert overall([PASSED]) == "pass"
    assert overall([PASSED], error="the engine died") == "unknown"


def test_skip_fails_where_none_is_allowed() -> None:
    skip = Skip("a", "vip", "ipvs")
    assert overall([PASSED], skipped=[skip]) == "pass"
    assert overall([PASSED], skipped=[skip], no_skip=True) == "fail"
    assert overall([dataclasses.replace(PASSED, skipped=(skip,))], no_skip=True) == "fail"


def test_everything_is_written_and_nothing_half(tmp_path: Path) -> None:
    write_all(VIEW, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "results.json",
        "verdicts.json",
        "junit.xml",
        "report.html",
    }


def test_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentBroken, match="cannot write"):
        write_all(VIEW, tmp_path / "missing")
