"""Judges NetworkPolicy: a connection between pods is open if and only if no policy shuts it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import permutations, product

from harness.checkers._answers import UNVERIFIED, Answer, failure
from harness.checkers._scene import ProbeKey
from harness.checkers._tally import Tally, last_of_each
from harness.model.history import History, Op
from harness.model.plan import Plan
from harness.model.policies import DIRECTIONS, Connection, Direction, Pod, shut_by
from harness.model.topology import Check
from harness.model.verdict import Failure, Verdict

PROTOCOLS = ("tcp", "udp")
#: What a connection that is shut may answer: some CNIs drop, some reject (RST, or ICMP's port unreachable).
SHUT = ("timeout", "unreachable", "refused")
OWN_NODE = "from its own node"


@dataclass(frozen=True)
class Way:
    """One cell of the table. `source` is a pod, or empty: the target's own node."""

    source: str
    target: str
    protocol: str
    port: int

    def __str__(self) -> str:
        return f"{self.source or OWN_NODE} -> {self.target} {self.port}/{self.protocol}"


def check(history: History, plan: Plan, check: Check) -> Verdict:
    """Params used: `ports`, `protocols`. Silence counts where the listener answered its own node, whom nothing
    shuts out. A direction of which nothing is enforced is named with the CNI.
    """
    pods = _pods(history)
    rows = {_way(row, pods): row for row in last_of_each(history.only(f=PROTOCOLS).ops())}
    policies = plan.policies
    expected = {
        way: shut_by(policies, Connection(pods[way.source], pods[way.target], way.protocol, way.port))
        for way in _ways(pods, check)
    }
    tally = Tally()
    tally.wrong += _unenforced(expected, rows, history)
    for way, shut in expected.items():
        _judge(tally, way, shut, rows)
    _figures(tally, pods, expected, rows.values())
    if pods and not any(expected.values()):
        tally.doubts.append("the policies shut nothing among these pods, so whether they are enforced is not seen")
    shuts = sum(map(bool, expected.values()))
    return tally.verdict(
        check, f"{len(pods)} pods: {len(expected) - shuts} connections are open, {shuts} are shut"
    )


def _pods(history: History) -> dict[str, Pod]:
    """Those of the check's first look."""
    found: dict[str, Pod] = {}
    for row in history.only(f="pod").ops():
        told = json.loads(str(row.value))
        found.setdefault(row.at, Pod(**{**told, "ports": tuple((n, p, int(i)) for n, p, i in told["ports"])}))
    return found


def _ways(pods: Iterable[str], check: Check) -> Iterator[Way]:
    ports, protocols = check.params.get("ports") or [], check.params.get("protocols") or PROTOCOLS
    for (source, target), port, protocol in product(permutations(pods, 2), ports, protocols):
        yield Way(source, target, protocol, port)


def _way(row: Op, pods: Mapping[str, Pod]) -> Way:
    key = ProbeKey.parse(row.key)
    port = key.via.removeprefix("port-")
    return Way(row.at if row.at in pods else "", key.to, row.f, int(port) if port.isdigit() else 0)


def _judge(tally: Tally, way: Way, shut: tuple[Direction, ...], rows: Mapping[Way, Op]) -> None:
    row = rows.get(way)
    if row is None:
        tally.doubts.append(f"not probed: {way}")
        return
    answer, key = Answer.of(row), ProbeKey.parse(row.key)
    told = failure(row, key, "closed" if shut else "ok", answer.got)
    if not shut:
        _judge_open(tally, way, answer, told)
    elif answer.got not in SHUT:
        tally.fail(told, f", shut by {' and '.join(shut).lower()}")
    elif _listens(rows.get(Way("", way.target, way.protocol, way.port)), way.target):
        tally.right()
    else:
        tally.doubts.append(f"{way.target} does not answer its own node on {way.port}/{way.protocol}")


def _judge_open(tally: Tally, way: Way, answer: Answer, told: Failure) -> None:
    if answer.got != "ok":
        tally.fail(told)
    elif answer.peer == way.target:
        tally.right()
    elif answer.peer in ("", UNVERIFIED):
        tally.doubts.append(f"{way}: peer unverified")
    else:
        tally.fail(told, f", answered by {answer.peer}")


def _listens(control: Op | None, target: str) -> bool:
    return control is not None and Answer.of(control) == Answer("ok", target)


def _unenforced(
    expected: Mapping[Way, tuple[Direction, ...]], rows: Mapping[Way, Op], history: History
) -> Iterator[str]:
    """Sentences about policies, or one direction of them, of which nothing is in force."""
    shut = {way: by for way, by in expected.items() if by and way in rows}
    is_open = {way for way in shut if Answer.of(rows[way]).got == "ok"}
    who = _cni(history)
    if shut and is_open == shut.keys():
        yield f"{who} enforces no NetworkPolicy: all {len(shut)} connections that must be shut are open"
        return
    for direction in DIRECTIONS:
        alone = {way for way, by in shut.items() if by == (direction,)}
        if alone and alone <= is_open:
            yield f"{who} enforces no {direction.lower()}: all {len(alone)} connections that it shuts are open"


def _cni(history: History) -> str:
    """For people: the network that the nodes' CNI configuration names."""
    names = {_named(str(row.value)) for row in history.only(f="cni", outcome="ok").ops()} - {""}
    return f"the CNI ({', '.join(sorted(names))})" if names else "the CNI"


def _named(text: str) -> str:
    try:
        return str(json.loads(text)["name"])
    except (ValueError, KeyError, TypeError):
        return ""


def _figures(
    tally: Tally, pods: Mapping[str, Pod], expected: Mapping[Way, tuple[Direction, ...]], rows: Iterable[Op]
) -> None:
    """`probe_s`: the last round, from its first question to its last answer."""
    times = [(row.start_ns, row.end_ns) for row in rows]
    if pods and times:
        tally.figures["connections"] = len(expected)
        tally.figures["shut"] = sum(map(bool, expected.values()))
        tally.figures["probe_s"] = round(
            (max(end for _, end in times) - min(start for start, _ in times)) / 1e9, 3
        )
