"""Names against the truth: what a lookup should give at a phase, and since when it did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from harness.checkers._scene import Scene, carriers, scene_at
from harness.checkers._tally import Tally
from harness.model.history import History, Op
from harness.model.plan import Plan
from harness.model.verdict import Failure

#: What a resolver says of a name that means nothing. SERVFAIL: it asked further up and nobody answered there.
NOTHING = ("nxdomain", "servfail")
SILENCE = "timeout"
#: Kinds of lookups, and the family of the addresses that they ask for.
KINDS = {"dns": 4, "aaaa": 6}


class NameKey(NamedTuple):
    """`phase|network|name`."""

    phase: str
    network: str
    name: str

    @classmethod
    def parse(cls, key: str) -> NameKey:
        phase, network, name = key.split("|", 2)
        return cls(phase, network, name)


@dataclass(frozen=True)
class Expected:
    """`exactly`: a set of tasks; else a name that may also mean others. `silent`: where nothing is meant, silence
    says so too (NetworkPlan.silent_on_unknown).
    """

    addresses: frozenset[str]
    exactly: bool
    silent: bool = False

    def says(self, value: str) -> bool:
        """Whether an answer is right: nothing where nothing runs."""
        if not self.addresses:
            return value in NOTHING or (self.silent and value == SILENCE)
        found = set(value.split(","))
        return found == self.addresses if self.exactly else found >= self.addresses

    def __str__(self) -> str:
        return ",".join(sorted(self.addresses)) or NOTHING[0]


class Truth:
    """The addresses of the tasks that ran, by phase, network and service; of a phase its last look. `family` says
    which of their addresses: 4 or 6.
    """

    def __init__(self, history: History, plan: Plan, family: int = 4) -> None:
        self._plan = plan
        self._history = history
        self._family = family
        kind = "truth6" if family == 6 else "truth"
        self._rows = {NameKey.parse(row.key): row for row in history.only(f=kind).ops()}
        self._scenes: dict[str, Scene] = {}

    @property
    def phases(self) -> list[str]:
        return list(dict.fromkeys(key.phase for key in self._rows))

    def of(self, key: NameKey) -> Expected | None:
        """What a name must give; None where nobody knows, or where it is a virtual IP that is not the tasks'."""
        targets = carriers(self._plan, key.network, key.name)
        if not targets:
            return self._of_container(key)
        if any(target.endpoint_mode == "vip" and key.name != target.tasks for target in targets):
            return None
        rows = [self._rows.get(NameKey(key.phase, key.network, target.service)) for target in targets]
        if any(row is None for row in rows):
            return None
        addresses = [address for row in rows if row for address in str(row.value).split(",") if address]
        exactly = any(key.name in (target.service, target.tasks) for target in targets)
        return Expected(frozenset(addresses), exactly, self._plan.network(key.network).silent_on_unknown)

    def _of_container(self, key: NameKey) -> Expected | None:
        if key.phase not in self._scenes:
            self._scenes[key.phase] = scene_at(self._history, key.phase)
        container = self._scenes[key.phase].containers.get(key.name)
        if container is None:
            return None
        addresses = container.addresses6 if self._family == 6 else container.addresses
        address = addresses.get(key.network)
        return Expected(frozenset([address]), exactly=False) if address else None


@dataclass(frozen=True)
class Settled:
    """One name asked by one container again and again. `since`: the first of the answers that stayed right, None
    where the last was wrong.
    """

    last: Op
    first: Op
    since: Op | None

    @property
    def took_s(self) -> float:
        """From the first question to the end of the first answer that stayed right; 0 where none did. Of silence
        to its question: how long that waited says nothing of the name.
        """
        if self.since is None:
            return 0.0
        right_ns = self.since.start_ns if self.since.value == SILENCE else self.since.end_ns
        return (right_ns - self.first.start_ns) / 1e9


def settled(rows: list[Op], right: list[bool]) -> Settled:
    """`rows` of one name and container in order of time, and whether each answer is right."""
    since = None
    for row, is_right in zip(rows, right, strict=True):
        since = (since or row) if is_right else None
    return Settled(rows[-1], rows[0], since)


def repeats(history: History, kinds: tuple[str, ...]) -> list[list[Op]]:
    """Rows of these kinds, grouped by what is asked and who asks; each group in order of time."""
    groups: dict[tuple[str, str, str], list[Op]] = {}
    for row in history.only(f=kinds).ops():
        groups.setdefault((row.f, row.at, row.key), []).append(row)
    return [sorted(group, key=lambda row: row.start_ns) for group in groups.values()]


def judge_names(tally: Tally, history: History, plan: Plan) -> dict[str, float]:
    """Of repeated lookups the last counts: a name must be right at the end of its phase. Returns how long the
    slowest name of each phase took to settle, in seconds.
    """
    truths = {f: Truth(history, plan, family) for f, family in KINDS.items()}
    slowest, asked_for = dict[str, float](), set[tuple[str, str, str]]()
    for rows in repeats(history, tuple(KINDS)):
        f, key = rows[0].f, NameKey.parse(rows[0].key)
        asked_for.add((f, key.phase, key.network))
        expected = truths[f].of(key)
        if expected is None:
            tally.doubts.append(f"{rows[0].at}: nobody knows what {key.name} means on {key.network} ({key.phase})")
            continue
        asked = settled(rows, [expected.says(str(row.value)) for row in rows])
        slowest[key.phase] = max(slowest.get(key.phase, 0.0), asked.took_s)
        _judge(tally, key, asked, str(expected), KINDS[f])
    phases = truths["dns"].phases
    tally.doubts += [f"no name was looked up in phase {phase}" for phase in phases if phase not in slowest]
    tally.doubts += _lacking_ipv6(plan, asked_for)
    return slowest


def _lacking_ipv6(plan: Plan, asked_for: set[tuple[str, str, str]]) -> list[str]:
    """Where names lead to both families, whoever asked for one asked for the other."""
    return [
        f"no name's IPv6 address was looked up on {network} in phase {phase}"
        for f, phase, network in sorted(asked_for)
        if f == "dns" and plan.network(network).resolves_ipv6 and ("aaaa", phase, network) not in asked_for
    ]


def _judge(tally: Tally, key: NameKey, asked: Settled, expected: str, family: int) -> None:
    if asked.since:
        tally.right()
        return
    value = str(asked.last.value)
    got = "timeout" if value == SILENCE else "dns" if value in NOTHING else "ok"
    detail = f": {value} instead of {expected} on {key.network} in phase {key.phase}, asked on {asked.last.host}"
    tally.fail(Failure(asked.last.at, key.name, "name", "dns", family, expected, got), detail)


def settling(slowest: dict[str, float]) -> dict[str, float]:
    """Figures: how long each phase took to settle, in seconds to the microsecond: some take one millisecond."""
    return {f"settle_{phase.replace('-', '_')}_s": round(took_s, 6) for phase, took_s in slowest.items()}
