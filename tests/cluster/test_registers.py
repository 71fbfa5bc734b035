"""Registers and sessions on a live cluster, on one directory that all nodes share: bugs on purpose are caught by
the name of the promise that they break, and without one everything is kept.
"""

from __future__ import annotations

import pytest

from harness.session import Bench

PROMISES = {"register": "read-after-write", "close-to-open": "close-to-open"}
SHIMS = [
    ("register", "stale-read"),
    ("register", "lost-write"),
    ("close-to-open", "stale-open"),
    ("close-to-open", "stale-close"),
]


@pytest.mark.parametrize(("kind", "shim"), SHIMS)
def test_a_bug_on_purpose_is_caught_by_the_name_of_its_promise(healthy: Bench, kind: str, shim: str) -> None:
    verdict = healthy.check(kind, volume="shared", duration_s=1.5, rate_per_s=400, shim=shim)

    assert verdict.verdict == "fail", verdict.reason
    broken = {p.name: p.witness for p in verdict.promises if p.observed == "broken"}
    assert set(broken) == {PROMISES[kind]}
    assert "cell " in broken[PROMISES[kind]]
    assert "mounted: " in broken[PROMISES[kind]]


@pytest.mark.parametrize("layout", ["files", "blocks"])
@pytest.mark.parametrize("kind", sorted(PROMISES))
def test_control_without_a_bug_every_promise_is_kept(healthy: Bench, kind: str, layout: str) -> None:
    verdict = healthy.check(kind, volume="shared", duration_s=1.5, rate_per_s=400, layout=layout)

    assert verdict.verdict == "pass", verdict.reason
    assert {p.name: p.observed for p in verdict.promises} == {"shared": "kept", PROMISES[kind]: "kept"}
