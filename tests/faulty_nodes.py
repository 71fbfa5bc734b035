"""Nodes and a wire that faults can strike: programs answer as the real ones do, as far as faults look."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from harness.faults import clock_skew
from harness.faults._tc import HANDLES
from harness.faults.drop_caches import NOTE
from harness.faults.kill_container import KILLED
from harness.faults.kill_engine import HELD, STRUCK
from harness.ports import Result

OK, NO = Result(0, "", ""), Result(1, "", "no")


@dataclass
class Links:
    """Both ends of every node's link: MTU, whether it is up, and what tc put on it. Shared by wire and nodes."""

    nodes: Sequence[str]
    mtus: dict[str, int] = field(default_factory=dict)
    down: set[str] = field(default_factory=set)
    handles: dict[str, str] = field(default_factory=dict)
    passed: int = 0

    def ip(self, argv: Sequence[str], _stdin: bytes) -> Result:
        match list(argv[1:]):
            case ["-json", "link", "show"]:
                rows = [
                    {
                        "ifname": f"port-{node}",
                        "mtu": self.mtus.get(f"port-{node}", 1500),
                        "flags": [] if f"port-{node}" in self.down else ["UP"],
                    }
                    for node in self.nodes
                ]
                return Result(0, json.dumps(rows), "")
            case ["link", "set", "dev", port, "down"]:
                self.down.add(port)
            case ["link", "set", "dev", port, "up"]:
                self.down.discard(port)
            case ["link", "set", "dev", port, "mtu", size]:
                self.mtus[port] = int(size)
            case _:
                return Result(1, "", f"unknown: {argv}")
        return OK

    def tc(self, where: str) -> Callable[[Sequence[str], bytes], Result]:
        """`where` is a node, whose own end is eth0, or empty for the wire."""

        def tc(argv: Sequence[str], _stdin: bytes) -> Result:
            match list(argv[1:]):
                case ["-s", "-j", "qdisc", "show", "dev", interface]:
                    handle = self.handles.get(where + interface)
                    row = {"kind": "x", "handle": handle, "overlimits": self.passed, "packets": self.passed}
                    return Result(0, json.dumps([row] if handle else [{"kind": "noqueue", "handle": "0:"}]), "")
                case ["qdisc", "add", "dev", interface, "root", "handle", handle, *_]:
                    self.handles[where + interface] = handle
                case ["qdisc", "del", "dev", interface, "root"]:
                    del self.handles[where + interface]
                case _:
                    return Result(1, "", f"unknown: {argv}")
            return OK

        return tc

    def pings(self) -> str:
        """What ping prints where a share of its packets is struck."""
        faults = {name for name, handle in HANDLES.items() if handle in self.handles.values()}
        numbers = [2, 1, *range(3, 101)] if "reorder" in faults else list(range(1, 101))
        if "corrupt" in faults:
            numbers = numbers[10:]
        took = 201 if "latency" in faults else 0.1
        lines = [f"64 bytes from 192.0.2.9: icmp_seq={number} ttl=64 time={took} ms" for number in numbers]
        lines += [f"{lines[0]} (DUP!)"] if "duplicate" in faults else []
        return "\n".join([*lines, "100 packets transmitted"])


@dataclass
class Inside:
    """What runs on one node: an engine that can be held back, containers, and processes that press."""

    held: bool = False
    struck: bool = False
    killed: list[str] = field(default_factory=list)
    dead: set[str] = field(default_factory=set)
    pressing: set[str] = field(default_factory=set)
    seconds: float = 0.0
    noted: bool = False
    offloads: bool = True
    skew_ns: int = 0

    def sh(self, argv: Sequence[str]) -> Result:
        text, words = argv[2], list(argv[4:])
        if "kill -" in text and HELD in text:
            self.held = self.struck = True
        elif "docker.pid" in text:
            return NO if self.held else OK
        elif "docker kill" in text:
            self.killed += words
            self.dead |= set(words)
        elif "setsid" in text:
            self.pressing.add(words[1])
        elif "drop_caches" in text and "vmstat" in text:
            self.noted = True
        elif "ethtool" in text:
            told, self.offloads = not self.offloads, "tx on" in text
            return Result(0, "on" if told and self.offloads else "", "")
        elif NOTE in text:
            told, self.noted = self.noted, self.noted and "rm -f" not in text
            return Result(0, "2" if told else "", "")
        else:
            return Result(1, "", f"unknown: {argv}")
        return OK

    def file(self, argv: Sequence[str], _stdin: bytes) -> Result:
        match list(argv):
            case ["test", "-e", path]:
                return (
                    OK
                    if (path == clock_skew.NOTE and self.skew_ns)
                    or (path == HELD and self.held)
                    or (path == STRUCK and self.struck)
                    or (path == KILLED and self.killed)
                    else NO
                )
            case ["cat", path]:
                return Result(0, "\n".join(self.killed), "") if path == KILLED else NO
            case ["rm", "-f", path]:
                self.held = self.held and path != HELD
                self.struck = self.struck and path != STRUCK
                self.killed = [] if path == KILLED else self.killed
        return OK

    def docker(self, argv: Sequence[str]) -> Result | None:
        """None for what is not about containers of ours."""
        match list(argv[1:]):
            case ["ps", "--all", *_]:
                return Result(0, "\n".join(sorted(self.dead)), "")
            case ["ps", "--no-trunc", *_]:
                return Result(0, "\n".join({"c1", "c2"} - self.dead), "")
            case ["start", *ids]:
                self.dead -= set(ids)
                return OK
            case ["info", "--format", "{{.ID}}"]:
                return NO if self.held else OK
        return None

    def clock(self, words: list[str]) -> Result:
        if words[0] == "skew":
            self.skew_ns = int(words[1])
        told = str(self.skew_ns)
        self.skew_ns = 0 if words[0] == "heal" else self.skew_ns
        return Result(0, told, "")

    def python(self, argv: Sequence[str], _stdin: bytes) -> Result:
        """A clock that is set off, or the finder of processes that press: [seconds of CPU, bytes] of each."""
        if argv[-1] != clock_skew.NOTE and clock_skew.NOTE in argv:
            return self.clock(list(argv[argv.index(clock_skew.NOTE) + 1 :]))
        word, verb = argv[3], argv[4]
        self.seconds += 1
        there = [[self.seconds, 1 << 30]] if word in self.pressing else []
        if verb == "end":
            self.pressing.discard(word)
        return Result(0, json.dumps(there), "")


def knocked(tables: Sequence[str], port: str) -> bool:
    """Whether a rule drops what goes to a port."""
    return any(re.search(rf"th dport {port} counter drop", text) for text in tables)
