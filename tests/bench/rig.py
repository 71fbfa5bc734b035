"""What measurements stand on: an engine that stays, clusters that go again, and when which line was said."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from harness import session
from harness.model.places import run_dir
from harness.model.plan import Plan
from harness.ports import Progress
from harness.providers import engine as engines
from harness.providers import images
from harness.providers.engine import Engine
from harness.providers.labels import is_used
from harness.providers.own_engine import OwnEngine
from harness.session import Live, Options
from tests.bench.table import Row

TOPOLOGIES = Path(__file__).parent / "topologies"


class Timeline:
    """Takes progress and remembers when each line came, in seconds since it was made."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._start = time.monotonic()
        self._lines: list[tuple[float, str]] = []

    def __call__(self, line: str) -> None:
        self._lines.append((time.monotonic() - self._start, line))
        self._progress(line)

    def at_s(self, text: str) -> float:
        """When the first line with `text` in it came. Raises ValueError where none did."""
        for at_s, line in self._lines:
            if text in line:
                return at_s
        raise ValueError(f"nobody said {text!r}")


def timed(call: Callable[[], object]) -> float:
    """How long `call` takes, in seconds."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


@contextmanager
def engine(progress: Progress) -> Iterator[list[Row]]:
    """An engine that outlives single clusters and has all images; yields how long it took where it was started."""
    own = OwnEngine(images.engine_root)
    was_there = own.running() is not None
    images.engine_root(progress)
    try:
        start_s = time.perf_counter()
        chosen = engines.choose(lambda: own.start(progress))
        took_s = time.perf_counter() - start_s
        started = chosen.own and not was_there
        with _needed(chosen):
            images.ensure_image(chosen, "node", progress)
            images.image_archive(chosen, "workload", progress)
            yield [Row("start of an engine of the harness's own", [took_s], "s")] if started else []
    finally:
        own.stop_if_unused(is_used)


@contextmanager
def _needed(chosen: Engine) -> Iterator[None]:
    """An engine of ours goes with its last cluster, unless somebody holds its file of users (own_engine.py)."""
    if not chosen.own:
        yield
        return
    with (run_dir() / "users").open("r") as users:
        fcntl.flock(users, fcntl.LOCK_SH)
        yield


def plan_of(file: Path) -> Plan:
    options = Options(seed=1)
    return session.make_plan(session.topology_of(file, options), options, run=session.new_run())


@contextmanager
def cluster(name: str, progress: Progress) -> Iterator[Live]:
    """The topology `name` of this package, deployed; taken down on every way out."""
    live = session.up(plan_of(TOPOLOGIES / f"{name}.yaml"), progress)
    try:
        yield live
    finally:
        progress(f"taking {live.cluster.name} down")
        _take_down(live)


def _take_down(live: Live) -> None:
    """An interrupt must not leave half of it."""
    try:
        live.provider.down(live.cluster.name)
    except BaseException:
        live.provider.down(live.cluster.name)
        raise
