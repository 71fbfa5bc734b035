"""The good path: one topology from the command line to a verdict, a report, and a machine as it was before."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import harness as package
from harness.model.places import data_dir
from tests.cluster_cli import Ended, harness, only_run
from tests.cluster_traces import Traces, assert_nothing_left
from tests.loader_jsonschema import accepts

REPORT_BYTES = 2_000_000
#: Attributes and CSS by which a page asks for something from elsewhere.
REQUESTS = re.compile(
    r"""(?:src|href|action|data|poster)\s*=\s*["']?(?!\#|data:)[^"'\s>]+|url\((?!["']?(?:data:|\#))|@import"""
)


@dataclass(frozen=True)
class Good:
    ended: Ended
    folder: Path
    before: Traces

    @cached_property
    def results(self) -> dict[str, Any]:
        data: dict[str, Any] = json.loads((self.folder / "results.json").read_text())
        return data

    def check(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = next(check for check in self.results["checks"] if check["id"] == name)
        return found


@pytest.fixture(scope="module")
def good(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Good:
    runs = tmp_path_factory.mktemp("runs")
    before = Traces.now()
    ended = harness("run", data_dir("topologies") / "overlay.yaml", "--runs-dir", runs, "--seed", "5")
    return Good(ended, only_run(runs), before)


def test_it_passes_and_leaves_nothing_behind(good: Good) -> None:
    assert good.ended.code == 0, good.ended.told
    assert_nothing_left(good.before)


def test_results_hold_the_contract(good: Good) -> None:
    schema = json.loads((Path(package.__file__).parent / "schema" / "results.schema.json").read_text())
    results = good.results

    assert accepts(schema, results)
    assert (results["schema"], results["topology"], results["verdict"]) == (1, "overlay", "pass")
    assert (results["run"], results["error"], results["seed"]) == (good.folder.name, None, 5)
    assert [check["id"] for check in results["checks"]] == [
        "connectivity",
        "dns",
        "mtu",
        "latency",
        "throughput",
        "recovery",
        "concurrent-append",
    ]
    assert results["skipped"] == []


def test_every_check_asserted_something_by_operations_on_every_node(good: Good) -> None:
    for check in good.results["checks"]:
        assert check["correct"] > 0, check
        assert check["wrong"] == 0, check
    for name in ("connectivity", "concurrent-append"):
        assert set(good.check(name)["operations"]) == {"n1", "n2", "n3"}
    assert all(kinds["append"] > 0 for kinds in good.check("concurrent-append")["operations"].values())


def test_writes_keep_every_promise_where_they_are_shared(good: Good) -> None:
    assert {promise["observed"] for promise in good.check("concurrent-append")["promises"]} == {"kept"}


def test_faults_were_felt_and_healed(good: Good) -> None:
    found = [(fault["name"], fault["check"], fault["targets"]) for fault in good.results["faults"]]

    assert found == [("partition", "recovery", ["n2"]), ("pause", "concurrent-append", ["n3"])]
    assert all(fault["felt"] and fault["healed"] for fault in good.results["faults"])
    assert all(fault["end_s"] > fault["start_s"] for fault in good.results["faults"])


def test_junit_parses_and_counts_the_checks(good: Good) -> None:
    root = ElementTree.parse(good.folder / "junit.xml").getroot()

    assert len(list(root.iter("testcase"))) == len(good.results["checks"])
    assert not [*root.iter("failure"), *root.iter("error"), *root.iter("skipped")]


def test_report_is_one_small_file_that_asks_for_nothing(good: Good) -> None:
    page = (good.folder / "report.html").read_text()

    assert len(page.encode()) < REPORT_BYTES
    assert REQUESTS.findall(page) == []
    assert all(f"{check['id']}" in page for check in good.results["checks"])


def test_run_folder_is_whole_and_latest_leads_to_it(good: Good) -> None:
    names = {path.name for path in good.folder.iterdir()}
    files = {"topology.yaml", "plan.json", "history.parquet", "verdicts.json", "env.json", "logs"}

    assert files <= names
    assert (good.folder.parent / "latest").resolve() == good.folder
    for node in ("n1", "n2", "n3"):
        assert node in json.loads((good.folder / "env.json").read_text())["nodes"]


def test_judging_it_again_says_the_same(good: Good) -> None:
    before = good.results["checks"]

    ended = harness("check", good.folder, "--json")

    told = json.loads(ended.stdout)
    assert (ended.code, told["verdict"]) == (good.ended.code, "pass"), ended.told
    assert told["operations"] == sum(sum(k.values()) for c in before for k in c["operations"].values())
    again = json.loads((good.folder / "results.json").read_text())["checks"]
    assert [(c["id"], c["verdict"], c["correct"]) for c in again] == [
        (c["id"], c["verdict"], c["correct"]) for c in before
    ]


def test_a_cluster_that_is_used_again_brings_no_records_of_before(engine: None, tmp_path: Path) -> None:
    """Two topologies with one check of one name on one shared directory."""
    file = data_dir("topologies") / "local-volumes.yaml"
    ended = harness("run", file, file, "--runs-dir", tmp_path, "--only", "concurrent-append")
    assert ended.code == 0, ended.told
    assert ended.stderr.count("starting 3 nodes") == 1
