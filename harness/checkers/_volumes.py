"""What holds for every check of a volume: when a run says nothing about it (`void`), when it says too little
(`doubts`), and what a verdict becomes of the promises that were measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.model.history import History, Op
from harness.model.plan import Plan, VolumePlan
from harness.model.verdict import Observed, Outcome, Promise, Verdict, merge


@dataclass(frozen=True)
class Measured:
    """A count of breaches among `of` chances; `witness` names one."""

    count: int = 0
    of: int = 0
    witness: str = ""

    def __add__(self, other: Measured) -> Measured:
        return Measured(self.count + other.count, self.of + other.of, self.witness or other.witness)

    @property
    def observed(self) -> Observed:
        if self.count:
            return "broken"
        return "kept" if self.of else "unmeasured"


def promise_of(name: str, found: Measured, volume: VolumePlan) -> Promise:
    """What was measured, beside what the plan says of the volume; what it is silent on is unproven."""
    expected, source = volume.promises.get(name, ("unproven", ""))
    return Promise(
        name=name,
        expected=expected,  # type: ignore[arg-type]
        observed=found.observed,
        count=found.count,
        of=found.of,
        source=source,
        witness=f"{found.witness} (volume {volume.name})" if found.count else "",
    )


def decided(
    verdict: Verdict, volume: VolumePlan, *, unshared: bool, doubts: Sequence[str], void: Sequence[str]
) -> Verdict:
    """The verdict with the outcome that its promises, `doubts` and `void` make, and a reason for people."""
    if void:
        return replace(verdict, verdict="unknown", reason="; ".join(void))
    broken = [p for p in verdict.promises if p.observed == "broken"]
    outcomes: list[Outcome] = [p.outcome for p in verdict.promises]
    outcomes += ["unknown"] if doubts else []
    reasons = [f"{p.name} is broken: {p.witness}" for p in broken if p.outcome == "fail"] + [*doubts]
    reasons += [f"{p.name} was not measured" for p in verdict.promises if p.outcome == "unknown"]
    reason = "; ".join(reasons) or _good(volume, broken, unshared=unshared)
    return replace(verdict, verdict=merge(outcomes), reason=reason)


def _good(volume: VolumePlan, broken: Sequence[Promise], *, unshared: bool) -> str:
    others = [f"{p.name} is broken and not promised: {p.witness}" for p in broken if p.name != "shared"]
    if unshared:
        promised = ", as a local volume promises" if volume.driver == "local" else ", and it is not promised"
        return "; ".join([f"not shared{promised}: every host sees only its own records", *others])
    if broken:
        return "; ".join(f"{p.name} is broken and not promised: {p.witness}" for p in broken)
    return f"every promise that was measured is kept on {volume.name}"


def void_of(history: History, volume: VolumePlan, *, unshared: bool) -> list[str]:
    """Why this run says nothing about the volume: it was not the volume that was planned, or not all the time."""
    return [*_foreign_mounts(history, volume), *mount_changes(history), *_unshared(volume, unshared=unshared)]


def _foreign_mounts(history: History, volume: VolumePlan) -> list[str]:
    """Containers that have something else there than the volume's file system: what they wrote landed elsewhere,
    most often in a directory of the node whose mount was gone (moby#34556).
    """
    found: dict[str, str] = {}
    for row in history.only(f="mount", outcome="ok").ops():
        _device, _, mount = str(row.value).partition(" ")
        fstype, _, source = mount.partition(" ")
        if not _is_of(fstype, volume.fstype) or not source.startswith(volume.source):
            wanted = " ".join(word for word in (volume.fstype, volume.source) if word)
            phase = row.key.partition("|")[0]
            found.setdefault(
                f"{row.host} {row.at}",
                f"{volume.name} is not mounted for {row.at} on {row.host} ({phase}): it has {mount}, not {wanted}",
            )
    return list(found.values())


def _is_of(fstype: str, wanted: str) -> bool:
    """The node that serves NFS version 3 mounts by version 4.2 (harness/stores/_nfs.py)."""
    return wanted in ("", fstype) or (wanted, fstype) == ("nfs", "nfs4")


def _unshared(volume: VolumePlan, *, unshared: bool) -> list[str]:
    """A volume that must be shared and is not was not mounted as planned."""
    if not (volume.shared and unshared):
        return []
    return [f"{volume.name} is not shared: no host sees a record of another, so nothing was measured"]


def mount_changes(history: History) -> list[str]:
    """Each reader's mount must be the same before and after: another device is another volume. On nodes that a
    fault killed mounts are made anew, by another number of the same file system.
    """
    seen: dict[tuple[str, str], str] = {}
    changes = []
    remade = _remade(history)
    for row in history.only(f="mount").ops():
        place, look = (row.host, row.process), str(row.value)
        if row.host in remade:
            look = look.partition(" ")[2]
        if seen.setdefault(place, look) != look:
            changes.append(f"mount changed under {row.at} on {row.host}: {seen[place]} became {look}")
    return changes


def situation(history: History) -> str:
    """For witnesses: which files, how they were mounted, on which kernels; empty where that was not recorded."""
    told = [str(row.value).rpartition(" ") for row in history.only(f="file", outcome="ok").ops()]
    mounted = [str(row.value).partition(" ")[2] for row in history.only(f="mount", outcome="ok").ops()]
    parts = {
        "files": sorted({f"{stem}*" for stem, _, _ in told}),
        "mounted": sorted(set(mounted)),
        "kernel": sorted({release for _, _, release in told}),
    }
    return "; ".join(f"{name}: {', '.join(values)}" for name, values in parts.items() if values)


def _remade(history: History) -> set[str]:
    """Nodes that a fault struck which ends with a new mount."""
    struck = history.only(f="fault", key="kill", outcome="ok").ops()
    return {node for row in struck if row.value == "inject" for node in row.at.split(",")}


def too_few_workers(
    history: History, plan: Plan, volume: str, *, per_node: int, found: int, what: str
) -> list[str]:
    """`found` workers did something, of as many as the plan and the looks at mounts let expect."""
    looked_at = len(set(history.only(f="mount")["host"].tolist()))
    wanted = max(looked_at, _planned_hosts(plan, volume)) * per_node
    return [f"{found} of {wanted} {what}"] if found < wanted else []


def too_few(counts: Mapping[str, int], least: int) -> list[str]:
    """Kinds of operations, in the plural, of which too few were acknowledged to say anything."""
    return [f"only {count} {what} were acknowledged" for what, count in counts.items() if count < least]


def _planned_hosts(plan: Plan, volume: str) -> int:
    """On how many nodes at least a container mounts the volume; replicas may share a node."""
    users = [target for target in plan.targets if volume in target.mounts]
    fixed = len({target.node for target in users if target.kind == "plain"})
    spread = [target.containers for target in users if target.kind == "global"]
    return max([fixed, *spread, 1])


def absent_nonces(history: History, volume: str) -> list[str]:
    """What one host left in the volume and another did not find."""
    return [
        f"{row.at} on {row.host} does not see the file that {writer} left"
        for row, writer in _nonces(history, volume, "ok")
        if row.value == "absent"
    ]


def fresh_mounts(history: History) -> int:
    """On how many nodes the last reads were repeated from a fresh mount."""
    return len(history.only(f="fresh", outcome="ok"))


def failed_looks(history: History, volume: str) -> list[str]:
    unmounted = [
        f"no fresh mount on {row.host} to read from: {str(row.value).strip() or f'exit code {row.errno}'}"
        for row in history.only(f="fresh").ops()
        if row.outcome != "ok"
    ]
    return unmounted + [
        f"{row.at} on {row.host} could not look for the file that {writer} left (errno {row.errno})"
        for row, writer in _nonces(history, volume, "fail")
    ]


def seen_nonces(history: History, volume: str) -> set[tuple[str, str]]:
    """(host that looked, host that it sees): whose nonce was found, a host's own looks left out."""
    home = _homes(history)
    return {
        (row.host, home[row.key.partition("|")[2]])
        for row, _ in _nonces(history, volume, "ok")
        if row.value == "seen" and row.key.partition("|")[2] in home
    }


def _homes(history: History) -> dict[str, str]:
    return {row.at: row.host for row in history.only(f="nonce").ops()}


def _nonces(history: History, volume: str, outcome: str) -> Iterator[tuple[Op, str]]:
    """Looks of one host for what a container of another host left, with who left it and where."""
    rows = list(history.only(f="nonce").ops())
    home = {row.at: row.host for row in rows}
    for row in rows:
        name, _, writer = row.key.partition("|")
        if name == volume and row.outcome == outcome and home.get(writer, row.host) != row.host:
            yield row, f"{writer} on {home[writer]}"
