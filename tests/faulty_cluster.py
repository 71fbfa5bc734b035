"""A cluster of fakes for faults: a wire, and nodes with what a fault of every kind asks and changes on them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from harness.model.places import STORES_DIR
from harness.ports import Cluster, Host, Result
from tests.fakes import Answer, FakeHost, FakeLifecycle, FakeWire
from tests.faulty_nodes import Inside, Links, knocked
from tests.faulty_pods import Plane

NODES = {"n1": "192.0.2.1", "n2": "192.0.2.2", "n3": "192.0.2.3"}


class Bridge:
    """nft, ip and tc on a fake wire: rules that drop between ports, and what nodes send that meets them."""

    def __init__(self) -> None:
        self.tables: dict[str, str] = {}
        self.dropped = 0
        self.links = Links(list(NODES))
        self.inside = {name: Inside() for name in NODES}
        programs: dict[tuple[str, ...], Result | Answer] = {
            ("nft",): self.nft,
            ("ip",): self.links.ip,
            ("tc",): self.links.tc(""),
        }
        self.wire = FakeHost("wire", address="", answers=programs)
        self.drained: set[str] = set()
        self.states: dict[str, str] = {}
        self.full: set[str] = set()
        self.evicted: set[str] = set()
        self.plane = Plane(list(NODES))
        self.hosts = {
            name: FakeHost(
                name,
                address=ip,
                answers={
                    ("ping",): self._ping,
                    ("bash",): self._bash,
                    ("docker",): self._docker(name),
                    ("sh",): self._sh(name),
                    ("tc",): self.links.tc(name),
                    ("ethtool",): Result(0, "", ""),
                    ("kubectl",): self.plane.kubectl,
                    ("systemctl",): self.plane.systemctl(name),
                    ("python3",): self._python(name),
                    **dict.fromkeys([("test",), ("cat",), ("rm",), ("touch",)], self._file(name)),
                },
            )
            for name, ip in NODES.items()
        }

    def _bash(self, argv: Sequence[str], _stdin: bytes) -> Result:
        """A packet to a port of another node."""
        if not knocked(list(self.tables.values()), argv[5]):
            return Result(0, "", "")
        self.dropped += 2
        return Result(0, "silent", "")

    def _file(self, node: str) -> Answer:
        def file(argv: Sequence[str], stdin: bytes) -> Result:
            ours = self.plane.file(node, argv)
            return ours if ours is not None else self.inside[node].file(argv, stdin)

        return file

    def _python(self, node: str) -> Answer:
        def python(argv: Sequence[str], stdin: bytes) -> Result:
            if "bytes(1400)" in argv[2]:
                self.links.passed += 10
                return Result(0, "", "")
            if "AF_PACKET" in argv[2]:
                return Result(0, f"9 {9 * self.inside[node].offloads:d}", "")
            return self.inside[node].python(argv, stdin)

        return python

    def _sh(self, node: str) -> Answer:
        """A node that keeps one daemon of the store `pool`, called after its number: osd.1."""
        script = f"{STORES_DIR}/pool/daemons/osd.{node[1:]}"

        def sh(argv: Sequence[str], _stdin: bytes) -> Result:
            match list(argv[1:]):
                case ["-c", _, "sh", folder] if folder == STORES_DIR:
                    return Result(0, script, "")
                case ["-c", _, "sh", folder, kept] if folder == STORES_DIR:
                    return Result(0, f"{STORES_DIR}/pool/{kept}", "")
                case [named, verb] if named == f"{STORES_DIR}/pool/disk":
                    return kept_script(self.full, node, verb, ("full", "free"))
                case [named, verb] if named == f"{STORES_DIR}/pool/client":
                    return kept_script(self.evicted, node, verb, ("evicted", "admitted"))
                case ["-c", _, "sh", named] if named == script:
                    return Result(0, self.states.get(node, "S"), "")
                case ["-c", _, "sh", named, signal] if named == script:
                    self.states[node] = {"KILL": "", "STOP": "T", "CONT": "S"}[signal]
                case [named, "start"] if named == script:
                    self.states.pop(node, None)
                case _:
                    return self.inside[node].sh(argv)
            return Result(0, "", "")

        return sh

    def _docker(self, node: str) -> Answer:
        """A swarm of which n1 is the manager, with a task on every node that takes some."""

        def docker(argv: Sequence[str], _stdin: bytes) -> Result:
            ours = self.inside[node].docker(argv)
            if ours is not None:
                return ours
            match list(argv[1:]):
                case ["info", *_]:
                    return Result(0, "true" if node == "n1" else "false", "")
                case ["ps", *_]:
                    return Result(0, "" if node in self.drained else "t1", "")
                case ["node", "ls", "--quiet", "--filter", wanted]:
                    named = wanted.removeprefix("node.label=harness.name=")
                    return Result(0, "\n".join([named] if named in NODES else sorted(self.drained)), "")
                case ["node", "update", *_, "--availability", "drain", named]:
                    self.drained.add(named)
                case ["node", "update", *_, "--availability", "active", named]:
                    self.drained.discard(named)
                case _:
                    return Result(1, "", f"unknown: {argv}")
            return Result(0, "", "")

        return docker

    def nft(self, argv: Sequence[str], stdin: bytes) -> Result:
        match list(argv[1:]):
            case ["-f", "-"]:
                [name] = re.findall(r"table bridge (\S+)", stdin.decode())
                self.tables[name] = stdin.decode()
            case ["-j", "list", "tables"]:
                rows = [{"table": {"family": "bridge", "name": name}} for name in self.tables]
                return Result(0, json.dumps({"nftables": [{"metainfo": {}}, *rows]}), "")
            case ["-j", "list", "table", "bridge", name]:
                if name not in self.tables:
                    return Result(1, "", "Error: No such file or directory")
                counter = {"rule": {"expr": [{"match": {}}, {"counter": {"packets": self.dropped}}]}}
                return Result(0, json.dumps({"nftables": [{"table": {}}, counter]}), "")
            case ["delete", "table", "bridge", name]:
                del self.tables[name]
            case _:
                return Result(1, "", f"syntax error: {argv}")
        return Result(0, "", "")

    def _ping(self, argv: Sequence[str], _stdin: bytes) -> Result:
        cut = any(" drop" in text and "dport" not in text for text in self.tables.values())
        self.dropped += cut
        small = min([1500, *self.links.mtus.values()])
        large = int(argv[argv.index("-s") + 1]) + 28 > small if "-s" in argv else False
        return Result(1 if cut or large or self.links.down else 0, self.links.pings(), "")


def kept_script(taken: set[str], node: str, verb: str, states: tuple[str, str]) -> Result:
    """What a node keeps of a store, by verbs that take away, give back and tell."""
    was = node in taken
    match verb:
        case "state":
            return Result(0, states[0] if was else states[1], "")
        case "fill" | "evict":
            taken.add(node)
            return Result(0, "", "")
    taken.discard(node)
    return Result(0, "given back" if was else "", "")


def make_cluster() -> Cluster:
    bridge = Bridge()
    hosts: dict[str, Host] = dict(bridge.hosts)
    return Cluster("harness-r1", "r1", "fake", hosts, FakeWire(bridge.wire), FakeLifecycle(NODES))
