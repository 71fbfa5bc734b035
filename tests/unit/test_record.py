"""Runs over nights: what is new, what is flaky, what has moved; and folders that are no runs."""

from __future__ import annotations

import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from harness import record
from harness.cli import main as cli
from harness.model.errors import UsageError
from harness.record import Record
from tests.loader_jsonschema import accepts
from tests.record_runs import PASSED, nights, results, write, write_others

Capture = pytest.CaptureFixture[str]
SCHEMAS = Path(record.__file__).parent.parent / "schema"


def recorded(folder: Path, runs: list[dict[str, Any]]) -> Record:
    return record.record(record.read(write(folder, runs)))


def series(folder: Path, verdicts: str, **changes: Any) -> Record:
    """A run a night; a letter is the verdict of its one check `fio`."""
    words = {"p": "pass", "f": "fail", "u": "unknown"}
    return recorded(folder, [results(n, {"fio": words[letter]}, **changes) for n, letter in enumerate(verdicts)])


# --- failures --------------------------------------------------------------------------------------------


def test_a_new_failure_is_told_with_its_first_run_and_the_last_good_one(tmp_path: Path) -> None:
    found = series(tmp_path, "ppppff")
    (failing,) = found.failing
    assert failing.bad_since is not None
    assert failing.last_good is not None
    assert failing.bad_since.night == "2026-10-05"
    assert failing.last_good.night == "2026-10-04"
    assert (found.verdict, found.flaky, found.never_passed) == ("fail", [], [])


def test_what_never_passed_is_no_new_failure(tmp_path: Path) -> None:
    found = series(tmp_path, "fff")
    assert found.failing == []
    assert [each.check for each in found.never_passed] == ["fio"]


def test_what_passes_again_fails_no_more(tmp_path: Path) -> None:
    found = series(tmp_path, "pppfffppp")
    assert (found.failing, found.flaky, found.verdict) == ([], [], "pass")


def test_unknown_is_not_green(tmp_path: Path) -> None:
    found = series(tmp_path, "pppu")
    assert found.verdict == "unknown"
    assert [each.check for each in found.unknown] == ["fio"]


def test_one_setup_does_not_speak_for_another(tmp_path: Path) -> None:
    write(tmp_path / "a", [results(0, {"mtu": "fail"}, settings={"networks.app.driver": "macvlan"})])
    runs = [
        results(0, {"mtu": "fail"}, settings={"networks.app.driver": "macvlan"}),
        results(1, {"mtu": "pass"}),
        results(2, {"mtu": "pass"}, orchestrator="kubernetes", settings={"cluster.orchestrator": "kubernetes"}),
    ]
    found = recorded(tmp_path / "b", runs)
    details = [each.setup.detail for each in found.checks]
    assert details == ["", "docker, kubernetes", "networks.app.driver=macvlan"]
    assert found.verdict == "fail"
    assert found.flaky == []


# --- flaky -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verdicts", "flakes"),
    [
        ("pppfppp", 1),
        ("ppuupp", 1),
        ("pfpfpf", 4),
        ("ffffpff", 1),
        ("pppffff", 0),
        ("ffffppp", 0),
        ("pppfffppp", 0),
    ],
)
def test_short_stretches_between_others_are_flaky(tmp_path: Path, verdicts: str, flakes: int) -> None:
    found = series(tmp_path, verdicts).checks[0].flaky
    assert (found.flakes if found else 0) == flakes


def test_the_rate_has_an_interval(tmp_path: Path) -> None:
    found = series(tmp_path, "pppfpppppp").checks[0].flaky
    assert found is not None
    assert (found.not_passed, found.of) == (1, 10)
    assert found.low < 0.1 < found.high


def test_what_passed_on_a_later_try_is_flaky(tmp_path: Path) -> None:
    first = results(0, {"fio": "fail"}, minute=1)
    tries = [
        {**first, "series": first["run"]},
        results(0, {"fio": "unknown"}, minute=2, series=first["run"], attempt=2),
        results(0, {"fio": "pass"}, minute=3, series=first["run"], attempt=3),
    ]
    found = recorded(tmp_path, tries)
    flaky = found.checks[0].flaky
    assert flaky is not None
    assert flaky.retried == (f"{tries[2]['run']} passed on try 3",)
    assert found.verdict == "pass"
    assert "1 check is flaky" in record.render(found)


def test_a_broken_environment_is_not_a_flake(tmp_path: Path) -> None:
    broke = results(3, {"fio": "unknown"}, error="the engine died")
    broke["checks"][0]["reason"] = "broke off: the engine died"
    runs = [*(results(n, {"fio": "pass"}) for n in range(3)), broke, results(4, {"fio": "pass"})]
    found = recorded(tmp_path, runs)
    assert found.checks[0].counts == {"pass": 4, "broke": 1}
    assert found.flaky == []
    assert found.nights["2026-10-04"] == {"broke": 1}


def test_checks_that_a_broken_run_did_not_reach_broke(tmp_path: Path) -> None:
    runs = [results(0, PASSED), results(1, {"mtu": "pass"}, error="no room") | {"verdict": "unknown"}]
    found = recorded(tmp_path, runs)
    assert {each.check: each.latest.state for each in found.checks} == {
        "mtu": "pass",
        "latency": "broke",
        "register": "broke",
    }
    assert found.verdict == "unknown"


def test_a_skipped_check_is_counted_by_itself(tmp_path: Path) -> None:
    skip = [{"check": "mtu", "part": "", "needs": "vxlan"}, {"check": "fio", "part": "vip", "needs": "ipvs"}]
    found = recorded(tmp_path, [results(0, {"fio": "pass"}, skipped=skip)])
    assert {each.check: dict(each.counts) for each in found.checks} == {"fio": {"pass": 1}, "mtu": {"skip": 1}}


# --- drift -----------------------------------------------------------------------------------------------


def figured(folder: Path, values: list[float], figure: str = "app_rtt_p50_us", verdict: str = "pass") -> Record:
    runs = [results(n, {"latency": verdict}, figures={"latency": {figure: v}}) for n, v in enumerate(values)]
    return recorded(folder, runs)


STEADY = [80.0, 82, 79, 81, 83, 80, 78, 81, 80, 82]


def test_a_figure_that_moved_is_told_with_the_first_run_that_shows_it(tmp_path: Path) -> None:
    (moved,) = figured(tmp_path, [*STEADY, 130, 131, 128]).moved
    assert (moved.figure, moved.since.night, moved.worse) == ("app_rtt_p50_us", "2026-10-11", True)


@pytest.mark.parametrize(
    ("figure", "worse"), [("app_median_gbit_s", False), ("put_per_s", False), ("ratio", None)]
)
def test_which_way_is_worse_follows_the_unit(tmp_path: Path, figure: str, worse: bool | None) -> None:
    (moved,) = figured(tmp_path, [*STEADY, 130, 131, 128], figure).moved
    assert moved.worse is worse


def test_noise_is_not_told(tmp_path: Path) -> None:
    assert figured(tmp_path, [*STEADY, 90, 76, 86]).moved == ()


def test_unknown_runs_and_texts_are_no_figures(tmp_path: Path) -> None:
    assert figured(tmp_path / "a", [*STEADY, 130, 131, 128], verdict="unknown").moved == ()
    runs = [results(n, PASSED, figures={"mtu": {"second_claim": "refused", "asked": True}}) for n in range(12)]
    assert recorded(tmp_path / "b", runs).moved == ()


# --- folders ---------------------------------------------------------------------------------------------


def test_what_is_no_run_is_named_and_left_out(tmp_path: Path) -> None:
    write(tmp_path, [results(0, PASSED)])
    write_others(tmp_path)
    why = {each.folder: each.why for each in record.read(tmp_path).left_out}
    assert set(why) == {"cut-off", "later-version", "misspelt", "no-object", "binary", "somebody-elses", "half"}
    assert "no JSON" in why["cut-off"]
    assert "a later version of harness (schema 2; this one reads 1)" in why["later-version"]
    assert "checks.0.name" in why["misspelt"]
    assert "harness check" in why["half"]
    assert why["somebody-elses"] == "no run: there is no results.json"


@pytest.mark.parametrize(
    "change",
    [
        {"started": ""},
        {"started": "yesterday"},
        {"verdict": "fine"},
        {"checks": None},
        {"checks": [[]]},
        {"run": ""},
        {"schema": "1.0"},
        {"settings": {"a": {"b": 1}}},
    ],
)
def test_values_that_are_not_what_they_must_be_are_left_out(tmp_path: Path, change: dict[str, Any]) -> None:
    run = results(0, PASSED)
    write(tmp_path, [run])
    (tmp_path / run["run"] / "results.json").write_text(json.dumps(run | change))
    found = record.read(tmp_path)
    assert found.runs == []
    assert len(found.left_out) == 1


def test_odd_files_do_not_stop_it(tmp_path: Path) -> None:
    run = results(0, PASSED)
    write(tmp_path, [run])
    (tmp_path / "latest").symlink_to(run["run"])
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "pipe" / "results.json")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "results.json").write_text("[" * 100_000)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "results.json").mkdir()
    found = record.read(tmp_path)
    assert [name for name, _ in found.runs] == [run["run"]]
    assert [each.folder for each in found.left_out] == ["deep", "folder", "pipe"]


def test_a_copied_run_counts_once(tmp_path: Path) -> None:
    run = results(0, PASSED)
    write(tmp_path, [run])
    (tmp_path / "z-copy").mkdir()
    (tmp_path / "z-copy" / "results.json").write_text(json.dumps(run))
    found = record.read(tmp_path)
    assert len(found.runs) == 1
    assert f"the same run as {run['run']}" in found.left_out[0].why


def test_comparisons_are_linked_and_not_left_out(tmp_path: Path) -> None:
    write(tmp_path, [results(0, PASSED)])
    (tmp_path / "compare-1").mkdir()
    (tmp_path / "compare-1" / "compare.json").write_text("{}")
    found = record.record(record.read(tmp_path))
    assert found.folder.comparisons == ["compare-1"]
    assert found.left_out == []
    assert 'href="compare-1/compare.html"' in record.render(found)


@pytest.mark.parametrize("name", ["missing", "file"])
def test_a_folder_that_is_none_is_a_mistake(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError):
        record.read(tmp_path / name)


# --- the page --------------------------------------------------------------------------------------------


class Links(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.loaded: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.ids.add(found.get("id") or "")
        if tag == "a":
            self.links.append(found.get("href") or "")
        elif tag in ("script", "img", "iframe", "object", "embed") or "src" in found:
            self.loaded.append(tag)
        elif tag == "link":
            self.loaded += [] if (found.get("href") or "").startswith("data:") else [tag]


def page_of(tmp_path: Path) -> str:
    write(tmp_path, nights(12))
    write_others(tmp_path)
    return record.write_page(record.record(record.read(tmp_path))).read_text()


def test_the_page_asks_for_nothing(tmp_path: Path) -> None:
    page = page_of(tmp_path)
    assert Links(page).loaded == []
    assert not re.search(r"url\(|@import|https?://", page)
    assert "default-src 'none'" in page


def test_links_are_relative_and_lead_somewhere(tmp_path: Path) -> None:
    found = Links(page_of(tmp_path))
    reports = [link for link in found.links if not link.startswith("#")]
    assert len(reports) > 12
    for link in reports:
        assert (tmp_path / unquote(link)).is_file(), link
    assert {link[1:] for link in found.links if link.startswith("#")} <= found.ids


def test_a_run_without_a_report_has_no_link(tmp_path: Path) -> None:
    write(tmp_path, [results(0, PASSED)], reports=False)
    assert [
        link for link in Links(record.render(record.record(record.read(tmp_path)))).links if link[0] != "#"
    ] == []


def test_what_runs_say_is_escaped(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>\x1b[31m"
    run = results(0, {evil: "fail"}, topology=evil, error=evil, settings={evil: evil})
    page = record.render(recorded(tmp_path, [run | {"run": "a b#?%<1>"}]))
    assert "<script>" not in page
    assert "\x1b" not in page
    assert 'href="a%20b%23%3F%25%3C1%3E/report.html"' in page


def test_nobody_elses_index_is_written_over(tmp_path: Path, capsys: Capture) -> None:
    write(tmp_path, [results(0, PASSED)])
    (tmp_path / "index.html").write_text("<h1>mine</h1>")
    assert cli.main(["record", str(tmp_path)]) == 64
    assert "--no-page" in capsys.readouterr().err
    assert (tmp_path / "index.html").read_text() == "<h1>mine</h1>"
    assert cli.main(["record", str(tmp_path), "--no-page"]) == 0


def test_a_large_record_is_cut_aloud_and_keeps_what_does_not_pass(tmp_path: Path) -> None:
    runs = [results(n, {f"c{i}": "fail" if i == 599 else "pass" for i in range(600)}) for n in range(25)]
    page = record.render(recorded(tmp_path, runs))
    assert len(page.encode()) < 6_000_000
    assert "4 earlier nights 200 checks not shown" in page
    assert "c599" in page


# --- the verb --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("last", "code"), [("pass", 0), ("fail", 1), ("unknown", 2)])
def test_exit_codes(tmp_path: Path, last: str, code: int) -> None:
    write(tmp_path, [results(0, PASSED), results(1, PASSED | {"mtu": last})])
    assert cli.main(["record", str(tmp_path)]) == code


def test_no_run_at_all_is_unknown(tmp_path: Path, capsys: Capture) -> None:
    assert cli.main(["record", str(tmp_path)]) == 2
    assert "No run could be read" in capsys.readouterr().out


def test_json_follows_its_schema(tmp_path: Path, capsys: Capture) -> None:
    write(tmp_path, nights(14))
    write_others(tmp_path)
    assert cli.main(["record", str(tmp_path), "--json"]) == 1
    data = json.loads(capsys.readouterr().out)
    assert accepts(json.loads((SCHEMAS / "record.schema.json").read_text()), data)
    assert [each["check"] for each in data["new_failures"]] == ["register"]
    assert data["runs"] == 29
    assert len(data["nights"]) == 14
    assert len(data["left_out"]) == 7


def test_the_terminal_says_it_in_words(tmp_path: Path, capsys: Capture) -> None:
    write(tmp_path, nights(14))
    cli.main(["record", str(tmp_path)])
    told = capsys.readouterr().out
    for text in ("Newly failing", "volume-nfs / register", "Flaky", "passed on try 2", "1 broke", "FFF"):
        assert text in told, text
