"""For every topology: dump and load give it back. For every text: a topology or a TopologyError, nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.loader import dump, load, loads
from harness.model.errors import Problem, TopologyError
from harness.model.topology import Topology
from tests.loader_catalog import CATALOG, read

DATA = Path(__file__).parent / "data" / "topologies"
WHOLE = (DATA / "whole.yaml").read_text()
TEN = (DATA / "ten-mistakes.yaml").read_text()

NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True)
#: Texts that YAML would take for something else are as likely as others.
TRAPS = st.sampled_from(
    ["on", "yes", "22:22", "010", "~", "", "=", "<<", "2024-01-01", "1e3", "a: b", "#", "- a", ".inf"]
)
TEXTS = TRAPS | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
NUMBERS = st.integers(-(10**17), 10**17) | st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | NUMBERS | TEXTS
VALUES = st.recursive(
    SCALARS, lambda v: st.lists(v, max_size=3) | st.dictionaries(TEXTS, v, max_size=3), max_leaves=6
)


def mappings(keys: st.SearchStrategy[str], values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(keys, values, max_size=3)


@st.composite
def services(draw: st.DrawFn, networks: list[str], volumes: list[str]) -> dict[str, Any]:
    mounts = (
        [{"source": draw(st.sampled_from(volumes)), "target": "/data"}] if draw(st.booleans()) and volumes else []
    )
    service: dict[str, Any] = {
        "image": draw(st.none() | TEXTS),
        "command": draw(st.none() | st.lists(TEXTS, max_size=3)),
        "environment": draw(mappings(TEXTS, TEXTS)),
        "user": draw(st.none() | TEXTS),
        "networks": {
            name: {"aliases": draw(st.lists(NAMES, max_size=2))} for name in networks if draw(st.booleans())
        },
        "volumes": mounts,
    }
    plain = draw(st.booleans())
    place: dict[str, Any] = {"node": "n1"} if plain else {"deploy": {"replicas": draw(st.integers(0, 9))}}
    return {**service, **place}


@st.composite
def checks(draw: st.DrawFn, networks: list[str]) -> dict[str, Any]:
    network = draw(st.none() | st.sampled_from(networks)) if networks else None
    faults = [{"fault": "pause", "at_s": draw(st.floats(0, 9)), "target": draw(st.sampled_from(["one", "n2"]))}]
    params = {"network": network, "packet_bytes": draw(st.none() | st.integers(68, 65535)), "id": draw(NAMES)}
    return {"mtu": {**params, "faults": faults if draw(st.booleans()) else []}}


@st.composite
def policies(draw: st.DrawFn) -> dict[str, Any]:
    nothing: st.SearchStrategy[dict[str, Any]] = st.just({})
    selector = nothing | st.fixed_dictionaries({"matchLabels": mappings(TEXTS, TEXTS)})
    peer = st.fixed_dictionaries({"podSelector": selector}) | st.just(
        {"ipBlock": {"cidr": "10.0.0.0/8", "except": []}}
    )
    rules = st.lists(st.fixed_dictionaries({"from": st.lists(peer, max_size=2)}), max_size=2)
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": draw(NAMES).rstrip("-")},
        "spec": {"podSelector": draw(selector), **draw(nothing | st.fixed_dictionaries({"ingress": rules}))},
    }


@st.composite
def raw_topologies(draw: st.DrawFn) -> dict[str, Any]:
    """As a YAML reader gives it, every cross-reference right."""
    networks, volumes = draw(st.lists(NAMES, max_size=3)), draw(st.lists(NAMES, max_size=2))
    return {
        "name": draw(NAMES),
        "description": draw(st.none() | TEXTS),
        "cluster": {
            "nodes": {"worker": draw(st.integers(1, 9))},
            "heartbeat_s": draw(st.none() | st.integers(1, 9)),
        },
        "networks": {
            name: {"driver": "overlay", "driver_opts": draw(mappings(NAMES, TEXTS))} for name in networks
        },
        "stores": {"pool": {"kind": "glusterfs", "nodes": ["n1"], "options": draw(mappings(TEXTS, VALUES))}},
        "volumes": {name: {"driver": draw(st.sampled_from(["local", "glusterfs"]))} for name in volumes},
        "services": draw(mappings(NAMES, services(networks, volumes))),
        "policies": draw(st.lists(policies(), max_size=2)),
        "checks": draw(st.lists(checks(networks), max_size=3, unique_by=lambda check: check["mtu"]["id"])),
    }


def loaded(raw: dict[str, Any]) -> Topology:
    return read(yaml.safe_dump(raw, allow_unicode=True))


@settings(max_examples=60, deadline=None)
@given(raw_topologies())
def test_what_is_dumped_loads_back_equal(raw: dict[str, Any]) -> None:
    topology = loaded(raw)
    assert loads(dump(topology), "dumped", CATALOG) == topology


@settings(max_examples=60, deadline=None)
@given(raw_topologies())
def test_dumping_is_stable(raw: dict[str, Any]) -> None:
    text = dump(loaded(raw))
    assert dump(read(text)) == text


def test_the_whole_format_loads_back_equal() -> None:
    topology = load(DATA / "whole.yaml", CATALOG)
    assert read(dump(topology)) == topology


def test_a_dump_has_no_anchors() -> None:
    same: dict[str, Any] = {"a": ["b"]}
    topology = Topology(
        name="x", stores={"s": {"kind": "local", "nodes": ["n1"], "options": {"x": same, "y": same}}}
    )
    assert "&" not in dump(topology)
    assert read(dump(topology)) == topology


# --- fuzz --------------------------------------------------------------------------------------------------


def survives(text: str, *overrides: tuple[str, str]) -> None:
    found: Sequence[Problem] | None = None
    try:
        loads(text, "fuzz", CATALOG, overrides)
    except TopologyError as error:
        found = error.problems
    if found is not None:
        assert found
        assert list(found) == sorted(found, key=lambda p: (p.file, p.line, p.column, p.key))
        assert all(p.line >= 1 and p.column >= 1 and p.message for p in found)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=80))
def test_any_text_is_survived(text: str) -> None:
    survives(text)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=" \n\t-:?[]{},&*!|>'\"%@`#~<=ax1.\\uU0", max_size=60))
def test_any_heap_of_yaml_signs_is_survived(text: str) -> None:
    survives(text)


@settings(max_examples=150, deadline=None)
@given(VALUES)
def test_any_data_is_survived(data: Any) -> None:
    survives(yaml.safe_dump(data, allow_unicode=True))


SECTIONS = ["name", "cluster", "networks", "stores", "volumes", "services", "policies", "checks"]
KEYS = st.sampled_from(
    [*SECTIONS, "nodes", "driver", "ipam", "ports", "deploy", "mtu", "faults", "id", "app", "subnet"]
)
SHAPES = st.recursive(
    SCALARS | KEYS, lambda v: st.lists(v, max_size=3) | st.dictionaries(KEYS | TEXTS, v, max_size=4), max_leaves=20
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(SECTIONS), SHAPES))
def test_any_data_in_the_right_sections_is_survived(data: dict[str, Any]) -> None:
    survives(yaml.safe_dump(data, allow_unicode=True))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([WHOLE, TEN]), st.data())
def test_any_edit_of_a_file_is_survived(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 40)))
    survives(text[:start] + data.draw(TEXTS | st.sampled_from(["  ", "\n", "[", "}", "*a", "- "])) + text[end:])


PATHS = st.lists(KEYS | st.sampled_from(["web", "app", "mtu-small", "[0]", "0", "7"]), max_size=5).map(".".join)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(PATHS | TEXTS, TEXTS | SHAPES.map(yaml.safe_dump)), max_size=3))
def test_any_override_is_survived(overrides: list[tuple[str, str]]) -> None:
    survives(WHOLE, *overrides)
