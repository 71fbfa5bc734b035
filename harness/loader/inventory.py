"""Reads an inventory of hosts, with every mistake at its place."""

from __future__ import annotations

from pathlib import Path

from harness.loader.messages import shown
from harness.loader.parsing import parse
from harness.loader.problems import Problems
from harness.loader.reading import check_size, read_text
from harness.loader.tree import Place
from harness.loader.validating import validated
from harness.model.inventory import Inventory


def load_inventory(path: Path) -> Inventory:
    """The inventory in the file `path`. Raises TopologyError with every problem."""
    problems = Problems()
    text = read_text(path, problems)
    check_size(len(text), str(path), problems)
    root = parse(text, str(path), problems)
    if root is None or root.value is None:
        if not problems:
            problems.add(Place(str(path), 1, 1), "", "is empty: an inventory has at least `hosts`")
        problems.fail()
    if not isinstance(root.value, dict):
        problems.at(root, f"must be a mapping (hosts: ...), not {shown(root)}")
        problems.fail()
    inventory = validated(root, Inventory, problems)
    if inventory is None or problems:
        problems.fail()
    return inventory.model_copy(update={"folder": str(path.absolute().parent)})
