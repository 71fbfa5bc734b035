"""Bridges for real: what the engine refuses is quoted, a port that leads nowhere is named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.model.places import data_dir
from harness.session import Bench
from tests.cluster_bench import done, dropped, listening, live_bench
from tests.cluster_cli import harness

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def bridges(own_engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with live_bench("bridge", tmp_path_factory.mktemp("bridges")) as made:
        yield made


def test_a_bridge_passes_and_quotes_the_engine_on_a_second_claim(bridges: Bench) -> None:
    verdict = bridges.check("bridge")
    assert verdict.verdict == "pass", verdict.reason
    assert "port is already allocated" in str(verdict.figures["second_claim"])
    observed = {promise.name: promise.observed for promise in verdict.promises}
    assert observed["names exist on the default bridge"] == "broken"
    for host in bridges.live.cluster.hosts.values():
        assert done(host, ["docker", "ps", "-aq", "--filter", "name=claim"]) == ""


def test_a_published_port_that_leads_nowhere_is_named(bridges: Bench) -> None:
    with dropped(bridges.live.cluster.hosts["n1"], "-p", "tcp", "--dport", "8000"):
        verdict = bridges.check("bridge")
    assert verdict.verdict == "fail"
    got = {(failure.source, failure.target, failure.got) for failure in verdict.failures}
    assert got >= {("n2", "web", "timeout"), ("n3", "web", "timeout")}
    assert {target for _, target, _ in got} == {"web"}


def test_a_port_that_a_node_uses_already_breaks_the_run_in_the_engines_words(
    bridges: Bench, tmp_path: Path
) -> None:
    text = "import socket; s = socket.create_server(('', 8001)); print('listening', flush=True); s.accept()"
    other = ("--set", 'services.web.ports=["8001:5000"]')
    with listening(bridges.live.cluster.hosts["n1"], ["python3", "-c", text]):
        ended = harness("run", data_dir("topologies") / "bridge.yaml", *other, "--reuse", "--runs-dir", tmp_path)
    assert ended.code == 70, ended.told
    assert "address already in use" in ended.stderr
