"""Bind mounts for real: what is not protected although it was asked for is named."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from harness import session
from harness.model.places import data_dir
from harness.ports import Container
from harness.session import Bench, Options

pytestmark = pytest.mark.cluster
TIMEOUT_S = 20.0


def quiet(_line: str) -> None:
    pass


@pytest.fixture(scope="module")
def binds(own_engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A live cluster with topologies/bind-mounts.yaml."""
    options = Options(seed=1)
    topology = session.topology_of(data_dir("topologies") / "bind-mounts.yaml", options)
    live = session.up(session.make_plan(topology, options, run=session.new_run()), quiet)
    try:
        with Bench(live, tmp_path_factory.mktemp("binds"), quiet) as made:
            yield made
    finally:
        session.down(live.cluster.name)


def container(bench: Bench, name: str) -> Container:
    found = bench.live.orchestrator.containers(bench.live.cluster, bench.live.plan)
    return next(each for each in found if each.name == name)


@contextmanager
def writable_after_all(bench: Bench, name: str) -> Iterator[None]:
    """The read-only mount of a container is made writable from outside it."""
    victim = container(bench, name)
    inside = ["nsenter", "--target", str(victim.pid), "--mount", "--pid", "busybox", "mount", "-o"]
    for options in ("remount,bind,rw", "remount,bind,ro"):
        argv = [*inside, options, "/host/etc"]
        result = bench.live.cluster.hosts[victim.node].run(argv, timeout_s=TIMEOUT_S)
        assert result.ok, result.output
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
    listed = binds.live.cluster.hosts[victim.node].run(["ls", "/etc"], timeout_s=TIMEOUT_S)
    assert listed.ok
    assert "harness-" not in listed.stdout
