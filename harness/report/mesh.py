"""Who reached whom: matrices from a history's probe rows and the failures that a checker named."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from harness.model.history import History
from harness.model.verdict import Failure, Verdict

PROTOCOLS = ("icmp", "tcp", "udp")
#: `ok` open as expected, `shut` closed as expected, `bad` otherwise.
State = Literal["ok", "shut", "bad"]

_RANK: dict[State, int] = {"shut": 0, "ok": 1, "bad": 2}
#: One letter for each way in which a pair can fail; `open`: it answered and should not.
LETTERS = {
    "dns": "D", "refused": "R", "timeout": "T", "unreachable": "U", "reset": "X", "mtu": "M", "wrong-peer": "W",
    "open": "O",
}  # fmt: skip


@dataclass(frozen=True)
class Answer:
    """What one pair got by one protocol. `label` is `ok`, `shut`, a failure's class, or `open`."""

    protocol: str
    state: State
    label: str
    peer: str = ""


@dataclass
class Cell:
    answers: list[Answer] = field(default_factory=list)

    @property
    def state(self) -> State:
        return max((answer.state for answer in self.answers), key=_RANK.__getitem__)

    @property
    def bad(self) -> list[Answer]:
        return [answer for answer in self.answers if answer.state == "bad"]

    @property
    def words(self) -> str:
        """`tcp timeout, icmp ok`, without repeats: what failed stands first."""
        ordered = sorted(self.answers, key=lambda answer: -_RANK[answer.state])
        return ", ".join(dict.fromkeys(_phrase(answer) for answer in ordered))


@dataclass
class Matrix:
    """`cells` maps (from, to). `view` says what was asked: network, via, family; empty for an overview.

    `nodes` maps a container to its node where that is known; rows and columns stand in the order of nodes, so that
    what ails a node shows as a block.
    """

    check: str
    nodes: Mapping[str, str]
    view: str = ""
    cells: dict[tuple[str, str], Cell] = field(default_factory=dict)

    @property
    def sources(self) -> list[str]:
        return self._ordered({source for source, _ in self.cells})

    @property
    def targets(self) -> list[str]:
        return self._ordered({target for _, target in self.cells})

    def _ordered(self, names: Iterable[str]) -> list[str]:
        return sorted(names, key=lambda name: (natural(self.nodes.get(name, "")), natural(name)))

    @property
    def bad(self) -> int:
        return sum(cell.state == "bad" for cell in self.cells.values())

    def add(self, pair: tuple[str, str], answer: Answer) -> None:
        self.cells.setdefault(pair, Cell()).answers.append(answer)


@dataclass(frozen=True)
class Question:
    """What a probe asked."""

    source: str
    target: str
    via: str
    network: str
    family: str
    protocol: str

    @property
    def view(self) -> str:
        network = "" if self.network in ("-", "") else f"{self.network}, "
        return f"{network}by {self.via}, IPv{self.family}"


def natural(name: str) -> tuple[tuple[int, str], ...]:
    """Sorts web.2 before web.10."""
    return tuple((int(part) if part.isdigit() else -1, part) for part in re.split(r"([0-9]+)", name))


def matrices(history: History, verdict: Verdict) -> list[Matrix]:
    """One matrix a view of `verdict`'s check, worst first; empty where the check probes no pairs."""
    found: dict[str, Matrix] = {}
    rows = history.only(check=verdict.id, f=list(PROTOCOLS))
    asked = zip(rows["at"].tolist(), rows["key"].tolist(), rows["host"].tolist(), strict=True)
    nodes = {_source(at, str(key).partition("|")[0]): host for at, key, host in asked}
    for question, answer in _answers(rows, verdict):
        matrix = found.setdefault(question.view, Matrix(verdict.id, nodes, question.view))
        matrix.add((question.source, question.target), answer)
    return sorted(found.values(), key=lambda matrix: (-matrix.bad, matrix.view))


def overview(check: str, parts: Sequence[Matrix]) -> Matrix:
    """All views in one: a pair is as bad as its worst answer."""
    whole = Matrix(check, parts[0].nodes if parts else {})
    for matrix in parts:
        for pair, cell in matrix.cells.items():
            whole.cells.setdefault(pair, Cell()).answers.extend(cell.answers)
    return whole


def crop(matrix: Matrix, most: int) -> tuple[list[str], list[str]]:
    """At most `most` rows and columns: those with failures before others, in their order."""
    return (
        _keep(matrix.sources, {pair[0] for pair, cell in matrix.cells.items() if cell.bad}, most),
        _keep(matrix.targets, {pair[1] for pair, cell in matrix.cells.items() if cell.bad}, most),
    )


def _keep(names: Sequence[str], bad: set[str], most: int) -> list[str]:
    if len(names) <= most:
        return list(names)
    kept = set(sorted(names, key=lambda name: name not in bad)[:most])
    return [name for name in names if name in kept]


def _answers(rows: History, verdict: Verdict) -> list[tuple[Question, Answer]]:
    got: dict[Question, str] = {}
    for at, f, key, value in zip(*(rows[name].tolist() for name in ("at", "f", "key", "value")), strict=True):
        parts = str(key).split("|", 4)
        if len(parts) == 5:
            via, network, family, target, _ = parts
            got[Question(_source(at, via), target, via, network, family, f)] = str(value)
    wrong = _by_pair(verdict.failures)
    answers = [(question, _judge(question, value, wrong)) for question, value in got.items()]
    return answers + [_unprobed(failure) for failure in _pairless(verdict.failures, got)]


def _source(at: str, via: str) -> str:
    """Who asks. A node's shim is a row of its own: what it reaches, the node by itself does not."""
    return f"{at} by shim" if via == "shim" else at


_Pair = tuple[str, str, str, str]


def _by_pair(failures: Iterable[Failure]) -> dict[_Pair, list[Failure]]:
    found: dict[_Pair, list[Failure]] = {}
    for failure in failures:
        found.setdefault(_pair_of(failure), []).append(failure)
    return found


def _pair_of(failure: Failure) -> _Pair:
    return failure.source, failure.target, failure.protocol, str(failure.family)


def _judge(question: Question, value: str, wrong: dict[_Pair, list[Failure]]) -> Answer:
    got, _, peer = value.partition(" ")
    key = (question.source, question.target, question.protocol, question.family)
    for failure in wrong.get(key, []):
        if failure.got == got and question.via in failure.via.replace("|", " ").split():
            return Answer(question.protocol, "bad", _label(failure), peer)
    return Answer(question.protocol, "ok" if got == "ok" else "shut", "ok" if got == "ok" else "shut", peer)


def _pairless(failures: Iterable[Failure], got: Iterable[Question]) -> list[Failure]:
    probed = {(q.source, q.target, q.protocol, q.family) for q in got}
    return [failure for failure in failures if failure.protocol in PROTOCOLS and _pair_of(failure) not in probed]


def _unprobed(failure: Failure) -> tuple[Question, Answer]:
    question = Question(failure.source, failure.target, failure.via, "-", str(failure.family), failure.protocol)
    return question, Answer(failure.protocol, "bad", _label(failure))


def _label(failure: Failure) -> str:
    return "open" if failure.got == "ok" else failure.got


def _phrase(answer: Answer) -> str:
    peer = f" ({answer.peer} answered)" if answer.label == "wrong-peer" and answer.peer else ""
    words = {"shut": "closed as expected", "open": "open, expected closed"}.get(answer.label, answer.label)
    return f"{answer.protocol} {words}{peer}"
