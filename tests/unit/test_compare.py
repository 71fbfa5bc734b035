"""Cells, order, matrix and words of a comparison; runs are made up, or of the made-up lab."""

from __future__ import annotations

import dataclasses
import html
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness import compare, record
from harness.cli import main as cli
from harness.compare.cells import Cell, cells_of, parse_vary
from harness.compare.matrix import Matrix, matrix_of
from harness.compare.samples import Measure, Reached, Sample, baselines, sample
from harness.compare.words import called, closing, difference, sections
from harness.model.errors import EnvironmentBroken, TopologyError, UsageError
from harness.model.history import History, Op
from harness.model.plan import Plan
from harness.model.run import Run
from harness.model.topology import Check, Topology
from harness.model.verdict import Promise, Verdict
from harness.report import RunView
from harness.session import Options
from tests.loader_jsonschema import accepts
from tests.session_fakes import Lab, make_lab, write_topology

Capture = pytest.CaptureFixture[str]
SCHEMA = json.loads((Path(compare.__file__).parent.parent / "schema" / "compare.schema.json").read_text())


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    return make_lab(tmp_path, monkeypatch)


# --- what varies -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a.b=x,y", ("x", "y")),
        ("a.b= x , y", ("x", "y")),
        ("a={b: 1, c: [2, 3]},{b: 2}", ("{b: 1, c: [2, 3]}", "{b: 2}")),
        ("a='x, y',z", ("'x, y'", "z")),
        ("a=b=c", ("b=c",)),
    ],
)
def test_values_are_parted_by_commas_outside_brackets(text: str, values: tuple[str, ...]) -> None:
    assert parse_vary(text).values == values


@pytest.mark.parametrize("text", ["a", "=x", "a=", "a=x,,y", "a=x,x"])
def test_what_is_no_choice_of_values_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_vary(text)


def cells(lab: Lab, *varies: str, **changes: Any) -> list[Cell]:
    return cells_of(write_topology(lab.folder, **changes), [parse_vary(v) for v in varies], lab.options())


def test_a_grid_has_every_choice(lab: Lab) -> None:
    found = cells(lab, "cluster.nodes.worker=1,2", "checks.latency.count=5,6,7")
    assert [cell.name for cell in found] == ["1, 5", "1, 6", "1, 7", "2, 5", "2, 6", "2, 7"]
    assert found[-1].topology.cluster.nodes.worker == 2
    assert dict(found[-1].settings) == {"cluster.nodes.worker": "2", "checks.latency.count": "7"}


def test_whole_sections_are_called_by_their_driver(lab: Lab) -> None:
    found = cells(lab, "networks.app={driver: overlay},{driver: macvlan, ipam: {config: [{subnet: 10.9.0.0/24}]}}")
    assert [cell.name for cell in found] == ["overlay", "macvlan"]


@pytest.mark.parametrize(
    ("vary", "said"),
    [
        ("networks.ap.driver=overlay,macvlan", "did you mean 'app'"),
        ("networks.app.drvier=overlay,macvlan", "did you mean 'driver'"),
        ("clutser.nodes.worker=1,2", "did you mean 'cluster'"),
        ("networks.app.driver=overlay,macvlna", "did you mean 'macvlan'"),
        ("checks.mtuu.network=app,x", "no check has the id or kind 'mtuu'"),
        ("volumes.shared.driver=local,nfs", "the topology has no volume 'shared' (there is: none)"),
    ],
)
def test_mistakes_are_told_before_anything_starts(lab: Lab, vary: str, said: str, capsys: Capture) -> None:
    file = write_topology(lab.folder)
    assert cli.main(["compare", str(file), "--vary", vary, "--runs-dir", str(lab.folder / "runs")]) == 64
    told = capsys.readouterr().err
    assert said in told
    assert "--vary" in told
    assert lab.events == []
    assert not (lab.folder / "runs").exists()


def test_a_value_that_a_driver_refuses_is_told_with_its_cell(lab: Lab) -> None:
    with pytest.raises(TopologyError) as caught:
        cells(
            lab, "networks.app.driver=overlay,bridge", networks={"app": {"driver": "overlay", "attachable": True}}
        )
    problem = next(each for each in caught.value.problems if each.key == "networks.app.attachable")
    assert problem.file.endswith("lab.yaml")
    assert problem.line > 1
    assert problem.message.endswith("(with bridge)")


@pytest.mark.parametrize(
    "varies", [["a=x"], ["name=x,y", "name=z,w"], ["name=" + ",".join("abcdefghijklmnopqrstuvwxyz")]]
)
def test_nothing_to_compare_or_far_too_much(lab: Lab, varies: list[str]) -> None:
    with pytest.raises(UsageError):
        cells(lab, *varies)


def test_only_stores_that_a_cell_uses_are_brought_up(lab: Lab) -> None:
    stores = {"gluster": {"kind": "glusterfs", "nodes": ["n1", "n2", "n3"], "options": {"replica": 3}}}
    changes = {
        "stores": stores,
        "volumes": {"shared": {"driver": "glusterfs"}, "disk": {"driver": "local"}},
        "services": {"web": {"deploy": {"mode": "global"}, "volumes": ["shared:/data", "disk:/disk"]}},
        "checks": [{"names": {"volume": "shared"}}],
    }
    local, gluster = cells(lab, "volumes.shared.driver=local,glusterfs", **changes)
    assert list(local.topology.stores) == []
    assert list(gluster.topology.stores) == ["gluster"]
    assert baselines([local.topology, gluster.topology]) == {"disk"}


# --- runs of the lab -------------------------------------------------------------------------------------

VARY = ("--vary", "checks.latency.count=5,10")


def run(lab: Lab, *arguments: str) -> int:
    file = write_topology(lab.folder)
    return cli.main(
        ["compare", str(file), "--seed", "4", "--runs-dir", str(lab.folder / "runs"), *VARY, *arguments]
    )


def folder_of(lab: Lab) -> Path:
    (found,) = (lab.folder / "runs").glob("compare-*")
    return found


def test_cells_take_turns_on_one_cluster_in_an_order_by_seed(lab: Lab, capsys: Capture) -> None:
    assert run(lab, "--repeat", "3", "--json") == 0
    told = capsys.readouterr()
    data = json.loads(told.out)
    assert accepts(SCHEMA, data)
    assert data["partial"] is False
    assert [sorted(row) for row in data["order"]] == [[0, 1]] * 3
    assert [run["cell"] for run in data["runs"]] == [cell for row in data["order"] for cell in row]
    assert "order (seed 4): " in told.err
    assert [event.split()[0] for event in lab.events].count("up") == 1
    assert not lab.provider.made


def test_the_same_seed_gives_the_same_order_and_plans(lab: Lab, capsys: Capture) -> None:
    orders = []
    for _ in range(2):
        run(lab, "--repeat", "6", "--json")
        orders.append(json.loads(capsys.readouterr().out)["order"])
    assert orders[0] == orders[1]
    assert [0, 1] in orders[0]
    assert [1, 0] in orders[0]


def test_runs_of_a_round_share_their_seed_and_say_their_settings(lab: Lab) -> None:
    run(lab, "--repeat", "2")
    found = [json.loads(path.read_text()) for path in sorted(folder_of(lab).glob("2*/results.json"))]
    assert len(found) == 4
    assert {run["attempt"]: run["seed"] for run in found} == {1: 4, 2: 5}
    assert {run["settings"]["checks.latency.count"] for run in found} == {"5", "10"}
    assert {run["series"] for run in found} == {folder_of(lab).name}


def test_a_record_over_them_keeps_cells_apart(lab: Lab) -> None:
    run(lab, "--repeat", "2")
    found = record.record(record.read(folder_of(lab)))
    assert len(found.checks) == 4
    assert found.flaky == []
    assert record.read(lab.folder / "runs").comparisons == [folder_of(lab).name]


def test_a_run_that_breaks_is_kept_apart_and_the_next_goes_on(lab: Lab, capsys: Capture) -> None:
    lab.orchestrator.raises["apply"] = EnvironmentBroken("no room")
    assert run(lab, "--repeat", "2", "--json") == 70
    told = capsys.readouterr()
    data = json.loads(told.out)
    assert [run["state"] for run in data["runs"]] == ["broke", "pass", "pass", "pass"]
    assert data["runs"][0]["error"] == "no room"
    assert all("fail" not in counts for check in data["checks"] for counts in check["cells"])
    assert "no room" in told.err


def test_an_interrupt_keeps_what_was_measured(lab: Lab, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    look, count = lab.orchestrator.look, iter(range(1000))

    def interrupted(*arguments: Any) -> Any:
        if next(count) == 5:
            raise KeyboardInterrupt
        return look(*arguments)

    monkeypatch.setattr(lab.orchestrator, "look", interrupted)
    assert run(lab, "--repeat", "9") == 130
    told = capsys.readouterr()
    assert re.search(r"partial: \d+ of 18 runs were made", told.out)
    assert json.loads((folder_of(lab) / "compare.json").read_text())["partial"] is True
    assert not lab.provider.made


# --- the matrix ------------------------------------------------------------------------------------------


def a_cell(name: str) -> Cell:
    return Cell(name, (("volumes.shared.driver", name),), Topology(name="lab"), Options())


def measured(cell: int, turn: int, value: float, **more: Any) -> Sample:
    measures = {("register", "write_p50_us"): Measure(value, more.pop("base", None))}
    run = f"run-{cell}-{turn}"
    checks = {"register": ("pass", "")}
    return Sample(cell, turn, run, run, "pass", **{"checks": checks, "measures": measures, **more})


def matrix(values: Sequence[Sequence[float]], **more: Any) -> Matrix:
    names = ["local", "nfs", "glusterfs", *(f"driver{n}" for n in range(3, len(values)))][: len(values)]
    samples = [measured(n, turn, v, **more) for n, row in enumerate(values) for turn, v in enumerate(row)]
    rounds = max(map(len, values))
    return matrix_of(
        "lab", [a_cell(n) for n in names], [list(range(len(names)))] * rounds, 1, samples, frozenset()
    )


def test_a_large_difference_is_called_and_a_small_one_is_not() -> None:
    found = matrix([[100, 105, 98], [1000, 1100, 950], [101, 99, 104]])
    said = [(each.first, each.second) for each in found.differences if each.called]
    assert said == [(0, 1), (1, 2)]
    words = [text for _, text in called(found)]
    assert any(text.startswith("write p50 of nfs is 10") and "x that of local" in text for text in words)
    assert closing(found) == ["2 differences called; in 1 of 3 comparisons the spread allows none"]


def test_a_rate_is_called_a_rate() -> None:
    found = matrix([[100, 105, 98], [1000, 1100, 950]])
    [first] = [each for each in found.differences if each.called]
    rate = dataclasses.replace(first, figure=dataclasses.replace(first.figure, name="increment_per_s"))
    assert difference(found, rate).startswith("increment rate of nfs is 10")


def test_many_differences_are_folded_and_none_is_left_out() -> None:
    rows = [[10.0**n * slow for slow in (1, 1.05, 0.98)] for n in range(7)]
    found = matrix(rows)
    words = called(found)
    assert len(words) == 21
    page = compare.render(found)
    assert "9 smaller ones" in page
    assert all(html.escape(said, quote=False) in page for _, said in words)


def test_a_name_is_not_cut_in_two_on_a_narrow_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    promise = Promise("append-loses-nothing-at-all", "may", "kept", 0, 100, "POSIX", "")
    samples = [measured(n, 0, 1.0, promises={("shared", promise.name): promise}) for n in range(3)]
    names = [a_cell(n) for n in ("local", "nfs", "glusterfs")]
    compare.print_comparison(matrix_of("lab", names, [[0, 1, 2]], 1, samples, frozenset()), Console(width=60))
    assert "append-loses-nothing-at-all" in capsys.readouterr().out


def test_with_two_runs_nothing_is_called() -> None:
    found = matrix([[100, 101], [1000, 1001]])
    assert not any(each.called for each in found.differences)
    assert "not enough runs" in closing(found)[0]


def test_baselines_are_shown_and_not_compared() -> None:
    measures = {("latency", "wire_rtt_p50_us"): Measure(20.0, is_base=True)}
    samples = [measured(n, turn, 1.0) for n in range(2) for turn in range(3)]
    samples = [dataclasses.replace(each, measures=measures) for each in samples]
    found = matrix_of("lab", [a_cell("local"), a_cell("nfs")], [[0, 1]] * 3, 1, samples, frozenset())
    assert found.differences == []
    assert [line.of for s in sections(found) for line in s.lines if s.title == "Rates and latencies"] == [
        "latency, baseline"
    ]


def test_what_slows_a_whole_run_falls_out_of_ratios_to_its_baseline() -> None:
    noise = [1.0, 3.0, 0.4, 1.7]
    samples = [
        measured(n, turn, 100 * factor * slow, base=50 * slow)
        for n, factor in enumerate([1.0, 1.3])
        for turn, slow in enumerate(noise)
    ]
    cells = [a_cell("local"), a_cell("nfs")]
    (difference,) = matrix_of("lab", cells, [[0, 1]] * 4, 1, samples, frozenset()).differences
    assert difference.called
    assert difference.comparison.ratio == pytest.approx(1.3)
    raw = matrix([[100 * s for s in noise], [130 * s for s in noise]])
    assert not raw.differences[0].called


def test_promises_are_told_by_run_and_broken_once_is_broken() -> None:
    def promised(cell: int, turn: int, expected: str, observed: str, count: int = 0) -> Sample:
        promise = Promise("read-after-write", expected, observed, count, 100, "POSIX", "a stale read")  # type: ignore[arg-type]
        return measured(cell, turn, 1.0, promises={("shared", "read-after-write"): promise})

    samples = [
        promised(0, 0, "holds", "kept"),
        promised(0, 1, "holds", "broken", 3),
        promised(1, 0, "may", "broken", 40),
        promised(1, 1, "may", "kept"),
        promised(2, 0, "holds", "unmeasured"),
    ]
    names = [a_cell(n) for n in ("local", "nfs", "glusterfs")]
    found = matrix_of("lab", names, [[0, 1, 2]] * 2, 1, samples, frozenset())
    (line,) = next(s for s in sections(found) if s.title == "Promises").lines
    assert [(cell.text, cell.state) for cell in line.cells] == [
        ("broken 1 of 2 (3 of 200)", "broken"),
        ("broken 1 of 2 (40 of 200)", "allowed"),
        ("unmeasured", "missing"),
    ]
    assert found.partial


def test_pairs_are_summed_over_runs() -> None:
    reached = {("connectivity", "app by name"): Reached(1, 12)}
    samples = [measured(0, n, 1.0, reached=reached) for n in range(2)]
    found = matrix_of("lab", [a_cell("local"), a_cell("nfs")], [[0, 1]] * 2, 1, samples, frozenset())
    (line,) = next(s for s in sections(found) if s.title == "Who reached whom").lines
    assert [cell.text for cell in line.cells] == ["2 of 24 not", "–"]


# --- one run ---------------------------------------------------------------------------------------------

MS = 1_000_000


def view_of(error: str | None = None, verdict: str = "pass") -> RunView:
    checks = (
        Check(kind="register", id="register", params={"volume": "shared"}),
        Check(kind="register", id="on-disk", params={"volume": "disk"}),
        Check(kind="latency", id="latency", params={}),
    )
    ops = [
        Op("w", "n1", "web.1", check, "put", "k", n, start_ns=n * 10 * MS, end_ns=n * 10 * MS + took * MS)
        for check, took in (("register", 4), ("on-disk", 2))
        for n in range(10)
    ]
    figures = {"wire_rtt_p50_us": 20.0, "app_rtt_p50_us": 50.0, "app_ratio": 2.5, "app_missed": 3, "said": "x"}
    found = (
        Verdict("register", "register", "shared", verdict, "why"),  # type: ignore[arg-type]
        Verdict("on-disk", "register", "disk", "pass", ""),
        Verdict("latency", "latency", "", "pass", "", figures=figures),
    )
    plan = Plan("r", Topology(name="lab"), "docker", "swarm", 1, (), checks=checks)
    run = Run("r", "lab", "docker", "swarm", 1, "pass", error, "", 1.0, found)
    return RunView(run, plan, History.of(ops), {})


def test_volumes_are_told_against_the_same_check_on_a_local_disk() -> None:
    found = sample(0, 0, view_of(), "r", frozenset({"disk"})).measures
    assert found["register", "write_p50_us"].ratio == pytest.approx(2.0)
    assert found["register", "write_per_s"].value == pytest.approx(10 / 0.094, rel=0.01)
    assert found["on-disk", "write_p50_us"].base is None
    assert found["on-disk", "write_p50_us"].is_base
    assert not found["register", "write_p50_us"].is_base


def test_networks_are_told_against_the_wire() -> None:
    found = sample(0, 0, view_of(), "r", frozenset()).measures
    assert found["latency", "app_rtt_p50_us"] == Measure(50.0, 20.0)
    assert found["latency", "wire_rtt_p50_us"] == Measure(20.0, None, is_base=True)
    assert {name for check, name in found if check == "latency"} == {"wire_rtt_p50_us", "app_rtt_p50_us"}


def test_a_run_that_broke_measures_nothing() -> None:
    found = sample(0, 0, view_of(error="no room\nat all"), "r", frozenset({"disk"}))
    assert (found.state, found.error, dict(found.measures), dict(found.checks)) == ("broke", "no room", {}, {})


def test_an_unknown_check_measures_nothing() -> None:
    found = sample(0, 0, view_of(verdict="unknown"), "r", frozenset({"disk"}))
    assert not any(check == "register" for check, _ in found.measures)
    assert found.checks["register"] == ("unknown", "why")


# --- pages -----------------------------------------------------------------------------------------------


def test_the_page_asks_for_nothing_and_escapes_what_it_shows() -> None:
    found = matrix([[100, 105, 98], [1000, 1100, 950]])
    evil = matrix_of(
        "<script>x</script>", [a_cell("<b>"), a_cell("nfs")], found.order, 1, found.samples, frozenset()
    )
    page = compare.render(evil)
    assert "<script" not in page
    assert "<b>&lt;b&gt;" in page or "&lt;b&gt;" in page
    assert not re.search(r"url\(|@import|https?://|src=", page)
    assert page.count("<svg") == 1
    assert 'href="run-0-0/report.html"' in page


def test_markdown_and_terminal_say_the_same() -> None:
    found = matrix([[100, 105, 98], [1000, 1100, 950]])
    text = compare.markdown(found)
    console = Console(width=120, record=True, file=io.StringIO())
    compare.print_comparison(found, console)
    shown = console.export_text()
    for words in ("passed 3 of 3", "100 µs", "98 µs to 105 µs", "1 difference called"):
        assert words in text, words
        assert words in shown, words
    assert "| write p50 (register) |" in text


def test_a_name_cannot_end_a_row_of_markdown() -> None:
    found = matrix([[1.0], [2.0]])
    odd = matrix_of("lab", [a_cell("a|b\nc"), a_cell("nfs")], found.order, 1, found.samples, frozenset())
    assert "a\\|b c" in compare.markdown(odd)
