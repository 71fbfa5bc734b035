"""Hosts that exist, looked at before anything is made on them: each by itself, then each pair. Changes nothing."""

from __future__ import annotations

import ipaddress
import json
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import permutations
from typing import Any, TypeVar

from harness.model.errors import EnvironmentBroken, HarnessError
from harness.model.history import History
from harness.model.inventory import Inventory
from harness.model.plan import Plan
from harness.ports import Progress
from harness.providers import markers
from harness.transport.agent import Agent
from harness.transport.parallel import at_once
from harness.transport.ssh import SshHost

T = TypeVar("T")

CALL_TIMEOUT_S = 30.0
AGENT_TIMEOUT_S = 60.0
PROBE_TIMEOUT_S = 2.0
#: UDP may lose one; a firewall loses all.
ATTEMPTS = 3
MANAGEMENT, GOSSIP, VXLAN = 2377, 7946, 4789
#: (port, protocol) that each host must reach on each other one: Swarm's gossip, and the overlays' packets.
BETWEEN_ALL = ((GOSSIP, "tcp"), (GOSSIP, "udp"), (VXLAN, "udp"))
OPEN_ALL = "open 2377/tcp, 7946/tcp, 7946/udp and 4789/udp between all hosts"
#: Certificates of a swarm are good from an hour before they are made.
MAX_CLOCK_OFFSET_S = 1800.0
WORTH_A_NOTE_S = 1.0
#: What Swarm takes for its ingress network unless it is told otherwise.
INGRESS = "10.0.0.0/24"
LEAST_PACKET_BYTES = 576
CLOCK_TRIES = 3


@dataclass(frozen=True)
class Complaint:
    """`where` names a host, or both ends of a path. One that is not `grave` is a note."""

    where: str
    what: str
    hint: str = ""
    grave: bool = True

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass
class Facts:
    """What one host said of itself."""

    engine: str = ""
    kernel: str = ""
    swarm: str = ""
    is_manager: bool = False
    routes: list[tuple[str, str]] = field(default_factory=list)
    offset_s: float = 0.0
    error_s: float = 0.0


def refuse(complaints: Sequence[Complaint]) -> None:
    """Raises EnvironmentBroken with all that is grave, each with what to do."""
    grave = [complaint for complaint in complaints if complaint.grave]
    if grave:
        hints = list(dict.fromkeys(complaint.hint for complaint in grave if complaint.hint))
        raise EnvironmentBroken(
            "the hosts cannot be used as they are; nothing was changed on them:\n"
            + "\n".join(f"  {complaint}" for complaint in grave),
            hint="; ".join(hints) or None,
        )


def inspect(
    hosts: Mapping[str, SshHost], inventory: Inventory, plan: Plan | None, progress: Progress
) -> list[Complaint]:
    """Everything that stands in the way, or is worth a note; each note is also told at once."""
    progress(f"looking at {', '.join(f'{name} ({host.login})' for name, host in hosts.items())}")
    looked = at_once([partial(_caught, host.name, partial(_look, host)) for host in hosts.values()])
    facts = {name: found for name, found in zip(hosts, looked, strict=True) if isinstance(found, Facts)}
    complaints = [found for found in looked if isinstance(found, Complaint)]
    for name, found in facts.items():
        progress(
            f"{name}: Docker {found.engine}, kernel {found.kernel}, "
            f"clock {found.offset_s * 1000:+.0f} ms (±{found.error_s * 1000:.0f} ms) against this machine"
        )
    complaints += [*_clocks(facts), *_swarms(facts, hosts, inventory), *_in_use(hosts, facts)]
    complaints += _subnets(facts, plan)
    if not any(complaint.grave for complaint in complaints):
        complaints += _between(hosts, inventory, plan, facts, progress)
    for complaint in complaints:
        if not complaint.grave:
            progress(f"note: {complaint}")
    return complaints


def _caught(where: str, call: Callable[[], T | Complaint]) -> T | Complaint:
    try:
        return call()
    except HarnessError as error:
        return Complaint(where, error.message, error.hint or "")


# --- each by itself


def _look(host: SshHost) -> Facts | Complaint:
    """The first thing that is missing, or what the host says of itself."""
    user = host.run(["id", "-u"], timeout_s=CALL_TIMEOUT_S)
    if host.login.sudo and not user.ok:
        return Complaint(
            host.name,
            f"sudo does not let {host.login.user} do without a password: {user.output}",
            f"on that host, in /etc/sudoers.d/harness: {host.login.user} ALL=(ALL) NOPASSWD: ALL",
        )
    if user.stdout.strip() != "0":
        return Complaint(
            host.name,
            f"{host.login.user} is not root there: namespaces of containers cannot be entered",
            "`sudo: true` in the inventory, or another `user`",
        )
    return _engine(host)


def _engine(host: SshHost) -> Facts | Complaint:
    answer = host.run(["docker", "info", "--format", "{{json .}}"], timeout_s=CALL_TIMEOUT_S)
    if not answer.ok:
        words = answer.output.strip().splitlines() or ["it said nothing"]
        return Complaint(host.name, f"no engine answers: {words[-1]}", "install Docker there, and start it")
    if not host.run(
        ["python3", "-c", "import sys; sys.exit(sys.version_info < (3, 9))"], timeout_s=CALL_TIMEOUT_S
    ).ok:
        return Complaint(host.name, "the agent needs Python 3.9 or later as python3", "install it there")
    info = json.loads(answer.stdout)
    offset_s, error_s = _clock(host)
    return Facts(
        engine=info["ServerVersion"],
        kernel=info["KernelVersion"],
        swarm=info["Swarm"]["LocalNodeState"],
        is_manager=bool(info["Swarm"].get("ControlAvailable")),
        routes=_routes(host),
        offset_s=offset_s,
        error_s=error_s,
    )


def _clock(host: SshHost) -> tuple[float, float]:
    """By how much the host's wall clock is ahead of ours, and the error of that: half the quickest round trip."""
    best = (0.0, float("inf"))
    for _ in range(CLOCK_TRIES):
        before = time.time()
        told = float(host.run(["date", "+%s.%N"], timeout_s=CALL_TIMEOUT_S).stdout)
        after = time.time()
        best = min(best, (told - (before + after) / 2, (after - before) / 2), key=lambda pair: pair[1])
    return best


def _routes(host: SshHost) -> list[tuple[str, str]]:
    """(subnet, device) that the host reaches otherwise than by default."""
    listed = host.run(["ip", "-json", "-4", "route", "show"], timeout_s=CALL_TIMEOUT_S)
    rows = json.loads(listed.stdout or "[]") if listed.ok else []
    return [(row["dst"], row.get("dev", "")) for row in rows if row["dst"] != "default"]


def _clocks(facts: Mapping[str, Facts]) -> Iterator[Complaint]:
    for name, found in facts.items():
        if abs(found.offset_s) > WORTH_A_NOTE_S + found.error_s:
            yield Complaint(
                name,
                f"its clock is {found.offset_s:+.1f} s (±{found.error_s:.2f} s) off this machine's",
                "set it, and let NTP keep it",
                grave=abs(found.offset_s) > MAX_CLOCK_OFFSET_S,
            )


def _swarms(facts: Mapping[str, Facts], hosts: Mapping[str, SshHost], inventory: Inventory) -> Iterator[Complaint]:
    """A swarm that exists is used on request only."""
    manager = next(iter(hosts))
    if inventory.swarm == "join":
        found = facts.get(manager)
        if found and not found.is_manager:
            yield Complaint(
                manager,
                "is no manager of a swarm, and the inventory says `swarm: join`",
                "`role: manager` for a host that is one, or `swarm: new`",
            )
        return
    for name, found in facts.items():
        if found.swarm != "inactive":
            yield Complaint(
                name,
                f"is in a swarm already (state {found.swarm})",
                "`swarm: join` in the inventory uses the swarm that exists; or take the host out of it: "
                "docker swarm leave --force",
            )


def _in_use(hosts: Mapping[str, SshHost], facts: Mapping[str, Facts]) -> Iterator[Complaint]:
    for name in facts:
        found = _caught(name, partial(markers.markers_on, hosts[name]))
        if isinstance(found, Complaint):
            yield found
            continue
        for marker in found:
            cluster = f"harness-{marker.run}"
            yield Complaint(
                name, f"is node {marker.node} of {cluster}", f"harness down {cluster} --inventory FILE, or --reuse"
            )


def _subnets(facts: Mapping[str, Facts], plan: Plan | None) -> Iterator[Complaint]:
    for name, found in facts.items():
        for subnet, device in found.routes:
            for network, text in _wanted(plan):
                if _overlap(text, subnet):
                    yield Complaint(
                        name,
                        f"{text} of network {network} overlaps {subnet}, which it reaches by {device}",
                        "another subnet in the topology",
                    )
            if found.swarm == "inactive" and _overlap(INGRESS, subnet):
                yield Complaint(
                    name,
                    f"Swarm's own ingress network, {INGRESS}, overlaps {subnet} on {device}",
                    "make the swarm with --default-addr-pool, and say `swarm: join`",
                    grave=False,
                )


def _wanted(plan: Plan | None) -> Iterator[tuple[str, str]]:
    """Subnets that must be nobody's yet; those on a link of the hosts are theirs on purpose."""
    for network in plan.networks if plan else ():
        if network.driver in ("overlay", "bridge"):
            yield from ((network.base, text) for text in network.subnets)


def _overlap(one: str, other: str) -> bool:
    first, second = ipaddress.ip_network(one, strict=False), ipaddress.ip_network(other, strict=False)
    return first.version == second.version and first.overlaps(second)


# --- each two


def _between(
    hosts: Mapping[str, SshHost],
    inventory: Inventory,
    plan: Plan | None,
    facts: Mapping[str, Facts],
    progress: Progress,
) -> list[Complaint]:
    """Ports and MTU of every path, asked by agents at both ends."""
    if len(hosts) < 2:
        return []
    progress(f"trying Swarm's ports and packets of {inventory.mtu} bytes between each two of {len(hosts)} hosts")
    managers = plan.managers if plan else list(hosts)[:1]
    with ExitStack() as stack:
        agents = dict(zip(hosts, at_once([partial(_agent, host, stack) for host in hosts.values()]), strict=True))
        paths = _Paths(hosts, agents, managers, inventory.mtu)
        taken = paths.listen()
        mine = {name for name, found in facts.items() if found.swarm != "inactive"}
        complaints = [found for name in hosts if name not in mine for found in _holders(hosts[name], taken[name])]
        return [*complaints, *paths.ports(taken), *paths.packets()]


def _holders(host: SshHost, taken: Sequence[int]) -> Iterator[Complaint]:
    """Who has Swarm's ports on a host that is in no swarm. An engine may keep one of a swarm that it has left."""
    for port in taken:
        listed = host.run(["ss", "-Hlntup", f"sport = :{port}"], timeout_s=CALL_TIMEOUT_S).stdout
        who = re.search(r'\(\("([^"]+)"', listed)
        name = who[1] if who else "somebody"
        left = " since it left a swarm: in the next one it has no overlay networks" if name == "dockerd" else ""
        mend = "restart the engine there" if left else f"end what listens on {port} there"
        yield Complaint(host.name, f"port {port} is taken by {name}{left}", mend)


def _agent(host: SshHost, stack: ExitStack) -> Agent:
    agent = Agent.start(host, timeout_s=AGENT_TIMEOUT_S * host.slowness)
    stack.callback(agent.close)
    return agent


class _Paths:
    """What agents find between each two hosts."""

    def __init__(
        self, hosts: Mapping[str, SshHost], agents: Mapping[str, Agent], managers: Sequence[str], mtu: int
    ) -> None:
        self._hosts = hosts
        self._agents = agents
        self._managers = managers
        self._mtu = mtu
        self._token = secrets.token_hex(8)
        self._slowness = max((host.slowness for host in hosts.values()), default=1.0)

    def listen(self) -> dict[str, list[int]]:
        """Listen on Swarm's ports everywhere. Returns those that somebody else has, by host."""
        return dict(zip(self._hosts, at_once([partial(self._listen, name) for name in self._hosts]), strict=True))

    def ports(self, taken: Mapping[str, Sequence[int]]) -> Iterator[Complaint]:
        """A port that is taken is open where somebody answers on it, and cannot be tried by UDP."""
        asked = [
            (here, there, port, protocol)
            for here, there in permutations(self._hosts, 2)
            for port, protocol in (*BETWEEN_ALL, *([(MANAGEMENT, "tcp")] if there in self._managers else []))
            if protocol == "tcp" or port not in taken[there]
        ]
        got = self._ask(
            (here, there, {"protocol": protocol, "port": port, "attempts": ATTEMPTS})
            for here, there, port, protocol in asked
        )
        for (here, there, port, protocol), answer in zip(asked, got, strict=True):
            if not answer.startswith("ok"):
                yield Complaint(self._path(here, there), f"{port}/{protocol} is closed ({answer})", OPEN_ALL)

    def _listen(self, name: str) -> list[int]:
        endpoint = {"at": name, "pid": 0, "ports": [MANAGEMENT, GOSSIP, VXLAN]}
        told = self._agents[name].call(
            "listen", {"token": self._token, "endpoints": [endpoint]}, timeout_s=CALL_TIMEOUT_S * self._slowness
        )
        ports: list[int] = told["taken"].get(name, [])
        return ports

    def packets(self) -> Iterator[Complaint]:
        pairs = list(permutations(self._hosts, 2))
        passing = self._pass(pairs, [self._mtu] * len(pairs))
        small = [pair for pair, ok in zip(pairs, passing, strict=True) if not ok]
        for (here, there), size in zip(small, self._largest(small), strict=True):
            if size:
                yield Complaint(
                    self._path(here, there),
                    f"packets of {self._mtu} bytes do not pass, those of {size} do",
                    f"`mtu: {size}` in the inventory, or a larger MTU on the path",
                )
            else:
                what = "no answer to a ping of any size: how large a packet may be is not known"
                yield Complaint(self._path(here, there), what, "let ICMP echo through", grave=False)

    def _largest(self, pairs: Sequence[tuple[str, str]]) -> list[int]:
        """The largest size that passes, for all pairs at once; 0 where none does."""
        low, high = [0] * len(pairs), [self._mtu - 1] * len(pairs)
        tried = [LEAST_PACKET_BYTES] * len(pairs)
        while any(here < there for here, there in zip(low, high, strict=True)):
            passing = self._pass(pairs, tried)
            for number, ok in enumerate(passing):
                if ok:
                    low[number] = max(low[number], tried[number])
                else:
                    high[number] = min(high[number], tried[number] - 1)
                if high[number] < LEAST_PACKET_BYTES:
                    high[number] = low[number] = 0
                tried[number] = max((low[number] + high[number] + 1) // 2, LEAST_PACKET_BYTES)
        return low

    def _pass(self, pairs: Sequence[tuple[str, str]], sizes: Sequence[int]) -> list[bool]:
        probes = [
            (here, there, {"protocol": "icmp", "packet_bytes": size, "df": True, "attempts": ATTEMPTS})
            for (here, there), size in zip(pairs, sizes, strict=True)
        ]
        return [answer.startswith("ok") for answer in self._ask(probes)]

    def _ask(self, probes: Any) -> list[str]:
        """What each probe (here, there, its fields) got, all at once."""
        listed = list(probes)
        got: list[str] = ["timeout"] * len(listed)

        def ask(here: str) -> None:
            mine = [(number, there, what) for number, (h, there, what) in enumerate(listed) if h == here]
            batches: list[dict[str, Any]] = []
            entries = [self._probe(here, there, str(number), what) for number, there, what in mine]
            params = {"probes": entries, "parallel": 32}
            if entries:
                self._agents[here].call(
                    "probe", params, timeout_s=AGENT_TIMEOUT_S * self._slowness, on_batch=batches.append
                )
            for row in History.of_batches({**batch, "host": here, "check": ""} for batch in batches).ops():
                got[int(row.key)] = str(row.value)

        at_once([partial(ask, name) for name in self._hosts])
        return got

    def _probe(self, here: str, there: str, key: str, what: Mapping[str, Any]) -> dict[str, Any]:
        whole = {"port": GOSSIP, "token": self._token, "timeout_s": PROBE_TIMEOUT_S * self._slowness, **what}
        return {"at": here, "pid": 0, "key": key, "address": self._hosts[there].address, **whole}

    def _path(self, here: str, there: str) -> str:
        return f"{here} ({self._hosts[here].address}) to {there} ({self._hosts[there].address})"
