"""What one probe's answer says: open as it must be, closed as it must be, or nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.checkers._scene import ProbeKey, Scene, joining, meant
from harness.checkers._tally import Tally
from harness.model.history import Op
from harness.model.plan import Plan
from harness.model.verdict import Failure

PROBES = ("tcp", "udp", "icmp")
#: What a pair without a common network may answer: nothing at all, or that there is no way.
SILENCE = ("timeout", "unreachable", "dns")
UNVERIFIED = "?"

Kind = Literal["open", "closed", "unknown"]


@dataclass(frozen=True)
class Answer:
    """`got` of a probe, and who answered: empty for ICMP and for silence, `?` for a listener that is not ours."""

    got: str
    peer: str

    @classmethod
    def of(cls, row: Op) -> Answer:
        got, _, peer = str(row.value).partition(" ")
        return cls(got, peer)


def kind_of(scene: Scene, plan: Plan, key: ProbeKey, source: str) -> Kind:
    """Whether a probe by IP between containers must be answered; every other way is asked only where it must."""
    if key.via != "ip":
        return "open"
    one, other = scene.containers.get(source), scene.containers.get(key.to)
    if one is None or other is None or one.host or other.host:
        return "unknown"
    return "open" if joining(plan, one, other) else "closed"


def judge_open(tally: Tally, row: Op, key: ProbeKey, scene: Scene, plan: Plan) -> None:
    """The answer must come from one of those that are meant."""
    answer = Answer.of(row)
    peers = meant(scene, plan, key)
    if answer.got != "ok":
        tally.fail(failure(row, key, "ok", answer.got))
    elif row.f == "icmp" or answer.peer in peers:
        tally.right()
    elif answer.peer in ("", UNVERIFIED):
        tally.doubts.append(f"{row.at} -> {key.to} via {key.via} ({row.f}): peer unverified")
    else:
        tally.fail(failure(row, key, "ok", "wrong-peer"), f", answered by {answer.peer}")


def judge_closed(tally: Tally, row: Op, key: ProbeKey, reached: set[tuple[str, int]]) -> None:
    """Silence is right, if the asker is known to reach anybody at all (`reached`)."""
    answer = Answer.of(row)
    if answer.got not in SILENCE:
        tally.fail(failure(row, key, "closed", answer.got))
    elif (row.at, key.family) in reached:
        tally.right()
    else:
        how = " by IPv6" if key.family == 6 else ""
        tally.doubts.append(f"{row.at} reached nobody{how}, so its silence to {key.to} says nothing")


def failure(row: Op, key: ProbeKey, expected: str, got: str) -> Failure:
    return Failure(row.at, key.to, key.via, row.f, key.family, expected, got)


def reached_anybody(rows: list[Op], scene: Scene, plan: Plan) -> set[tuple[str, int]]:
    """Containers that got an answer where one was due, with the family by which they got it."""
    keys = [ProbeKey.parse(row.key) for row in rows]
    return {
        (row.at, key.family)
        for row, key in zip(rows, keys, strict=True)
        if Answer.of(row).got == "ok" and kind_of(scene, plan, key, row.at) == "open"
    }
