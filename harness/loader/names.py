"""Names that stand for something elsewhere: in the catalog, or in another section of the file.

Works on the file's own words, so that a mistake in a section hides nothing that refers to it.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError

from harness.loader.checks import Entry
from harness.loader.problems import Problems
from harness.loader.tree import Tree
from harness.model.catalog import Catalog, Names
from harness.model.topology import Cluster, Nodes, Volume
from harness.promises import NAMES as PROMISES

#: What a fault may be aimed at, beside a node's name.
TARGETS = ("one", "minority", "majority", "all", "manager", "worker")
#: Parameters of checks that name something of the topology, and its section.
_REFERENCES = {
    "network": "networks",
    "networks": "networks",
    "service": "services",
    "services": "services",
    "volume": "volumes",
}
_MODES = ("host", "none", "bridge")


def check_names(root: Tree, checks: Sequence[Entry], catalog: Catalog, problems: Problems) -> None:
    """Every name of the topology. Comes before the validation that takes mistakes out of `root`."""
    names = _Names(root, catalog, problems)
    names.cluster()
    names.networks()
    names.stores()
    names.volumes()
    names.promises()
    names.services()
    names.checks(checks)


class _Names:
    def __init__(self, root: Tree, catalog: Catalog, problems: Problems) -> None:
        self._root = root
        self._catalog = catalog
        self._problems = problems
        self._nodes = _node_names(root)

    def _section(self, name: str) -> dict[str, Tree]:
        section = self._root.get(name)
        return section.entries() if section else {}

    def _built(self, owner: Tree, path: Sequence[str], default: str, what: str, names: Names) -> None:
        """The name at `path` below `owner`, or the default that stands for it, is something that is built."""
        tree = owner.get(*path)
        name = default if tree is None else _text(tree)
        place = tree or owner.find(*path)
        if name and name in names.later:
            self._problems.at(place, f"not supported yet: {what} {name!r}")
        elif name and name not in names.built:
            self._problems.unknown(place, what, name, names.built)

    def _refers(self, tree: Tree | None, what: str, known: Sequence[str] | dict[str, Tree]) -> None:
        """A text is one of the known names. What is no text is left to validation."""
        name = _text(tree)
        if tree and name and name not in known:
            self._problems.unknown(tree, what, name, known)

    def _node(self, tree: Tree | None) -> None:
        if self._nodes is not None:
            self._refers(tree, "node", self._nodes)

    def cluster(self) -> None:
        default, catalog = Cluster(), self._catalog
        self._built(self._root, ("cluster", "provider"), default.provider, "provider", catalog.providers)
        self._built(
            self._root, ("cluster", "orchestrator"), default.orchestrator, "orchestrator", catalog.orchestrators
        )

    def networks(self) -> None:
        for network in self._section("networks").values():
            self._built(network, ["driver"], "", "network driver", self._catalog.network_drivers)

    def stores(self) -> None:
        for store in self._section("stores").values():
            self._built(store, ["kind"], "", "store kind", self._catalog.store_kinds)
            for node in store.find("nodes").items():
                self._node(node)

    def promises(self) -> None:
        """Every override is of a volume and a promise that there are, and only one is of both."""
        first: dict[tuple[str, str], Tree] = {}
        for override in self._root.find("promises").items():
            volume, promise = override.get("volume"), override.get("promise")
            self._refers(volume, "volume", self._section("volumes"))
            self._refers(promise, "promise", PROMISES)
            other = first.setdefault((_text(volume), _text(promise)), override)
            if other is not override and _text(volume) and promise:
                message = f"{_text(promise)} of {_text(volume)} is stated twice, also in line {other.place.line}"
                self._problems.at(promise, message)

    def volumes(self) -> None:
        for volume in self._section("volumes").values():
            self._built(volume, ["driver"], Volume().driver, "volume driver", self._catalog.volume_drivers)
            driver = _text(volume.get("driver")) or Volume().driver
            if volume.get("store"):
                self._store(volume.find("store"), driver)
            elif driver in self._catalog.volume_drivers.built - {Volume().driver} and not volume.get(
                "storage_class"
            ):
                self._only_store(volume, driver)

    def _store(self, tree: Tree, driver: str) -> None:
        stores = self._section("stores")
        self._refers(tree, "store", stores)
        kind = _text(stores[str(tree.value)].get("kind")) if str(tree.value) in stores else ""
        if kind and kind != driver:
            self._problems.at(tree, f"the store {tree.value!r} is of kind {kind}, the volume's driver is {driver}")

    def _only_store(self, volume: Tree, driver: str) -> None:
        found = [name for name, store in self._section("stores").items() if _text(store.get("kind")) == driver]
        if not found:
            self._problems.at(
                volume, f"the driver {driver} needs a store: add one of kind {driver} under `stores`"
            )
        elif len(found) > 1:
            self._problems.at(volume, f"name one with `store`: {' and '.join(found)} are of kind {driver}")

    def services(self) -> None:
        for service in self._section("services").values():
            self._node(service.get("node"))
            for name, tree in _attached(service).items():
                self._network(tree, name)
            for mount in service.find("volumes").items():
                source, name = _source(mount)
                if name and name not in self._section("volumes"):
                    self._problems.unknown(source, "volume", name, self._section("volumes"))

    def _network(self, tree: Tree, name: str) -> None:
        networks = self._section("networks")
        if name in networks:
            return
        if name in _MODES:
            self._problems.at(tree, f"{name} is no network of this file: write `network_mode: {name}`")
        else:
            self._problems.unknown(tree, "network", name, networks)

    def checks(self, checks: Sequence[Entry]) -> None:
        for entry in checks:
            for key, section in _REFERENCES.items():
                given = entry.params.get(key)
                for tree in (given.items() or [given]) if given else []:
                    self._refers(tree, section.removesuffix("s"), self._section(section))
            faults = entry.params.get("faults")
            for fault in faults.items() if faults else []:
                self._built(fault, ["fault"], "", "fault", self._catalog.faults)
                self._target(fault.get("target"))

    def _target(self, tree: Tree | None) -> None:
        """A node, or `STORE/DAEMON`: which daemons a store has only its nodes know."""
        store, slash, _ = _text(tree).partition("/")
        if tree and slash and store not in self._section("stores"):
            self._problems.unknown(tree, "store", store, self._section("stores"))
        elif self._nodes is not None and not slash:
            self._refers(tree, "target", [*TARGETS, *self._nodes])


def _text(tree: Tree | None) -> str:
    """Empty for what is no text."""
    return tree.value if tree and isinstance(tree.value, str) else ""


def _node_names(root: Tree) -> list[str] | None:
    """None where the file does not say clearly which nodes there are."""
    nodes = root.get("cluster", "nodes")
    try:
        return Nodes.model_validate(nodes.plain() if nodes else {}).names
    except ValidationError:
        return None


def _attached(service: Tree) -> dict[str, Tree]:
    """The networks of a service, in its long and its short form."""
    networks = service.get("networks")
    if networks is None:
        return {}
    return {**networks.entries(), **{_text(item): item for item in networks.items() if _text(item)}}


def _source(mount: Tree) -> tuple[Tree, str]:
    """The named volume of a mount, in its long and its short form; empty where it has none."""
    short = _text(mount)
    if short:
        source, colon, _ = short.partition(":")
        return mount, source if colon and not source.startswith(("/", ".", "~")) else ""
    kind = mount.get("type")
    if kind is not None and kind.value != "volume":
        return mount, ""
    source_tree = mount.get("source") or mount
    return source_tree, _text(source_tree)
