"""Reads a topology in passes: text, overrides, names, models, conflicts, and what drivers have to say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.loader.checks import Entry, entries, read_checks
from harness.loader.conflicts import check_conflicts
from harness.loader.messages import shown
from harness.loader.names import check_names
from harness.loader.overriding import override
from harness.loader.parsing import parse
from harness.loader.problems import Problems
from harness.loader.reading import check_size, read_text
from harness.loader.tree import Place, Tree, split_key
from harness.loader.validating import validated
from harness.model.catalog import Catalog
from harness.model.topology import Topology, Volume

Overrides = Sequence[tuple[str, str]]


def load(path: Path | str, catalog: Catalog, overrides: Overrides = ()) -> Topology:
    """The topology in the file `path`.

    `overrides` are pairs of dotted key and YAML text that replace values of the file (`--set`); a missing
    section is made. `checks.<id or kind>.<parameter>` reaches into a check. Raises TopologyError with every
    problem, sorted by place; one in an overridden value has the file `--set` and the override's number as line.
    """
    return loads(read_text(Path(path), Problems()), str(path), catalog, overrides)


def loads(text: str, file_name: str, catalog: Catalog, overrides: Overrides = ()) -> Topology:
    """As `load`, from text; `file_name` stands in the problems.

    A volume without a store gets the only store of its driver's kind. Checks come with all parameters, defaults
    filled in, as plain JSON data.
    """
    problems = Problems()
    check_size(len(text), file_name, problems)
    root = _root(text, file_name, problems)
    override(root, overrides, problems)
    _refuse_others(root, problems)
    topology = read_topology(root, catalog, problems)
    if topology is None or problems:
        problems.fail()
    return topology


def _root(text: str, file_name: str, problems: Problems) -> Tree:
    root = parse(text, file_name, problems)
    if root is None or root.value is None:
        if not problems:
            problems.add(Place(file_name, 1, 1), "", "is empty: a topology has at least a `name`")
        problems.fail()
    if not isinstance(root.value, dict):
        problems.at(root, f"must be a mapping (name: ..., services: ...), not {shown(root)}")
        problems.fail()
    return root


def _refuse_others(root: Tree, problems: Problems) -> None:
    """Files of other kinds that look like a topology: what they are for is told, not what they lack."""
    header = root.get("reproduced_when")
    if header is not None:
        problems.add(
            header.name_place,
            header.key,
            "the file is a scenario, not a topology: `harness reproduce FILE` runs it",
        )
        problems.fail()
    if root.get("name") is None and root.get("services") is not None and root.get("checks") is None:
        problems.add(
            root.place, "name", "is missing; of a Compose file `harness init --from FILE` makes a topology"
        )


def read_topology(root: Tree, catalog: Catalog, problems: Problems) -> Topology | None:
    """What is right of the tree; None, or problems, where something is not."""
    _take_as_written(root.get("cluster", "engine"))
    found = entries(root, problems)
    check_names(root, found, catalog, problems)
    checks = read_checks(found, catalog, problems)
    topology = validated(_without_checks(root), Topology, problems, stand_ins={"name": "unnamed"})
    if topology is None:
        return None
    whole = _with_stores(topology).model_copy(update={"checks": checks})
    names_are_right = not problems
    check_conflicts(whole, root, problems)
    if names_are_right:
        _driver_problems(whole, root, found, catalog, problems)
    return whole


def _take_as_written(version: Tree | None) -> None:
    """A version is no number: 20.10 is not 20.1."""
    if version is not None and isinstance(version.value, (int, float)) and not isinstance(version.value, bool):
        version.value = version.text


def _without_checks(root: Tree) -> Tree:
    sections: dict[str, Tree] = {name: tree for name, tree in root.entries().items() if name != "checks"}
    return Tree(root.key, root.place, root.name_place, sections)


def _with_stores(topology: Topology) -> Topology:
    """Volumes of other drivers than local name the store of that kind, where the file has left it out."""
    volumes = {name: _with_store(volume, topology) for name, volume in topology.volumes.items()}
    return topology.model_copy(update={"volumes": volumes})


def _with_store(volume: Volume, topology: Topology) -> Volume:
    fitting = [name for name, store in topology.stores.items() if store.kind == volume.driver]
    if volume.store or volume.driver == Volume().driver or len(fitting) != 1:
        return volume
    return volume.model_copy(update={"store": fitting[0]})


def _driver_problems(
    topology: Topology, root: Tree, checks: Sequence[Entry], catalog: Catalog, problems: Problems
) -> None:
    """What drivers, orchestrator and provider cannot express, where the loader has not said it already."""
    for key, message in catalog.problems(topology):
        tree, whole = _located(root, checks, key.strip("."))
        own_key = tree.key if whole else key
        if own_key not in problems.keys:
            problems.add(tree.place, own_key, message)


def _located(root: Tree, checks: Sequence[Entry], key: str) -> tuple[Tree, bool]:
    """The deepest value of the file along a key, and whether that is the whole key. Checks go by their id."""
    top, path = root, split_key(key) if key else []
    entry = next((entry for entry in checks if path[:2] == ["checks", entry.id]), None)
    if entry:
        top, path = entry.params, path[2:]
    chain = top.walk(path)
    return chain[-1], len(chain) == len(path) + 1
