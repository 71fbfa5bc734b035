"""Two values of one key, twice each, on a real cluster; and a record over the runs that this leaves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cluster_cli import harness, start
from tests.cluster_traces import Traces, assert_nothing_left

pytestmark = pytest.mark.cluster
SMALL = Path(__file__).parent / "topologies" / "compared.yaml"
ALL_TIMEOUT_S = 600.0
#: A cluster of kind is among them, and may wait for its node image.
KIND_TIMEOUT_S = 1500.0


@pytest.fixture(scope="module")
def folder(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a comparison has left its runs."""
    runs, before = tmp_path_factory.mktemp("runs"), Traces.now()
    values = "networks.app={driver: overlay},{driver: overlay, driver_opts: {com.docker.network.driver.mtu: 1400}}"
    ended = start("compare", SMALL, "--vary", values, "--repeat", "2", "--seed", "1", "--runs-dir", runs).end(
        ALL_TIMEOUT_S
    )
    assert_nothing_left(before)
    assert ended.code == 0, ended.told
    assert ended.stderr.count("starting 2 nodes") == 1
    assert "not enough runs" in ended.stdout
    (found,) = runs.glob("compare-*")
    return found


def test_every_cell_was_run_and_measured(folder: Path) -> None:
    data = json.loads((folder / "compare.json").read_text())
    assert data["partial"] is False
    assert [cell["runs"] for cell in data["cells"]] == [{"pass": 2}] * 2
    packets = next(each for each in data["figures"] if each["figure"] == "app_packet_bytes")
    assert [[run["value"] for run in cell] for cell in packets["cells"]] == [[1450, 1450], [1350, 1350]]
    trips = next(each for each in data["figures"] if each["figure"] == "app_rtt_p50_us")
    assert trips["relative"] is True
    assert all(run["value"] > 0 and run["baseline"] > 0 for cell in trips["cells"] for run in cell)
    assert all(each["cells"] == [{"bad": 0, "pairs": 4}] * 2 for each in data["reached"]), data["reached"]


def test_the_pages_are_there_and_lead_to_the_runs(folder: Path) -> None:
    page = (folder / "compare.html").read_text()
    reports = list(folder.glob("2*/report.html"))
    assert len(reports) == 4
    assert all(f'href="{report.parent.name}/report.html"' in page for report in reports)


def test_a_record_over_them_passes(folder: Path) -> None:
    ended = harness("record", folder, "--json")
    assert ended.code == 0, ended.told
    data = json.loads(ended.stdout)
    assert (data["runs"], data["left_out"], data["flaky"]) == (4, [], [])
    assert {len(check["settings"]) for check in data["checks"]} == {1}
    assert (folder / "index.html").is_file()


@pytest.mark.nightly
def test_orchestrators_can_be_compared(traces: Traces, tmp_path: Path) -> None:
    vary = "cluster.orchestrator=swarm,kubernetes"
    ended = start("compare", SMALL, "--vary", vary, "--seed", "1", "--runs-dir", tmp_path).end(KIND_TIMEOUT_S)
    assert ended.code == 0, ended.told
    runs = [json.loads(path.read_text()) for path in tmp_path.glob("compare-*/2*/results.json")]
    assert {(run["orchestrator"], run["provider"], run["verdict"]) for run in runs} == {
        ("swarm", "docker", "pass"),
        ("kubernetes", "kind", "pass"),
    }
