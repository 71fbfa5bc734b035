"""The list of checks: one ready check an entry, held against the parameters of its kind."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict

from harness.loader.messages import shown
from harness.loader.problems import Problems
from harness.loader.tree import Tree
from harness.loader.validating import validated
from harness.model.catalog import Catalog
from harness.model.topology import Check, Fault

MAX_CHECKS = 100
#: Keys of an entry that are the check's own, beside its parameters.
OWN_KEYS = ("id", "faults")
ID = r"^[a-z][a-z0-9-]{0,62}$"


@dataclass(frozen=True)
class Entry:
    """One entry of the list as it is written. `params` still holds `id` and `faults`."""

    kind: str
    tree: Tree
    params: Tree

    @property
    def id(self) -> str:
        """The id, whether it is well formed or not."""
        given = self.params.get("id")
        return self.kind if given is None else (given.text or str(given.value))


def entries(root: Tree, problems: Problems) -> list[Entry]:
    """The entries that have the shape of a check; the others are reported."""
    checks = root.get("checks")
    if checks is None or checks.value is None:
        return []
    if not isinstance(checks.value, list):
        problems.at(checks, f"must be a list of checks (- connectivity: {{}}), not {shown(checks)}")
    if len(checks.items()) > MAX_CHECKS:
        problems.at(checks, f"has {len(checks.items())} entries: at most {MAX_CHECKS} are allowed")
        return []
    return list(_shaped(checks, problems))


def _shaped(checks: Tree, problems: Problems) -> Iterator[Entry]:
    for tree in checks.items():
        if isinstance(tree.value, str):
            yield Entry(tree.value, tree, Tree(tree.key_of(tree.value), tree.place, tree.place, {}))
        elif len(tree.entries()) == 1:
            ((kind, params),) = tree.entries().items()
            yield Entry(kind, tree, params)
        else:
            problems.at(tree, _shape_words(tree))
    for kind, params in checks.entries().items():
        yield Entry(kind, params, params)


def _shape_words(tree: Tree) -> str:
    names = list(tree.entries())
    if names:
        first, second = names[:2]
        return f"is one check with its parameters: indent {second!r} below {first!r}, or begin it with a dash"
    return f"is one check with its parameters (- connectivity: {{}}), not {shown(tree)}"


def read_checks(found: list[Entry], catalog: Catalog, problems: Problems) -> list[Check]:
    """The checks that are right. Takes what is wrong out of the entries, so read references before this."""
    _report_doubles(found, problems)
    checks = (_check(entry, catalog, problems) for entry in found)
    return [check for check in checks if check]


def _report_doubles(found: list[Entry], problems: Problems) -> None:
    first: dict[str, Entry] = {}
    for entry in found:
        other = first.setdefault(entry.id, entry)
        if other is not entry:
            place = other.tree.place
            message = f"the id {entry.id!r} stands twice, also in line {place.line}: give one of them an `id`"
            problems.at(entry.params.get("id") or entry.tree, message)


def _check(entry: Entry, catalog: Catalog, problems: Problems) -> Check | None:
    if entry.params.value is None:
        entry.params.value = {}
    _check_id(entry, problems)
    faults = _faults(entry.params, catalog, problems)
    if not _known(entry, catalog, problems):
        return None
    if not isinstance(entry.params.value, dict):
        problems.at(entry.params, f"must be a mapping of parameters, not {shown(entry.params)}")
        return None
    model = catalog.checks[entry.kind]
    params = validated(_without_own(entry.params), model, problems, also_known=OWN_KEYS)
    if params is None:
        return None
    return Check(kind=entry.kind, id=entry.id, params=params.model_dump(mode="json"), faults=faults)


def _known(entry: Entry, catalog: Catalog, problems: Problems) -> bool:
    if entry.kind in catalog.checks:
        return True
    if entry.kind in catalog.checks_later:
        problems.at(entry.params, f"not supported yet: check {entry.kind!r}")
    else:
        problems.unknown(entry.params, "check", entry.kind, catalog.checks)
    return False


def _check_id(entry: Entry, problems: Problems) -> None:
    given = entry.params.get("id")
    if given is not None and not (isinstance(given.value, str) and re.fullmatch(ID, given.value)):
        problems.at(given, f"{shown(given)} is no id: a-z, 0-9 and -, beginning with a letter, 63 at most")


def _faults(params: Tree, catalog: Catalog, problems: Problems) -> list[Fault]:
    given = params.get("faults")
    if given is None or not isinstance(given.value, list):
        return (validated(given, list[Fault], problems) or []) if given else []
    return [fault for item in given.items() if (fault := _fault(item, catalog, problems))]


class _NoParams(BaseModel):
    model_config = ConfigDict(extra="forbid")


#: Keys that every fault has; what else stands beside them is the fault's own.
_FAULT_KEYS = tuple(name for name in Fault.model_fields if name != "params")


def _fault(item: Tree, catalog: Catalog, problems: Problems) -> Fault | None:
    """One fault, its own keys held against its own model."""
    if not isinstance(item.value, dict):
        return validated(item, Fault, problems)
    name = item.get("fault")
    model = catalog.fault_params.get(str(name.value), _NoParams) if name else _NoParams
    shared = {key: tree for key, tree in item.entries().items() if key in _FAULT_KEYS}
    own = {key: tree for key, tree in item.entries().items() if key not in _FAULT_KEYS}
    fault = validated(Tree(item.key, item.place, item.name_place, shared), Fault, problems)
    params = validated(Tree(item.key, item.place, item.name_place, own), model, problems, also_known=_FAULT_KEYS)
    if fault is None or params is None:
        return None
    return fault.model_copy(update={"params": params.model_dump(mode="json")})


def _without_own(params: Tree) -> Tree:
    values: dict[str, Any] = {name: tree for name, tree in params.entries().items() if name not in OWN_KEYS}
    return Tree(params.key, params.place, params.name_place, values)
