"""Fixtures for own tests on a live cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.plugin.state import state_of

if TYPE_CHECKING:
    from harness.model.topology import Topology
    from harness.model.verdict import Verdict
    from harness.plugin.node import Node
    from harness.ports import Cluster
    from harness.session import Bench


@pytest.fixture
def _bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    path = _path_of(request)
    state = state_of(request.config)
    bench = state.bench_of(path)
    _skip_for_features(request, bench)
    yield bench
    if request.node.get_closest_marker("destructive"):
        problems = bench.problems()
        if problems:
            print(f"the cluster is made anew: {'; '.join(problems)}")
            state.remake(path)


def _path_of(request: pytest.FixtureRequest) -> Path:
    marker = request.node.get_closest_marker("topology")
    if marker is None or not marker.args:
        raise pytest.UsageError(f'{request.node.nodeid}: say which cluster: @pytest.mark.topology("FILE.yaml")')
    named = Path(marker.args[0])
    beside = request.path.parent / named
    return (named if named.exists() else beside).resolve()


def _skip_for_features(request: pytest.FixtureRequest, bench: Bench) -> None:
    from harness import features  # noqa: PLC0415

    marker = request.node.get_closest_marker("needs")
    for feature in marker.args if marker else ():
        for name, host in bench.live.cluster.hosts.items():
            lacks = features.probe(host, [feature])
            if lacks and request.config.getoption("--harness-no-skip"):
                pytest.fail(f"needs {feature}, and --harness-no-skip is on ({name}: {lacks[feature]})")
            if lacks:
                pytest.skip(f"needs {feature} ({name}: {lacks[feature]})")


@pytest.fixture
def topology(_bench: Bench) -> Topology:
    """The topology of the marker, options laid over it."""
    return _bench.live.plan.topology


@pytest.fixture
def cluster(_bench: Bench) -> Cluster:
    """The live cluster: hosts, the wire, its lifecycle."""
    return _bench.live.cluster


@pytest.fixture
def nodes(_bench: Bench) -> Mapping[str, Node]:
    """Nodes by name: `nodes["n1"].succeed("docker node ls")`."""
    from harness.plugin.node import Node  # noqa: PLC0415

    return {name: Node(host) for name, host in _bench.live.cluster.hosts.items()}


@pytest.fixture
def run(_bench: Bench) -> Callable[..., Verdict]:
    """Runs one check now: `run("mtu", network="app").verdict == "pass"`."""
    return _bench.check


@pytest.fixture
def mesh(_bench: Bench) -> Callable[..., Verdict]:
    """All pairs of containers, probed now: `assert not mesh().failures`."""

    def probe(**params: Any) -> Verdict:
        return _bench.check("connectivity", **params)

    return probe
