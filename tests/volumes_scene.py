"""What stands around the rows of every check of a volume: looks at mounts, and files left for each other."""

from __future__ import annotations

from harness.model.history import Op
from harness.model.plan import VolumePlan
from harness.model.verdict import Promise, Verdict
from tests.checkers_scene import row

HOSTS = ("n1", "n2")
PROMISES = (
    "shared", "lock-exclusion", "lock-read-write", "exclusive-create", "rename-old-or-new", "writes-not-mixed",
    "reads-not-torn", "new-name-visible", "fsync-survives-client-kill", "no-space-surfaces",
    "no-space-at-fsync",
)  # fmt: skip


def shared_volume(expected: str = "holds", *more: str) -> VolumePlan:
    """All promises that checks of volumes measure, and `more` of them."""
    promises = dict.fromkeys((*PROMISES, *more), (expected, "the manual"))
    return VolumePlan("data", "local", expected == "holds", promises)


def around(check: str, nonces: list[Op] | None = None) -> list[Op]:
    """Mounts before and after, and nonces that were seen unless others are given."""
    rows = [
        row("mount", check, process=f"reader-{host}", host=host, at=f"edge.{host}", key=f"{phase}|data",
            value="41 ext4 /dev/x")
        for phase in ("before", "after")
        for host in HOSTS
    ]  # fmt: skip
    return rows + (_nonces(check, "seen") if nonces is None else nonces)


def unshared(check: str) -> list[Op]:
    return _nonces(check, "absent")


def _nonces(check: str, value: str) -> list[Op]:
    return [
        row("nonce", check, process=f"reader-{host}", host=host, at=f"edge.{host}", key=f"data|edge.{other}",
            value=value)
        for host in HOSTS
        for other in HOSTS
        if host != other
    ]  # fmt: skip


def promise(verdict: Verdict, name: str) -> Promise:
    return next(promise for promise in verdict.promises if promise.name == name)


def broken(verdict: Verdict) -> list[str]:
    return [promise.name for promise in verdict.promises if promise.observed == "broken"]
