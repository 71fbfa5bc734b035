"""Container nodes seen from their engine: hosts by exec, the wire by a helper container, freezing by cgroup."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.model.errors import CommandFailed, EnvironmentBroken
from harness.ports import Channel, NodeState, Result, Right
from harness.providers.engine import Engine
from harness.transport.deadlines import run_bounded
from harness.transport.process import ProcessChannel, run_process

NODE_RIGHTS: frozenset[Right] = frozenset({"shell", "networks"})


@dataclass(frozen=True)
class ContainerHost:
    """A host reached by `docker exec`. The deadline stands inside the container too."""

    name: str
    address: str
    engine: Engine
    container: str
    rights: frozenset[Right] = NODE_RIGHTS

    def run(self, argv: Sequence[str], *, timeout_s: float, stdin: bytes = b"") -> Result:
        def inside(words: Sequence[str], within_s: float) -> Result:
            command = self.engine.argv("exec", "-i", self.container, *words)
            return run_process(command, timeout_s=within_s, stdin=stdin, where=self.name)

        return run_bounded(inside, argv, timeout_s=timeout_s, where=self.name)

    def terminal(self, argv: Sequence[str]) -> list[str]:
        """What to execute on this machine to run `argv` on the host with the caller's terminal."""
        return self.engine.argv("exec", "-it", self.container, *argv)

    def channel(self, argv: Sequence[str]) -> Channel:
        return ProcessChannel(self.engine.argv("exec", "-i", self.container, *argv), where=self.name)


_SIGNAL = r"""
import json, os, signal, sys, time
action, nodes = sys.argv[1], sys.argv[2:]
def pids(node):
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/cgroup") as groups:
                    if node in groups.read():
                        yield int(entry)
            except OSError:
                pass
def state(pid):
    try:
        with open(f"/proc/{pid}/status") as status:
            fields = dict(line.split(":", 1) for line in status if ":" in line)
    except OSError:
        return "X"
    told = int(fields["SigPnd"], 16) | int(fields["ShdPnd"], 16)
    letter = fields["State"].split()[0]
    return "T" if letter == "D" and told & STOP else letter
def tell(pid, sign):
    try:
        os.kill(pid, sign)
    except ProcessLookupError:
        pass
STOP = 1 << signal.SIGSTOP - 1
sign = {"freeze": signal.SIGSTOP, "thaw": signal.SIGCONT}.get(action)
counts = {}
for node in nodes:
    for sweep in range(100 if sign else 1):
        states = {pid: state(pid) for pid in pids(node)}
        wrong = [p for p, s in states.items() if s not in "XZ" and (s == "T") != (action == "freeze")]
        if not sign or not wrong:
            break
        for pid in wrong:
            tell(pid, sign)
        time.sleep(0.01)
    live = [s for s in states.values() if s not in "XZ"]
    counts[node] = {"stopped": live.count("T"), "all": len(live)}
print(json.dumps(counts))
"""


@dataclass(frozen=True)
class ContainerWire:
    """The bridge between container nodes, from a helper container in the engine's network and PID namespace."""

    host: ContainerHost
    containers: Mapping[str, str]

    def port(self, node: str) -> str:
        """The bridge port of `node`: the peer of its eth0."""
        command = ["cat", "/sys/class/net/eth0/iflink"]
        inside = ContainerHost(node, "", self.host.engine, self.containers[node])
        index = int(_checked(inside, command, timeout_s=10).strip())
        links = json.loads(_checked(self.host, ["ip", "-json", "link", "show"], timeout_s=10))
        for link in links:
            if link["ifindex"] == index:
                return str(link["ifname"])
        raise EnvironmentBroken(f"the wire has no interface with number {index}, the peer of {node}'s eth0")


@dataclass(frozen=True)
class ContainerLifecycle:
    """Freezing is SIGSTOP to every process of the node's cgroup: `docker pause` fails under busy FUSE mounts.

    One that waits for a FUSE server which is stopped already cannot stop: it is inside the kernel, and the signal
    waits for it. It counts as stopped, since it will not run a line of its own before it is.

    A command that somebody runs on a frozen node joins its processes and is not stopped: the node is frozen while
    most of them are. A store's daemon that is stopped by itself is one of many.
    """

    wire: ContainerHost
    containers: Mapping[str, str]

    def freeze(self, node: str, *, timeout_s: float) -> None:
        counts = self._signal("freeze", node, timeout_s)
        if counts["stopped"] < counts["all"]:
            running = counts["all"] - counts["stopped"]
            raise EnvironmentBroken(f"{running} processes of {node} could not be stopped")

    def thaw(self, node: str, *, timeout_s: float) -> None:
        self._signal("thaw", node, timeout_s)

    def kill(self, node: str, *, timeout_s: float) -> None:
        self._engine("kill", node, timeout_s, unless=("is not running",))

    def start(self, node: str, *, timeout_s: float) -> None:
        self._engine("start", node, timeout_s)

    def state(self, node: str, *, timeout_s: float) -> NodeState:
        counts = self._signal("count", node, timeout_s)
        if counts["all"] == 0:
            return "off"
        return "frozen" if 2 * counts["stopped"] > counts["all"] else "running"

    def _signal(self, action: str, node: str, timeout_s: float) -> dict[str, int]:
        engine = self.wire.engine
        ask = engine.argv("inspect", "--format", "{{.Id}}", self.containers[node])
        found = run_process(ask, timeout_s=timeout_s, stdin=b"", where=node)
        if not found.ok:
            raise CommandFailed(ask, found.code, found.output, where=node)
        container = found.stdout.strip()
        answer = _checked(self.wire, ["python3", "-c", _SIGNAL, action, container], timeout_s=timeout_s)
        counts: dict[str, int] = json.loads(answer)[container]
        return counts

    def _engine(self, verb: str, node: str, timeout_s: float, unless: tuple[str, ...] = ()) -> None:
        argv = self.wire.engine.argv(verb, self.containers[node])
        result = run_process(argv, timeout_s=timeout_s, stdin=b"", where=node)
        if not result.ok and not any(text in result.output for text in unless):
            raise CommandFailed(argv, result.code, result.output, where=node)


def _checked(host: ContainerHost, argv: Sequence[str], *, timeout_s: float) -> str:
    result = host.run(argv, timeout_s=timeout_s)
    if not result.ok:
        raise CommandFailed(argv, result.code, result.output, where=host.name)
    return result.stdout
