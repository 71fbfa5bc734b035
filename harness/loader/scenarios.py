"""A scenario's file: a header of its own, and a whole topology below the key `topology`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from harness.loader.loading import read_topology
from harness.loader.messages import shown
from harness.loader.overriding import override
from harness.loader.parsing import parse
from harness.loader.problems import Problems
from harness.loader.reading import read_text
from harness.loader.tree import Place, Tree
from harness.loader.validating import validated
from harness.model.catalog import Catalog
from harness.model.topology import Topology

H = TypeVar("H", bound=BaseModel)
Second = Callable[[H, Tree, Problems], None]


def load_scenario(
    path: Path,
    header: type[H],
    catalog: Catalog,
    overrides: Sequence[tuple[str, str]] = (),
    *,
    second: Second[H] | None = None,
) -> tuple[H, Topology]:
    """Both parts. `overrides` are laid over the topology; `second` is a pass of the caller's over the header.

    Raises TopologyError with every problem and its place.
    """
    problems = Problems()
    root = parse(read_text(path, problems), str(path), problems)
    if root is None or not isinstance(root.value, dict):
        if not problems:
            place = root.place if root else Place(str(path), 1, 1)
            problems.add(
                place, "", f"must be a mapping (id: ..., topology: ...), not {shown(root) if root else 'empty'}"
            )
        problems.fail()
    if root.get("name") is not None and root.get("reproduced_when") is None:
        problems.add(root.place, "", "is a topology, not a scenario: `harness run FILE` runs it")
        problems.fail()
    below = root.get("topology")
    rest = {name: tree for name, tree in root.entries().items() if name != "topology"}
    head = validated(Tree("", root.place, root.name_place, dict(rest)), header, problems, also_known=["topology"])
    if below is None or not isinstance(below.value, dict):
        problems.add((below or root).place, "topology", "is missing: a scenario has a whole topology")
        problems.fail()
    topology = _read(below, catalog, overrides, problems)
    if head is not None and second is not None:
        second(head, root, problems)
    if head is None or topology is None or problems:
        problems.fail()
    return head, topology


def _read(
    below: Tree, catalog: Catalog, overrides: Sequence[tuple[str, str]], problems: Problems
) -> Topology | None:
    top = Tree("", below.place, below.name_place, below.value)
    override(top, overrides, problems)
    return read_topology(top, catalog, problems)
