"""Names after each phase: who saw the right addresses, and when. From lookups held against the truth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from harness.model.history import History
from harness.model.plan import Plan
from harness.report.text import plural, seconds

#: Kinds of lookups, and the kind of row that says what they should give.
TRUTHS = {"dns": "truth", "aaaa": "truth6"}


@dataclass
class Asked:
    """Answers to one name in one phase. `right_s` maps a container to when its answers were right for good, in
    seconds after the phase's truth; None where the last answer was wrong.
    """

    name: str
    network: str
    phase: str
    truth: str
    since_ns: int
    right_s: dict[str, float | None] = field(default_factory=dict)
    last: dict[str, str] = field(default_factory=dict)

    @property
    def wrong(self) -> list[str]:
        return [at for at, when in self.right_s.items() if when is None]

    @property
    def words(self) -> str:
        settled = [when for when in self.right_s.values() if when is not None]
        if self.wrong:
            return f"{len(self.wrong)} of {plural(len(self.right_s), 'container')} wrong"
        return f"right within {seconds(max(settled))}"

    @property
    def detail(self) -> str:
        answers = [f"{at}: {self.last[at]}" for at in self.wrong[:8]]
        return f"expected {self.truth.replace(',', ', ') or 'no such name'}" + (
            f"; {'; '.join(answers)}" if answers else ""
        )


def asked(rows: History, plan: Plan) -> list[Asked]:
    """One entry a name and phase, in the order in which they were asked. Names without a truth are left out."""
    truths = {f: dict(_truths(rows, truth)) for f, truth in TRUTHS.items()}
    found: dict[tuple[str, str, str], Asked] = {}
    for op in sorted(rows.only(f=tuple(TRUTHS)).ops(), key=lambda op: op.start_ns):
        phase, network, name = _parts(op.key)
        truth = truths[op.f].get((phase, network, _service(plan, network, name)))
        if truth is None:
            continue
        name = f"{name} (IPv6)" if op.f == "aaaa" else name
        entry = found.setdefault((phase, network, name), Asked(name, network, phase, truth[0], truth[1]))
        when_ns = op.start_ns if op.value == "timeout" else op.end_ns
        _note(entry, op.at, str(op.value), when_ns, silent=plan.network(network).silent_on_unknown)
    return list(found.values())


def _truths(rows: History, kind: str) -> Iterator[tuple[tuple[str, str, str], tuple[str, int]]]:
    """The latest truth of each phase, with the time of the first one."""
    first: dict[str, int] = {}
    for op in rows.only(f=kind).ops():
        phase, network, service = _parts(op.key)
        first.setdefault(op.key, op.start_ns)
        yield (phase, network, service), (str(op.value), first[op.key])


def _parts(key: str) -> tuple[str, str, str]:
    phase, network, name = [*key.split("|", 2), "", ""][:3]
    return phase, network, name


def _note(entry: Asked, at: str, answer: str, when_ns: int, *, silent: bool) -> None:
    nothing = ("nxdomain", "servfail", "timeout") if silent else ("nxdomain", "servfail")
    right = answer == entry.truth if entry.truth else answer in nothing
    since = entry.right_s.get(at)
    entry.last[at] = answer
    entry.right_s[at] = (
        None if not right else since if since is not None else max(0, when_ns - entry.since_ns) / 1e9
    )


def _service(plan: Plan, network: str, name: str) -> str:
    """The service that `name` stands for on `network`: its own name, `tasks.` and its name, or an alias."""
    bare = name.removeprefix("tasks.")
    for target in plan.targets:
        if bare == target.service or name in target.networks.get(network, ()):
            return target.service
    return bare
