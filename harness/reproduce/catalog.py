"""The catalogue: one YAML file a known bug, with the topology that shows it and the predicates that tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from harness.loader.problems import Problems, nearest
from harness.loader.scenarios import load_scenario
from harness.loader.tree import Tree
from harness.loader.validating import validated
from harness.model.errors import UsageError
from harness.model.places import data_dir
from harness.model.topology import Topology
from harness.reproduce.predicates import PREDICATES
from harness.session import CATALOG

Asked = dict[str, dict[str, Any]]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Versions(_Part):
    """Engines that the thread names; both ends belong to it, None where it names none."""

    first: str | None = None
    last: str | None = None

    @property
    def words(self) -> str:
        return f"{self.first or 'any'} to {self.last or 'any'}"


class Control(_Part):
    """What makes the scenario healthy: values that are laid over its topology."""

    why: str
    set: dict[str, Any] = Field(..., min_length=1)


class Header(_Part):
    id: str = Field(..., pattern=r"^[a-z][a-z0-9-]{0,40}$")
    thread: str
    title: str
    affects: Versions = Versions()
    fixed_in: str = ""
    needs: list[str] = Field(default_factory=list, description="Features of the machine, by name")
    wants: list[str] = Field(default_factory=list, description="What else it takes, in words")
    healthy_when: Asked
    reproduced_when: Asked
    control: Control
    limit_s: float = Field(600.0, gt=0, le=7200, description="A run that takes longer is inconclusive")


class Scenario(_Part):
    """A scenario as it is read; `path` is read again for each set of overrides."""

    path: Path
    header: Header

    @property
    def id(self) -> str:
        return self.header.id

    def topology(self, settings: Sequence[tuple[str, str]]) -> Topology:
        """With values laid over it. Raises TopologyError."""
        return load_scenario(self.path, Header, CATALOG, settings, second=_second)[1]


def read_scenario(path: Path) -> Scenario:
    """Raises TopologyError with every mistake and its line."""
    header, _ = load_scenario(path, Header, CATALOG, second=_second)
    return Scenario(path=path, header=header)


def catalog() -> Mapping[str, Path]:
    """The scenarios that travel with the package, by id."""
    return {path.stem: path for path in sorted((data_dir("topologies") / "reproduce").glob("*.yaml"))}


def find(name: str) -> Scenario:
    """By id, or by the path of a file of one's own. Raises UsageError, TopologyError."""
    known = catalog()
    if name in known:
        return read_scenario(known[name])
    if name.endswith((".yaml", ".yml")):
        return read_scenario(Path(name))
    near = nearest(name, known)
    meant = f" (did you mean {near!r}?)" if near else ""
    raise UsageError(
        f"there is no scenario {name!r}{meant}", hint=f"there are {', '.join(known)}; or a file of your own"
    )


def _second(header: Header, root: Tree, problems: Problems) -> None:
    """Predicates are known, one a key, with parameters that are theirs; they ask checks that there are."""
    checks = {str(entry.find("id").value) for entry in root.find("topology", "checks").items() if entry.get("id")}
    for item in root.find("topology", "checks").items():
        for kind, params in item.entries().items():
            named = params.get("id")
            checks.add(str(named.value) if named else kind)
    for key, asked in (("healthy_when", header.healthy_when), ("reproduced_when", header.reproduced_when)):
        tree = root.find(key)
        if len(asked) != 1:
            problems.at(tree, f"is one predicate with its parameters: {', '.join(PREDICATES)}")
        for name in asked:
            _predicate(tree.find(name), name, checks, problems)


def _predicate(tree: Tree, name: str, checks: set[str], problems: Problems) -> None:
    if name not in PREDICATES:
        problems.unknown(tree, "predicate", name, PREDICATES)
        return
    params = validated(tree, PREDICATES[name].params, problems)
    if params is not None and params.check not in checks:
        problems.unknown(tree.find("check"), "check", params.check, checks)
