"""Bind mounts for real: what is not protected although it was asked for is named."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from harness.session import Bench
from tests.cluster_bench import container, done, live_bench

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def binds(own_engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with live_bench("bind-mounts", tmp_path_factory.mktemp("binds")) as made:
        yield made


@contextmanager
def writable_after_all(bench: Bench, name: str) -> Iterator[None]:
    """The read-only mount of a container is made writable from outside it."""
    victim = container(bench, name)
    inside = ["nsenter", "--target", str(victim.pid), "--mount", "--pid", "busybox", "mount", "-o"]
    for options in ("remount,bind,rw", "remount,bind,ro"):
        done(bench.live.cluster.hosts[victim.node], [*inside, options, "/host/etc"])
        if options.endswith("rw"):
            yield


def test_settings_protect_what_they_should_and_read_only_alone_nothing(binds: Bench) -> None:
    verdict = binds.check("bind-mount")
    assert verdict.verdict == "pass", verdict.reason
    observed = {promise.name: promise.observed for promise in verdict.promises}
    assert observed["read_only protects the node's files"] == "broken"
    assert observed[":ro protects the node's files"] == "kept"


def test_a_mount_that_is_not_read_only_after_all_is_named(binds: Bench) -> None:
    with writable_after_all(binds, "mounted-ro"):
        verdict = binds.check("bind-mount")
    assert verdict.verdict == "fail"
    assert "mounted-ro: write succeeded, and it must not" in verdict.reason


def test_nothing_stays_on_the_nodes(binds: Bench) -> None:
    binds.check("bind-mount", service="as-root")
    victim = container(binds, "as-root")
    assert "harness-" not in done(binds.live.cluster.hosts[victim.node], ["ls", "/etc"])
