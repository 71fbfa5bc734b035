"""Topologies from YAML: every mistake at once, each with its place, in plain words.

`load` and `loads` read, `from_compose` converts, `dump` writes, `topology_schema` and `render_schema` describe the
format to editors. `load_inventory` reads hosts that exist.
"""

from harness.loader.compose import Converted, from_compose
from harness.loader.dumping import dump
from harness.loader.inventory import load_inventory
from harness.loader.loading import load, loads
from harness.loader.problems import nearest
from harness.loader.schema import render_schema, topology_schema

__all__ = [
    "Converted",
    "dump",
    "from_compose",
    "load",
    "load_inventory",
    "loads",
    "nearest",
    "render_schema",
    "topology_schema",
]
