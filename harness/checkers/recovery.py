"""Judges recovery: what a fault did to open connections, and how soon names, tasks and peers were right again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from harness.checkers._answers import PROBES, UNVERIFIED, Answer
from harness.checkers._names import Expected, NameKey, Settled, Truth, settled
from harness.checkers._scene import ProbeKey, Scene, meant, phases, scene_at
from harness.checkers._tally import Tally
from harness.model.history import NEVER, History, Op
from harness.model.plan import Plan
from harness.model.topology import Check
from harness.model.verdict import Failure, Verdict


def check(history: History, plan: Plan, check: Check) -> Verdict:
    """Params used: `within_s` after the last heal. A stalled or broken connection is a figure, not a failure;
    what is not right again in time, or a connection that is open and silent for good, is a failure. TCP doubles
    its time-out while it waits (RFC 6298, 5.5), so silence counts once it has lasted as long after healing as it
    did before, or `within_s`; a shorter watch leaves it unknown.
    """
    tally = Tally()
    healed_ns = _healed_ns(history)
    if healed_ns is None:
        tally.doubts.append("no fault was healed and nothing updated, so there is nothing to recover from")
        return tally.verdict(check, "")
    within_s = float(check.params.get("within_s", 120.0))
    _judge_connections(tally, history, healed_ns, within_s)
    _judge_afterwards(tally, history, plan, healed_ns, within_s)
    _judge_tasks(tally, history, plan, healed_ns)
    return tally.verdict(check, f"everything was right again {tally.figures['recovered_s']:.3g} s after healing")


def _healed_ns(history: History) -> int | None:
    """When the last fault was healed, or the last update done."""
    ends = [row.end_ns for row in history.only(f="fault").ops() if row.value == "heal"]
    ends += [row.end_ns for row in _updates(history) if row.outcome == "ok"]
    return max(ends, default=None)


def _updates(history: History) -> list[Op]:
    return [row for row in history.only(f="act").ops() if row.key.startswith("update|")]


#: What ends a kept connection, where a late echo (`timeout`) does not.
ENDED = ("reset", "unreachable")


@dataclass(frozen=True)
class Connection:
    """A kept connection's echoes. `stall_s` is the longest time between two that came back."""

    process: str
    rows: tuple[Op, ...]

    @property
    def echoes_ns(self) -> list[int]:
        return sorted(row.end_ns for row in self.rows if Answer.of(row).got == "ok")

    @property
    def stall_s(self) -> float:
        ends = self.echoes_ns
        return float(np.diff(ends).max()) / 1e9 if len(ends) > 1 else 0.0

    @property
    def ends(self) -> set[str]:
        """The container that holds it, and the address that it leads to."""
        return {self.rows[0].at, ProbeKey.parse(self.rows[0].key).address}

    @property
    def died(self) -> bool:
        return any(Answer.of(row).got in ENDED for row in self.rows)


def _connections(history: History) -> list[Connection]:
    groups: dict[tuple[str, str, str], list[Op]] = {}
    for row in history.only(f="beat").ops():
        groups.setdefault((row.host, row.at, row.process), []).append(row)
    return [Connection(process, tuple(rows)) for (_, _, process), rows in groups.items()]


def _watched_s(history: History, healed_ns: int) -> float:
    """How long connections were kept after healing: an echo that is late leaves no row when the watch ends."""
    ends = history.only(f="beat")["end_ns"]
    recovered = [row.end_ns for row in history.only(f="fault").ops() if row.value == "recover"]
    last = max([*ends[ends < NEVER].tolist(), *recovered], default=healed_ns)
    return float(last - healed_ns) / 1e9


def _judge_connections(tally: Tally, history: History, healed_ns: int, within_s: float) -> None:
    connections = _connections(history)
    watched_s, moved = _watched_s(history, healed_ns), _moved(history)
    if not connections:
        tally.doubts.append("no connection was kept open through the fault")
    ended = [connection for connection in connections if connection.died or connection.ends & moved]
    for connection in ended if _updates(history) and not len(history.only(f="fault")) else ():
        _judge_bystander(tally, connection, _replaced(history) | moved)
    for connection in connections:
        _judge_connection(tally, connection, connection in ended, healed_ns, watched_s, within_s)
    died = len(ended)
    tally.figures |= {
        "connections": len(connections),
        "connections_died": died,
        "connections_survived": len(connections) - died,
        "stall_max_s": round(max((connection.stall_s for connection in connections), default=0.0), 6),
    }


def _judge_bystander(tally: Tally, connection: Connection, replaced: set[str]) -> None:
    """An update may end the connections of what it replaces, and no others."""
    first = connection.rows[0]
    key = ProbeKey.parse(first.key)
    if not {first.at, key.to, key.address} & replaced:
        failure = Failure(first.at, key.to, key.via, "beat", key.family, "ok", "reset")
        tally.fail(failure, ": neither end of it was replaced by the update")


def _replaced(history: History) -> set[str]:
    """Containers of the services that were updated."""
    services = {row.key.partition("|")[2] for row in _updates(history)}
    return {row.at for row in history.only(f="task").ops() if row.process in services}


def _moved(history: History) -> set[str]:
    """Containers, and addresses of containers, that were there at the first look and are not at the last: what was
    connected to one of them has nobody to talk to.
    """
    looks = phases(history)
    if not looks:
        return set()
    first, last = (_placed(scene_at(history, phase)) for phase in (looks[0], looks[-1]))
    return {end for pair in first - last for end in pair}


def _placed(scene: Scene) -> set[tuple[str, str]]:
    return {(c.name, address) for c in scene.containers.values() for address in c.addresses.values()}


def _judge_connection(
    tally: Tally, connection: Connection, has_ended: bool, healed_ns: int, watched_s: float, within_s: float
) -> None:
    first, echoes = connection.rows[0], connection.echoes_ns
    key = ProbeKey.parse(first.key)
    label = f"connection {connection.process} from {first.at} to {key.to}"
    if not echoes:
        tally.doubts.append(f"{label} never carried an echo")
    elif has_ended:
        tally.ignored += 1
    elif echoes[-1] >= healed_ns:
        tally.right()
    elif watched_s < min(within_s, (healed_ns - echoes[-1]) / 1e9):
        tally.doubts.append(
            f"{label} was silent still, but not watched long enough: {watched_s:.1f} s after healing"
        )
    else:
        failure = Failure(first.at, key.to, key.via, "beat", key.family, "ok", "timeout")
        tally.fail(failure, f": open, but silent for {watched_s:.1f} s after healing")


def _judge_afterwards(tally: Tally, history: History, plan: Plan, healed_ns: int, within_s: float) -> None:
    """Of the questions that were asked after healing, those of the last scene count: tasks may move until then."""
    asked_since_ns = _last_scene_ns(history, healed_ns)
    recovered_s, count = 0.0, 0
    for asked, expected in _after(history, plan, healed_ns):
        if asked.last.start_ns < asked_since_ns:
            tally.ignored += 1
            continue
        count += 1
        took_s = _judge_question(tally, asked, expected, healed_ns, within_s)
        recovered_s = max(recovered_s, took_s)
    if not count:
        tally.doubts.append("nothing was asked after healing")
    tally.figures["recovered_s"] = round(recovered_s, 6)


def _judge_question(tally: Tally, asked: Settled, expected: str, healed_ns: int, within_s: float) -> float:
    """Returns how long after healing the answer was right for good; 0 where it was not."""
    took_s = (asked.since.end_ns - healed_ns) / 1e9 if asked.since else 0.0
    if asked.since is None and str(asked.last.value) == f"ok {UNVERIFIED}":
        tally.doubts.append(f"{asked.last.at} was answered after healing, but the peer is unverified")
    elif asked.since is None:
        detail = f" ({asked.last.value}): not right again within {within_s:g} s after healing"
        tally.fail(_failure(asked.last, expected), detail)
    elif took_s <= within_s:
        tally.right()
    elif asked.since is asked.first:
        tally.doubts.append(f"{asked.last.at} asked only {took_s:.1f} s after healing, more than {within_s:g} s")
    else:
        detail = f": right again only {took_s:.1f} s after healing, more than {within_s:g} s"
        tally.fail(_failure(asked.last, expected), detail)
    return took_s


def _looks_after(history: History, healed_ns: int) -> dict[str, int]:
    """The phases of looks that began after healing, with their times, in order."""
    rows = [row for row in history.only(f=("endpoint", "task")).ops() if row.start_ns >= healed_ns]
    return {row.key.partition("|")[0]: row.start_ns for row in sorted(rows, key=lambda row: row.start_ns)}


def _last_scene_ns(history: History, healed_ns: int) -> int:
    """When the scene was taken in which the last questions were asked: where the last look only confirms, the one
    before.
    """
    looks = list(_looks_after(history, healed_ns).values())
    return looks[-2] if len(looks) > 1 else healed_ns


def _after(history: History, plan: Plan, healed_ns: int) -> Iterator[tuple[Settled, str]]:
    """Each question asked after healing, with its answers over all scenes and what the last should say."""
    scene, truth = scene_at(history), Truth(history, plan)
    groups: dict[tuple[str, ...], list[Op]] = {}
    for row in history.where(history["start_ns"] >= healed_ns).only(f=(*PROBES, "dns")).ops():
        groups.setdefault(_question(row), []).append(row)
    for group in groups.values():
        rows = sorted(group, key=lambda row: row.start_ns)
        if rows[0].f != "dns":
            yield settled(rows, [_reaches(row, scene, plan) for row in rows]), "ok"
            continue
        meanings = [truth.of(NameKey.parse(row.key)) for row in rows]
        if meanings[-1] is not None:
            yield settled(rows, [_says(*pair) for pair in zip(meanings, rows, strict=True)]), str(meanings[-1])


def _says(meaning: Expected | None, row: Op) -> bool:
    return meaning is not None and meaning.says(str(row.value))


def _question(row: Op) -> tuple[str, ...]:
    """What is asked and by whom, whatever address or scene it was about."""
    if row.f == "dns":
        name = NameKey.parse(row.key)
        return row.f, row.at, name.network, name.name
    probe = ProbeKey.parse(row.key)
    return row.f, row.at, probe.via, probe.network, probe.to


def _reaches(row: Op, scene: Scene, plan: Plan) -> bool:
    answer = Answer.of(row)
    peers = meant(scene, plan, ProbeKey.parse(row.key))
    return answer.got == "ok" and (row.f == "icmp" or answer.peer in peers)


def _failure(row: Op, expected: str) -> Failure:
    if row.f == "dns":
        key = NameKey.parse(row.key)
        return Failure(row.at, key.name, "name", "dns", 4, expected, "dns")
    probe, answer = ProbeKey.parse(row.key), Answer.of(row)
    got = "wrong-peer" if answer.got == "ok" else answer.got
    return Failure(row.at, probe.to, probe.via, row.f, probe.family, expected, got)


def _judge_tasks(tally: Tally, history: History, plan: Plan, healed_ns: int) -> None:
    """As many containers as planned run at the last look, and none has moved since the one before."""
    looks = list(_looks_after(history, healed_ns))
    if not looks:
        tally.doubts.append("nobody looked which containers run after healing")
        return
    scene = scene_at(history, looks[-1])
    if len(looks) > 1 and scene_at(history, looks[-2]) != scene:
        tally.doubts.append("containers still moved when the check ended")
    for target in plan.targets:
        running = len(scene.of(target.service))
        if running < target.containers:
            tally.wrong.append(f"{target.service}: {running} of {target.containers} containers run after healing")
        else:
            tally.right()
