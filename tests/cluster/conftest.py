"""Real clusters, on an engine of the harness's own that nobody else uses: what is left behind can be counted."""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import session
from harness.providers.docker import DockerProvider
from harness.session import Bench, Options
from tests.cluster_traces import Traces, adopt_orphans, assert_nothing_left

TOPOLOGIES = Path(__file__).parent / "topologies"
NEEDED = ("ip", "nsenter", "unshare", "mount", "docker", "nft")
#: Sessions of these tests that run at once take different engines.
ENGINES = 4


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.cluster)


@pytest.fixture(scope="package", autouse=True)
def own_engine() -> Iterator[None]:
    """Says where the engine of these tests lives; skips, by the feature's name, where none can be had."""
    if os.geteuid() != 0:
        pytest.skip("needs own-engine (only root can start an engine of the harness's own)")
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        pytest.skip(f"needs own-engine (programs are missing: {', '.join(missing)})")
    adopt_orphans()
    with FreeWord() as word, pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_STATE", word)
        patch.setenv("HARNESS_ENGINE", "own")
        DockerProvider().own.start(say)  # what an earlier session left stands in its data
        session.down_all(say)
        yield
        session.down_all(say)
        assert_nothing_left(Traces((), (), (), (), (), (), (), (), ()))


class FreeWord:
    """A value of HARNESS_STATE that no other session of these tests has, on the machine: locks stand beside what
    the word names, wherever a session has its cache.
    """

    def __enter__(self) -> str:
        for number in range(1, ENGINES + 1):
            self._file = Path(f"/run/harness-test-{number}.lock").open("w")
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._file.close()
            else:
                return f"test-{number}"
        raise pytest.UsageError(f"{ENGINES} sessions of these tests run already")

    def __exit__(self, *_: object) -> None:
        self._file.close()


@pytest.fixture(scope="module")
def engine(own_engine: None) -> Iterator[None]:
    """Keeps the engine between the runs of a module: it is quicker, and labels can be counted before and after."""
    provider = DockerProvider()
    provider.own.start(say)
    yield
    provider.tidy()


@pytest.fixture
def traces() -> Iterator[Traces]:
    """What is there before the test; whatever the test does, the same must be there after it."""
    before = Traces.now()
    yield before
    assert_nothing_left(before)


@pytest.fixture(scope="module")
def bench(own_engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A live cluster of three nodes (topologies/live.yaml) for the tests of a module."""
    options = Options(seed=1)
    plan = session.make_plan(
        session.topology_of(TOPOLOGIES / "live.yaml", options), options, run=session.new_run()
    )
    live = session.up(plan, say)
    try:
        with Bench(live, tmp_path_factory.mktemp("bench"), say) as made:
            yield made
    finally:
        session.down(live.cluster.name)


@pytest.fixture
def healthy(bench: Bench) -> Iterator[Bench]:
    """The live cluster; the test must leave it as it must be."""
    yield bench
    assert bench.problems() == []


def say(line: str) -> None:
    print(line, file=sys.stderr)
