"""Judges bind mounts: what each container could do to its node's files, against what its settings allow.

The verdict rests on the node's own view of the files. Expectations follow path_resolution(7), capabilities(7) and
mount(2): who owns a file or has CAP_DAC_OVERRIDE writes it, and nobody writes through a read-only mount.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.checkers._promises import with_promises
from harness.checkers._tally import Tally
from harness.model.history import History, Op
from harness.model.plan import Plan
from harness.model.topology import Check, Mount, Service
from harness.model.verdict import Expected, Observed, Promise, Verdict

#: Attempts that change the node's files, and what only the container can tell.
CHANGES = ("write", "create", "delete", "chown", "foreign", "mknod")
CLAIMS = ("secret", "rootfs")
DOCKER = "Docker: Bind mounts, considerations and constraints"
READ_ONLY_ROOT = "Docker: docker run --read-only is about the container's own root and no mount"


@dataclass(frozen=True)
class _Settings:
    """What of a service decides what its containers may do."""

    root: bool
    read_only_mount: bool
    read_only_root: bool
    dropped: frozenset[str]

    @classmethod
    def of(cls, service: Service, mount: Mount) -> _Settings:
        user = (service.user or "0").partition(":")[0]
        dropped = frozenset(name.upper().removeprefix("CAP_") for name in service.cap_drop)
        return cls(user in ("0", "root"), mount.read_only, service.read_only, dropped)

    def has(self, capability: str) -> bool:
        """Of the capabilities that an engine gives to root by default, and to nobody else."""
        return self.root and not self.dropped & {"ALL", capability}

    def allows(self, attempt: str) -> bool:
        if attempt == "rootfs":
            return self.root and not self.read_only_root
        if attempt == "secret":
            return self.root
        if self.read_only_mount:
            return False
        needs = {"chown": "CHOWN", "foreign": "DAC_OVERRIDE", "mknod": "MKNOD"}
        return self.has(needs[attempt]) if attempt in needs else self.root


def check(history: History, plan: Plan, check: Check) -> Verdict:
    """Every attempt of every container: what it changed must be what its settings allow, no more and no less."""
    tally, seen = Tally(), list(_cases(history, plan))
    tally.doubts += [f"{row.at}: {row.value}" for row in _failed(history)]
    for case in seen:
        case.judge(tally)
    tally.figures = {f"{case.name}_can": " ".join(case.succeeded) or "nothing" for case in seen}
    good = f"{len(seen)} containers could do to their nodes' files exactly what their settings allow"
    verdict = tally.verdict(check, good)
    return with_promises(verdict, list(_promises(seen)))


@dataclass(frozen=True)
class _Case:
    """One container and one bind mount; attempts to whether they succeeded, as the node sees it."""

    name: str
    settings: _Settings
    outcome: Mapping[str, bool]
    claimed: Mapping[str, bool]

    @property
    def succeeded(self) -> list[str]:
        return [attempt for attempt in (*CHANGES, *CLAIMS) if self.outcome.get(attempt)]

    def judge(self, tally: Tally) -> None:
        for attempt in (*CHANGES, *CLAIMS):
            done, allowed = self.outcome.get(attempt), self.settings.allows(attempt)
            if done is None:
                tally.doubts.append(f"{self.name}: nobody knows whether {attempt} succeeded")
            elif done != allowed:
                tally.wrong.append(f"{self.name}: {attempt} {_happened(done)}, and it {_should(allowed)}")
            elif attempt in self.claimed and self.claimed[attempt] != done:
                tally.wrong.append(f"{self.name}: {attempt} {_happened(done)}; the container says otherwise")
            else:
                tally.right()


def _happened(done: bool) -> str:
    return "succeeded" if done else "did not succeed"


def _should(allowed: bool) -> str:
    return "should" if allowed else "must not"


def _cases(history: History, plan: Plan) -> Iterator[_Case]:
    attempts = {(row.at, row.key): row for row in history.only(f="attempts").ops()}
    views = {(row.at, row.key): row for row in history.only(f="node-files").ops()}
    for (at, key), row in attempts.items():
        service, _, source = key.partition("|")
        described = plan.topology.services[service]
        mount = next(m for m in described.volumes if m.type == "bind" and m.source == source)
        claimed = dict(_claims(str(row.value)))
        outcome = {attempt: claimed[attempt] for attempt in CLAIMS if attempt in claimed}
        view = views.get((at, key))
        if view is not None and view.outcome == "ok":
            outcome |= dict(_changes(str(view.value)))
        yield _Case(at, _Settings.of(described, mount), outcome, claimed)


def _claims(text: str) -> Iterator[tuple[str, bool]]:
    for line in text.splitlines():
        name, _, rest = line.partition(" ")
        if name in (*CHANGES, *CLAIMS) and rest[:2] in ("ok", "no"):
            yield name, rest.startswith("ok")


def _changes(text: str) -> Iterator[tuple[str, bool]]:
    """From lines `FILE absent` or `FILE UID_KIND CONTENT`: what was changed, made or removed."""
    for line in text.splitlines():
        name, state, content = [*line.split(" ", 2), "", ""][:3]
        uid = state.partition("_")[0]
        changed = {
            "write": content.startswith("changed"),
            "foreign": content.startswith("changed"),
            "create": state != "absent",
            "mknod": state != "absent",
            "delete": state == "absent",
            "chown": uid == "4321",
        }
        if name in changed:
            yield name, changed[name]


def _failed(history: History) -> list[Op]:
    return [row for row in history.only(f=("attempts", "node-files", "command")).ops() if row.outcome != "ok"]


def _promises(cases: Sequence[_Case]) -> Iterator[Promise]:
    """What people expect of each setting, over all containers that have it."""
    plain = [c for c in cases if c.settings.root and not c.settings.read_only_mount and not c.settings.dropped]
    yield _protects("root in a container leaves the node's files alone", "may", plain, DOCKER)
    alone = [case for case in plain if case.settings.read_only_root]
    yield _protects("read_only protects the node's files", "may", alone, READ_ONLY_ROOT)
    yield _protects(
        ":ro protects the node's files", "holds", [c for c in cases if c.settings.read_only_mount], DOCKER
    )
    users = [case for case in cases if not case.settings.root]
    yield _protects("a user without rights protects files that it cannot write", "holds", users, "credentials(7)")
    dropped = [case for case in cases if case.settings.root and "ALL" in case.settings.dropped]
    yield _protects(
        "dropped capabilities bind root", "holds", dropped, "capabilities(7)", ("chown", "foreign", "mknod")
    )


def _protects(
    name: str, expected: Expected, cases: Sequence[_Case], source: str, attempts: Sequence[str] = CHANGES
) -> Promise:
    """Kept where none of `attempts` succeeded in any of `cases`. With no such container it promises nothing."""
    if not cases:
        return Promise(name, "unproven", "unmeasured", source=source)
    done = [(case.name, attempt) for case in cases for attempt in attempts if case.outcome.get(attempt)]
    observed: Observed = "broken" if done else "kept"
    witness = f"{done[0][0]}: {done[0][1]} succeeded" if done else ""
    return Promise(name, expected, observed, len(done), len(cases) * len(attempts), source, witness)
