"""Bind mounts: the node's view decides, and settings say what must have been possible."""

from __future__ import annotations

from typing import Any

import pytest

from harness.checkers import judge
from harness.checkers.bind_mount import CHANGES
from harness.model.history import History, Op
from harness.model.topology import Topology
from harness.model.verdict import Verdict
from tests.checkers_scene import make_check, make_plan, row

KIND = "bind-mount"
ALL = (*CHANGES, "secret", "rootfs")
SERVICES: dict[str, dict[str, Any]] = {
    "plain": {},
    "ro": {"mount": ":ro"},
    "user": {"user": "1000:1000"},
    "readonly": {"read_only": True},
    "bare": {"cap_drop": ["ALL"]},
    "nochown": {"cap_drop": ["CAP_CHOWN"]},
}
#: What each can do.
CAN = {
    "plain": set(ALL),
    "ro": {"secret", "rootfs"},
    "user": set(),
    "readonly": {*CHANGES, "secret"},
    "bare": {"write", "create", "delete", "secret", "rootfs"},
    "nochown": set(ALL) - {"chown"},
}


def topology() -> Topology:
    services = {}
    for name, settings in SERVICES.items():
        own = {key: value for key, value in settings.items() if key != "mount"}
        services[name] = {"node": "n1", "volumes": [f"/etc:/host{settings.get('mount', '')}"], **own}
    return Topology.model_validate({"name": "x", "services": services})


def claims(done: set[str]) -> str:
    return "\n".join(f"{name} ok" if name in done else f"{name} no sh: Permission denied" for name in ALL)


def view(done: set[str]) -> str:
    lines = [f"{name} 0 {'changed' if name in done else 'original'}" for name in ("write", "foreign")]
    lines = [line.replace(" 0 ", " 0_regular_file ") for line in lines]
    lines.append("create 0_regular_file new" if "create" in done else "create absent")
    lines.append("delete absent" if "delete" in done else "delete 0_regular_file original")
    lines.append("chown 4321_regular_file original" if "chown" in done else "chown 0_regular_file original")
    lines.append("mknod 0_character_special_file" if "mknod" in done else "mknod absent")
    return "\n".join(lines)


def rows(**changes: tuple[set[str], set[str]]) -> list[Op]:
    """Of every service, what it claims and what the node sees; `changes` replaces those of some."""
    found = []
    for name, can in CAN.items():
        claimed, seen = changes.get(name, (can, can))
        found.append(row("attempts", KIND, at=name, key=f"{name}|/etc", value=claims(claimed)))
        found.append(row("node-files", KIND, at=name, key=f"{name}|/etc", value=view(seen)))
    return found


def verdict_on(ops: list[Op]) -> Verdict:
    return judge(History.of(ops), make_plan(topology=topology()), make_check(KIND))


def test_what_settings_allow_and_nothing_else_passes_and_is_shown() -> None:
    verdict = verdict_on(rows())
    assert (verdict.verdict, verdict.correct) == ("pass", len(SERVICES) * len(ALL))
    found = {promise.name: (promise.expected, promise.observed) for promise in verdict.promises}
    assert found == {
        "root in a container leaves the node's files alone": ("may", "broken"),
        "read_only protects the node's files": ("may", "broken"),
        ":ro protects the node's files": ("holds", "kept"),
        "a user without rights protects files that it cannot write": ("holds", "kept"),
        "dropped capabilities bind root": ("holds", "kept"),
    }
    assert verdict.promises[1].witness == "readonly: write succeeded"
    assert verdict.figures["ro_can"] == "secret rootfs"
    assert verdict.figures["user_can"] == "nothing"


@pytest.mark.parametrize(
    ("name", "attempt"),
    [("ro", "write"), ("ro", "mknod"), ("user", "create"), ("bare", "foreign"), ("nochown", "chown")],
)
def test_more_than_settings_allow_fails_by_name(name: str, attempt: str) -> None:
    more = CAN[name] | {attempt}
    verdict = verdict_on(rows(**{name: (more, more)}))
    assert verdict.verdict == "fail"
    assert f"{name}: {attempt} succeeded, and it must not" in verdict.reason


@pytest.mark.parametrize("attempt", ALL)
def test_less_than_settings_allow_fails_as_well(attempt: str) -> None:
    less = CAN["plain"] - {attempt}
    verdict = verdict_on(rows(plain=(less, less)))
    assert verdict.verdict == "fail"
    assert f"plain: {attempt} did not succeed, and it should" in verdict.reason


@pytest.mark.parametrize("attempt", CHANGES)
def test_the_nodes_view_counts_and_a_container_that_says_otherwise_is_named(attempt: str) -> None:
    lied = verdict_on(rows(ro=(CAN["ro"] | {attempt}, CAN["ro"])))
    assert lied.verdict == "fail"
    assert f"ro: {attempt} did not succeed; the container says otherwise" in lied.reason


def test_without_the_nodes_view_nothing_is_known() -> None:
    ops = [op for op in rows() if not (op.f == "node-files" and op.at == "ro")]
    verdict = verdict_on(ops)
    assert verdict.verdict == "unknown"
    assert "ro: nobody knows whether write succeeded" in verdict.reason


def test_an_image_without_a_shell_is_unknown() -> None:
    ops = [op for op in rows() if op.at != "plain"]
    failed = row("attempts", KIND, at="plain", key="plain|/etc", value="no such file: sh", outcome="fail")
    verdict = verdict_on([*ops, failed])
    assert verdict.verdict == "unknown"
    assert "plain: no such file: sh" in verdict.reason


def test_without_a_container_of_a_kind_its_promise_is_not_made() -> None:
    verdict = verdict_on([op for op in rows() if op.at == "plain"])
    assert verdict.verdict == "pass"
    unmeasured = {promise.name for promise in verdict.promises if promise.observed == "unmeasured"}
    assert ":ro protects the node's files" in unmeasured
