"""Checks of shared volumes on a directory that all nodes have: right as it is, a bug on purpose caught by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from harness.model.verdict import Verdict
from harness.session import Bench
from harness.transport.recorder import read_history
from tests.cluster_bench import live_bench

ATTEMPTS = 8


@pytest.fixture(scope="module")
def volume(own_engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with live_bench("volume-shared", tmp_path_factory.mktemp("bench")) as bench:
        yield bench


def broken(verdict: Verdict) -> list[str]:
    return [promise.name for promise in verdict.promises if promise.observed == "broken"]


CONTROLS: list[tuple[str, dict[str, Any]]] = [
    ("counter", {"lock": "fcntl"}),
    ("counter", {"lock": "flock"}),
    ("blocks", {"block_bytes": 4096, "direct": True}),
    ("names", {}),
    ("visibility", {}),
    ("durability", {"kill_share": 0.05}),
]


@pytest.mark.parametrize(("kind", "params"), CONTROLS)
def test_one_directory_of_all_nodes_keeps_every_promise(volume: Bench, kind: str, params: dict[str, Any]) -> None:
    verdict = volume.check(kind, volume="shared", duration_s=1, **params)
    assert verdict.verdict == "pass", verdict.reason
    assert {promise.observed for promise in verdict.promises} == {"kept"}
    assert set(verdict.operations) == {"n1", "n2", "n3"}


BUGS = [
    ("counter", "no-lock", "lock-exclusion"),
    ("counter", "stale-read", "lock-read-write"),
    ("blocks", "torn-read", "reads-not-torn"),
    ("names", "two-winners", "exclusive-create"),
    ("names", "gap-rename", "rename-old-or-new"),
    ("visibility", "hidden", "new-name-visible"),
    ("durability", "early-ack", "fsync-survives-client-kill"),
    ("blocks", "mixed-write", "writes-not-mixed"),
]


@pytest.mark.parametrize(("kind", "shim", "promise"), BUGS)
def test_a_bug_on_purpose_is_caught_by_name(volume: Bench, kind: str, shim: str, promise: str) -> None:
    """Whether two writes meet is the machine's choice, so one run may show nothing."""
    for _ in range(ATTEMPTS):
        verdict = volume.check(kind, volume="shared", duration_s=1, shim=shim)
        if promise in broken(verdict):
            break
    found = {each.name: each for each in verdict.promises}
    assert promise in broken(verdict), verdict
    assert " on n" in found[promise].witness


def test_ext4_tears_reads_of_many_pages_and_not_of_one_past_the_page_cache(volume: Bench) -> None:
    """A read takes pages one by one while a write replaces them: XFS locks the file, ext4 does not (Chinner and
    Torvalds, 2019-06-13). Many pages are torn with O_DIRECT as well, where they are more than one request.
    """

    def blocks(length: int, direct: bool) -> Verdict:
        load: dict[str, Any] = {"block_bytes": length, "rate_per_s": 0, "duration_s": 3, "direct": direct}
        return volume.check("blocks", volume="shared", **load)

    one = blocks(4096, direct=True)
    for _ in range(ATTEMPTS):
        many = blocks(1 << 20, direct=False)
        if "reads-not-torn" in broken(many):
            break
    looks = {str(row.value).split(" ")[1] for row in read_history(volume.folder).only(f="mount").ops()}
    if looks != {"ext4"}:
        pytest.skip(f"needs ext4 (the shared directory is on {', '.join(sorted(looks))})")
    assert "reads-not-torn" in broken(many), many
    assert broken(one) == [], one
