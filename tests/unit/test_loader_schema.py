"""The JSON schema takes what people write, short forms included, and refuses what the loader refuses on sight."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.loader import load, render_schema, topology_schema
from tests.loader_catalog import CATALOG, problems, read
from tests.loader_jsonschema import accepts

WHOLE = Path(__file__).parent / "data" / "topologies" / "whole.yaml"
SCHEMA = topology_schema(CATALOG)


def parsed(text: str) -> Any:
    return yaml.safe_load(text)


def test_it_takes_the_whole_file_that_the_loader_takes() -> None:
    load(WHOLE, CATALOG)
    assert accepts(SCHEMA, parsed(WHOLE.read_text()))


@pytest.mark.parametrize(
    "section",
    [
        "services: {a: {ports: [80, '80:80', '53:53/udp', {target: 1}]}}",
        "services: {a: {volumes: ['v:/x', 'v:/x:ro', {target: /x}]}}",
        "services: {a: {networks: [app]}, b: {networks: {app: }}, c: {networks: {app: {aliases: [x]}}}}",
        "services: {a: {environment: [A=b]}, b: {environment: {A: 1, B: true, C: x}}}",
        "services: {a: {command: ls}, b: {command: [ls, -l]}, c: {user: 0}, d: }",
        "volumes: {v: , w: {driver_opts: {a: 1}}}",
        "networks:",
        "checks:",
        "checks: [connectivity, mtu: , mtu: {id: two}, concurrent-append: {volume: v, shape: {size: 1}}]",
        "checks: [mtu: {faults: [{fault: pause, target: n2}, {fault: pause, target: minority}]}]",
    ],
)
def test_it_takes_what_is_right(section: str) -> None:
    assert accepts(SCHEMA, parsed(f"name: x\n{section}\n"))


@pytest.mark.parametrize(
    "section",
    [
        "clutser: {}",
        "cluster: {provider: vagrant}",
        "cluster: {nodes: {worker: 65}}",
        "networks: {App: {driver: overlay}}",
        "networks: {app: {driver: macvlan}}",
        "networks: {app: }",
        "stores: {s: }",
        "services: {a: {ports: [http]}}",
        "services: {a: {ports: [{target: 70000}]}}",
        "services: {a: {volumes: [x]}}",
        "services: {a: {environment: [A]}}",
        "services: {a: {networks: [yes]}}",
        "checks: [dns]",
        "checks: [concurrent-append]",
        "checks: [concurrent-append: ]",
        "checks: [concurrent-append: {volume: v, shape: {size: 0}}]",
        "checks: [{mtu: , connectivity: }]",
        "checks: [{}]",
        "checks: [mtu: {packet_byte: 3}]",
        "checks: [mtu: {id: Big}]",
        "checks: [mtu: {faults: [{fault: restart}]}]",
        "checks: [mtu: {faults: [{fault: pause, target: none}]}]",
        "checks: [connectivity: {protocols: []}]",
        "checks: [connectivity: {protocols: [sctp]}]",
    ],
)
def test_it_refuses_what_the_loader_refuses(section: str) -> None:
    text = f"name: x\n{section}\n"
    assert problems(text)
    assert not accepts(SCHEMA, parsed(text))


def test_a_name_is_required() -> None:
    assert not accepts(SCHEMA, {})


def test_every_reference_leads_somewhere() -> None:
    assert set(_references(SCHEMA)) <= {f"#/$defs/{name}" for name in SCHEMA["$defs"]}
    assert "#/$defs/check-concurrent-append-Shape" in _references(SCHEMA)


def _references(schema: Any) -> list[str]:
    if isinstance(schema, list):
        return [ref for each in schema for ref in _references(each)]
    if not isinstance(schema, dict):
        return []
    own = [schema["$ref"]] if isinstance(schema.get("$ref"), str) else []
    return own + [ref for each in schema.values() for ref in _references(each)]


def test_names_of_the_catalog_are_offered_and_described() -> None:
    provider = SCHEMA["$defs"]["Cluster"]["properties"]["provider"]
    assert (provider["enum"], provider["default"]) == (["docker"], "docker")
    entry = SCHEMA["properties"]["checks"]["anyOf"][0]["items"]["anyOf"][0]
    assert entry["properties"]["connectivity"]["description"] == "All pairs."
    (params, _) = entry["properties"]["mtu"]["anyOf"]
    assert params["properties"]["network"]["description"] == "The network to measure"


def test_it_is_rendered_the_same_each_time() -> None:
    text = render_schema(CATALOG)
    assert text == render_schema(CATALOG)
    assert json.loads(text) == SCHEMA
    assert text == json.dumps(SCHEMA, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_a_catalog_whose_checks_all_need_parameters_has_no_bare_words() -> None:
    schema = topology_schema(replace(CATALOG, checks={"concurrent-append": CATALOG.checks["concurrent-append"]}))
    text = "name: x\nchecks: [concurrent-append: {volume: v}]\nvolumes: {v: }\n"
    assert read(text)
    assert accepts(schema, parsed(text))
    assert not accepts(schema, parsed("name: x\nchecks: [concurrent-append]\n"))
