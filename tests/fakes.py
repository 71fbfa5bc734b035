"""Fakes of the seams: they keep the contracts of harness/ports, which tests/contract holds them to."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.model.errors import ChannelLost, DeadlineExceeded, UsageError
from harness.model.plan import PREFIX, Demand, Plan, Step, StorePlan, cluster_key
from harness.model.topology import Topology
from harness.ports import Channel, Cluster, ClusterInfo, Host, NodeState, Progress, Result, Right
from harness.stores._scripted import Options, Scripted, Scripts, each_node

Answer = Callable[[Sequence[str], bytes], Result]
#: Lines that a fake program answers to one line of input.
Speak = Callable[[bytes], Iterable[bytes]]


class FakeChannel:
    """A program that answers every line by `speak`; it ends with the channel, or when `end` is called."""

    def __init__(self, speak: Speak) -> None:
        self._speak = speak
        self._lines: queue.Queue[bytes | None] = queue.Queue()
        self._ended = False

    def send(self, line: bytes) -> None:
        if self._ended:
            raise ChannelLost("the fake program has ended")
        for answer in self._speak(line):
            self._lines.put(answer)

    def receive(self, timeout_s: float) -> bytes | None:
        try:
            line = self._lines.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if line is None:
            self._lines.put(None)
            raise ChannelLost("the fake program has ended")
        return line

    def close(self) -> None:
        self.end()

    def end(self) -> None:
        self._ended = True
        self._lines.put(None)


class FakeHost:
    """Answers by the longest prefix of `argv` that `answers` knows; what it does not know is code 127.

    A value is a Result, or a function of argv and stdin; one that raises TimeoutError stands for a command that
    does not end. `programs` are those that can be kept open. `ran` and `inputs` record every call.
    """

    def __init__(
        self,
        name: str = "n1",
        *,
        address: str = "10.0.0.1",
        rights: frozenset[Right] = frozenset({"shell"}),
        answers: Mapping[tuple[str, ...], Result | Answer] | None = None,
        programs: Mapping[tuple[str, ...], Speak] | None = None,
    ) -> None:
        self.name = name
        self.address = address
        self.rights = rights
        self.answers = dict(answers or {})
        self.programs = dict(programs or {})
        self.ran: list[tuple[str, ...]] = []
        self.inputs: list[bytes] = []
        self.channels: list[FakeChannel] = []

    def run(self, argv: Sequence[str], *, timeout_s: float, stdin: bytes = b"") -> Result:
        self.ran.append(tuple(argv))
        self.inputs.append(stdin)
        prefix = _longest(self.answers, argv)
        if prefix is None:
            return Result(127, "", f"{argv[0]}: No such file or directory")
        answer = self.answers[prefix]
        try:
            return answer if isinstance(answer, Result) else answer(argv, stdin)
        except TimeoutError:
            raise DeadlineExceeded(f"on {self.name}: {argv[0]} did not end within {timeout_s:g} s") from None

    def channel(self, argv: Sequence[str]) -> Channel:
        prefix = _longest(self.programs, argv)
        if prefix is None:
            raise ChannelLost(f"on {self.name}: {argv[0]} cannot be started")
        opened = FakeChannel(self.programs[prefix])
        self.channels.append(opened)
        return opened


def _longest(known: Iterable[tuple[str, ...]], argv: Sequence[str]) -> tuple[str, ...] | None:
    fitting = [prefix for prefix in known if tuple(argv[: len(prefix)]) == prefix]
    return max(fitting, key=len, default=None)


class FakeWire:
    """A link whose ports are named after the nodes."""

    def __init__(self, host: Host) -> None:
        self.host = host

    def port(self, node: str) -> str:
        return f"port-{node}"


class FakeLifecycle:
    """Nodes that are a word each. `stubborn` ones run on when they are frozen."""

    def __init__(self, nodes: Iterable[str]) -> None:
        self.states: dict[str, NodeState] = dict.fromkeys(nodes, "running")
        self.stubborn: set[str] = set()

    def freeze(self, node: str, *, timeout_s: float) -> None:
        if node not in self.stubborn:
            self.states[node] = "frozen"

    def thaw(self, node: str, *, timeout_s: float) -> None:
        if self.states[node] == "frozen":
            self.states[node] = "running"

    def kill(self, node: str, *, timeout_s: float) -> None:
        self.states[node] = "off"

    def start(self, node: str, *, timeout_s: float) -> None:
        self.states[node] = "running"

    def state(self, node: str, *, timeout_s: float) -> NodeState:
        return self.states[node]


@dataclass
class FakeProvider:
    """Clusters of FakeHosts in `made`, by run: what labels are to a real one. `events` records every call.

    `raises` maps a verb to what it raises, once; `up` has by then half made the cluster, and removes it again.
    """

    made: dict[str, ClusterInfo] = field(default_factory=dict)
    raises: dict[str, BaseException] = field(default_factory=dict)
    make_host: Callable[[str, str], Host] = lambda name, address: FakeHost(name, address=address)
    name: str = "docker"
    events: list[str] = field(default_factory=list)

    def demands(self, topology: Topology) -> list[Demand]:
        return []

    def up(self, plan: Plan, progress: Progress) -> Cluster:
        self._say("up", plan.run)
        progress(f"making {plan.cluster}")
        info = ClusterInfo(
            plan.cluster, plan.run, self.name, len(plan.nodes), "2026-01-01T00:00:00Z", plan.topology.name
        )
        self.made[plan.run] = ClusterInfo(**{**vars(info), "key": cluster_key(plan.topology)})
        try:
            self._fail("up")
        except BaseException:
            self.down(plan.run)
            raise
        return self.find(plan.run)

    def supply(self, cluster: Cluster, plan: Plan, progress: Progress) -> None:
        self._fail("supply")  # not among the events: it runs beside the orchestrator's join, in any order

    def find(self, name: str) -> Cluster:
        run = name.removeprefix(PREFIX)
        if run not in self.made:
            known = ", ".join(info.name for info in self.clusters()) or "none"
            raise UsageError(f"there is no cluster {name!r}", hint=f"clusters that are there: {known}")
        names = [f"n{index + 1}" for index in range(self.made[run].nodes)]
        hosts = {node: self.make_host(node, f"192.0.2.{index + 1}") for index, node in enumerate(names)}
        return Cluster(
            PREFIX + run, run, self.name, hosts, FakeWire(FakeHost("wire", address="")), FakeLifecycle(names)
        )

    def clusters(self) -> list[ClusterInfo]:
        return list(self.made.values())

    def logs(self, name: str, into: Path) -> None:
        self._say("logs", name)
        self._fail("logs")
        for node in self.find(name).hosts if name.removeprefix(PREFIX) in self.made else ():
            (into / node).mkdir(parents=True, exist_ok=True)
            (into / node / "engine.log").write_text(f"{node} said nothing\n")

    def down(self, name: str) -> list[str]:
        self._say("down", name)
        self._fail("down")
        gone = self.made.pop(name.removeprefix(PREFIX), None)
        return [f"cluster {gone.name}"] if gone else []

    def tidy(self) -> list[str]:
        self._say("tidy", "")
        return []

    def _say(self, verb: str, name: str) -> None:
        self.events.append(f"{verb} {name.removeprefix(PREFIX)}".strip())

    def _fail(self, verb: str) -> None:
        error = self.raises.pop(verb, None)
        if error is not None:
            raise error


class FakeStore(Scripted):
    """A store of nothing: directories that say that they are there. `word` is its only option."""

    kind = "fake"

    class options(Options):  # noqa: N801 - the seam's name
        word: str = "fine"
        fstype: str = "ext4"

    def demands(self, topology: Topology, store: str) -> list[Demand]:
        return [Demand("loop", f"store {store}"), Demand("package:mount", f"store {store}")]

    def scripts(self, plan: Plan, store: StorePlan) -> Scripts:
        return Scripts(servers=":", mount=f"mkdir -p {store.mount}", down=":", fresh=":", daemons={"one": "echo"})

    def make(self, plan: Plan, store: StorePlan) -> Iterator[Step]:
        yield from each_node(plan, "store, words", "say a word", ["sh", "-c", f"echo {store.options['word']}"])
