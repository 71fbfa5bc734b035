"""The pytest plugin: topologies named on the command line are collected, one item a check.

    pytest topologies/overlay.yaml                       # bring up, deploy, check, take down
    pytest topologies/overlay.yaml -k mtu --harness-keep

Options carry the prefix `--harness-`. Items report verdicts that `session.run` produced: a topology is run once,
with its selected checks, when its first item is due. pytest keeps its own exit codes; an unknown is a failure that
says so, and a session in which every check was skipped fails.

Own tests get a live cluster from fixtures; the marker `topology` says which:

    @pytest.mark.topology("topologies/overlay.yaml")
    def test_names(nodes, run):
        nodes["n1"].succeed("docker node ls")
        assert nodes["n1"].infra.file("/etc/docker").is_directory
        assert run("mtu", network="app").verdict == "pass"

Clusters live as long as the session, one a topology. A test marked `destructive` must leave its cluster healthy,
or the cluster is made anew. `needs("ipvs")` skips a test, aloud, where a node lacks the feature.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.plugin.fixtures import _bench, cluster, mesh, nodes, run, topology
from harness.plugin.options import add_options, refuse_nonsense, refuse_xdist
from harness.plugin.state import State, state_of

# pytest finds fixtures by their names in this module, also those that only other fixtures ask for
__all__ = ["_bench", "cluster", "mesh", "nodes", "run", "topology"]

SUFFIXES = (".yaml", ".yml")
MARKERS = (
    "topology(path): the topology file whose cluster the test's fixtures give",
    "needs(*features): skip, aloud, where a node lacks one of these features (vxlan, ipvs, ...)",
    "destructive: the test changes the cluster; it is proven healthy afterwards, or made anew",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)
    refuse_xdist(config)
    refuse_nonsense(config)
    config.stash[State.key] = State(config)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Topologies, where they are named on the command line: not every YAML file of a tree is one."""
    if file_path.suffix not in SUFFIXES or not parent.session.isinitpath(file_path):
        return None
    from harness.plugin.items import TopologyFile  # noqa: PLC0415 - a session without topologies stays quick

    return TopologyFile.from_parent(parent, path=file_path)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    state = state_of(session.config)
    state.close()
    if state.all_skipped and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for line in state_of(config).closing_lines():
        terminalreporter.write_line(line)
