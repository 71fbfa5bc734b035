"""Reproductions: sick, well or neither; a control that must be well; versions, codes, and files with mistakes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.cli import reproduce as verb
from harness.cli.main import main
from harness.model.errors import EnvironmentBroken, TopologyError
from harness.model.history import History, Op
from harness.model.verdict import Promise, Verdict
from harness.reproduce import running, write_bundle
from harness.reproduce.catalog import Scenario, Versions, catalog, read_scenario
from harness.reproduce.listing import Listed, listed
from harness.reproduce.predicates import PREDICATES, Told, ask
from harness.reproduce.running import Reproduction, Trial, engine_of, outside_of
from harness.session import Options

HIT = Trial("reproduced", "it hurts", None)
MISS = Trial("not-reproduced", "all is well", None)
NEITHER = Trial("inconclusive", "who knows", None)


def step(name: str, code: int, outcome: str = "ok") -> Op:
    row: dict[str, Any] = {"f": "step", "key": name, "value": f"{name} said", "errno": code, "outcome": outcome}
    return Op("controller", "n1", "n1", "commands", **row)


def verdict(outcome: str = "pass", promises: tuple[Promise, ...] = ()) -> dict[str, Verdict]:
    made = Verdict("commands", "commands", "", outcome, "so it is", promises=promises)  # type: ignore[arg-type]
    return {"commands": made}


@pytest.mark.parametrize(
    ("codes", "holds"),
    [({"a": 0, "b": 1}, True), ({"a": 0, "b": 0}, False), ({"a": 1, "b": 1}, False), ({"a": 0}, None)],
)
def test_steps_hold_where_each_ended_as_asked(codes: dict[str, int], holds: bool | None) -> None:
    history = History.of([step(name, code, "ok" if code == 0 else "fail") for name, code in codes.items()])
    told = ask("steps", {"check": "commands", "ok": ["a"], "failed": ["b"]}, history, verdict())
    assert told.holds is holds


def test_a_step_that_nobody_knows_the_end_of_tells_nothing() -> None:
    history = History.of([step("a", 0, "info")])
    assert ask("steps", {"check": "commands", "failed": ["a"]}, history, verdict()).holds is None


def test_a_check_that_did_not_run_tells_nothing() -> None:
    assert ask("steps", {"check": "commands", "ok": ["a"]}, History.of([]), {}).holds is None


@pytest.mark.parametrize(("observed", "holds"), [("broken", True), ("kept", False), ("unmeasured", None)])
def test_a_promise_that_was_not_measured_tells_nothing(observed: Any, holds: bool | None) -> None:
    asked = {"check": "commands", "name": "append", "observed": "broken"}
    found = verdict(promises=(Promise("append", "may", observed, 3, 9),))
    assert ask("promise", asked, History.of([]), found).holds is holds


def test_an_unknown_verdict_is_neither_pass_nor_fail() -> None:
    for wanted in ("pass", "fail"):
        asked = {"check": "commands", "verdict": wanted}
        assert ask("judged", asked, History.of([]), verdict("unknown")).holds is None
        assert ask("judged", asked, History.of([]), verdict(wanted)).holds is True


def row(f: str, start_s: float, value: str, key: str = "after|app|web", outcome: str = "ok") -> Op:
    ns = int(start_s * 1e9)
    return Op("p", "n1", "web.1", "commands", f, key, value, start_ns=ns, end_ns=ns, outcome=outcome)  # type: ignore[arg-type]


def names(*answers: tuple[float, str]) -> list[Op]:
    heal = row("fault", 10, "heal", "partition")
    return [heal, row("beat", 11, "ok"), *(row("dns", at, value) for at, value in answers)]


@pytest.mark.parametrize(
    ("answers", "sick", "well"),
    [
        ([(10.5, "nxdomain"), (19, "servfail"), (20, "10.0.0.1")], True, False),
        ([(10.5, "nxdomain"), (11, "10.0.0.1")], False, True),
        ([(10.5, "10.0.0.1")], False, True),
        ([(10.5, "nxdomain"), (16, "timeout"), (17, "10.0.0.1")], False, False),
        ([(10.5, "nxdomain"), (16, "timeout"), (19, "10.0.0.1")], None, False),
        ([(10.5, "nxdomain"), (19, "nxdomain")], True, False),
        ([(10.5, "nxdomain"), (13, "nxdomain")], None, None),
        ([(13, "10.0.0.1")], False, True),
        ([(16, "10.0.0.1")], False, None),
        ([(30, "10.0.0.1")], None, None),
        ([], None, None),
    ],
)
def test_how_long_names_were_missing(
    answers: list[tuple[float, str]], sick: bool | None, well: bool | None
) -> None:
    history = History.of(names(*answers))
    assert ask("names-missing", {"check": "commands", "at_least_s": 8}, history, verdict()).holds is sick
    assert ask("names-missing", {"check": "commands", "at_most_s": 4}, history, verdict()).holds is well


def test_names_that_were_right_when_first_asked_say_when_that_was() -> None:
    told = ask("names-missing", {"check": "commands"}, History.of(names((33, "10.0.0.1"))), verdict())
    assert told.words.startswith("names were right when first asked, 23.0 s after healing; ")


def test_names_say_nothing_where_no_connection_by_ip_went_on() -> None:
    rows = [op for op in names((10.5, "nxdomain")) if op.f != "beat"]
    assert ask("names-missing", {"check": "commands", "at_least_s": 0}, History.of(rows), verdict()).holds is None


@pytest.mark.parametrize(
    ("sick", "well", "outcome"),
    [
        (True, False, "reproduced"),
        (True, None, "reproduced"),
        (False, True, "not-reproduced"),
        (None, True, "not-reproduced"),
        (True, True, "inconclusive"),
        (False, False, "inconclusive"),
        (None, None, "inconclusive"),
    ],
)
def test_neither_and_both_are_inconclusive(sick: bool | None, well: bool | None, outcome: str) -> None:
    assert running._told(Told(sick, "sick"), Told(well, "well"))[0] == outcome


@pytest.fixture
def scenario() -> Scenario:
    return read_scenario(catalog()["wrong-mount"])


def reproduced(
    monkeypatch: pytest.MonkeyPatch, scenario: Scenario, control: Trial, *trials: Trial, **options: Any
) -> Reproduction:
    waiting = list(trials)

    def trial(_scenario: Scenario, settings: Any, _options: Options, _progress: Any) -> Trial:
        return control if settings else waiting.pop(0)

    monkeypatch.setattr(running, "trial", trial)
    return running.reproduce(scenario, Options(), lambda _line: None, **{"repeat": len(trials), **options})


def test_one_hit_reproduces_and_the_rate_says_how_often(
    monkeypatch: pytest.MonkeyPatch, scenario: Scenario
) -> None:
    told = reproduced(monkeypatch, scenario, MISS, MISS, HIT, NEITHER, MISS)
    low, high = told.interval
    assert told.to_json() == {
        "id": "wrong-mount",
        "outcome": "reproduced",
        "runs": 3,
        "hits": 1,
        "interval": [round(low, 4), round(high, 4)],
        "control": "not-reproduced",
    }
    assert 0.05 < low < 1 / 3 < high < 0.8


def test_without_a_hit_one_run_without_an_answer_leaves_it_inconclusive(
    monkeypatch: pytest.MonkeyPatch, scenario: Scenario
) -> None:
    assert reproduced(monkeypatch, scenario, MISS, MISS, MISS).outcome == "not-reproduced"
    assert reproduced(monkeypatch, scenario, MISS, MISS, NEITHER).outcome == "inconclusive"


@pytest.mark.parametrize("control", [HIT, NEITHER])
def test_a_control_that_is_not_well_leaves_all_inconclusive(
    monkeypatch: pytest.MonkeyPatch, scenario: Scenario, control: Trial
) -> None:
    told = reproduced(monkeypatch, scenario, control, HIT)
    assert (told.outcome, told.trials, told.interval) == ("inconclusive", (), (0.0, 1.0))
    assert "the healthy control is" in told.why


def test_until_reproduced_stops_at_the_first_hit(monkeypatch: pytest.MonkeyPatch, scenario: Scenario) -> None:
    told = reproduced(monkeypatch, scenario, MISS, MISS, HIT, HIT, HIT, until_reproduced=True)
    assert [trial.outcome for trial in told.trials] == ["not-reproduced", "reproduced"]


def test_an_engine_that_the_thread_does_not_name_is_not_affected_unless_tried_anyway(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scenario = read_scenario(catalog()["fdb-aged"])
    told = reproduced(monkeypatch, scenario, MISS, HIT)
    assert (told.outcome, told.trials, told.control) == ("not-reproduced", (), None)
    assert told.why == "not affected: engine 26.1.5 is outside 29.1.3 to 29.8.0"
    tried = reproduced(monkeypatch, scenario, MISS, HIT, anyway=True)
    assert tried.outcome == "reproduced"
    assert "outside what the thread names" in tried.why


def test_not_affected_is_known_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(running, "run_on", None)
    assert main(["reproduce", "fdb-aged", "--json", "--runs-dir", str(tmp_path)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["outcome"], told["runs"], told["control"]) == ("not-reproduced", 0, "not-run")
    assert "not affected: engine 26.1.5" in next(tmp_path.glob("*.md")).read_text()


def test_engines_that_the_harness_does_not_make_are_asked_by_the_control(monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = read_scenario(catalog()["fdb-aged"])
    monkeypatch.setattr(running, "engine_of", lambda _topology: "")
    well = Trial("not-reproduced", "well", None, env={"nodes": {"n1": {"engine": "26.1.5+dfsg1"}}})
    told = reproduced(monkeypatch, scenario, well, HIT)
    assert (told.outcome, told.trials, told.control) == ("not-reproduced", (), well)
    assert told.why == "not affected: engine 26.1.5+dfsg1 is outside 29.1.3 to 29.8.0"


def beyond(versions: Versions) -> list[str]:
    """Engines on both sides of what a thread names."""
    return ["1.0"] * (versions.first is not None) + ["999.0"] * (versions.last is not None)


def test_every_scenario_that_names_engines_says_not_affected_outside_and_not_within() -> None:
    named = {name: read_scenario(path).header.affects for name, path in catalog().items()}
    named = {name: versions for name, versions in named.items() if versions != Versions()}
    assert {"dns-after-blip", "fdb-aged"} <= set(named)
    for name, versions in named.items():
        for engine in beyond(versions):
            assert outside_of(versions, [engine]) == f"engine {engine} is outside {versions.words}", name
        for engine in filter(None, (versions.first, versions.last)):
            assert outside_of(versions, [engine]) == "", name


def test_the_engine_of_a_scenario_is_the_one_asked_for() -> None:
    scenario = read_scenario(catalog()["dns-after-blip"])
    assert engine_of(scenario.topology(())) == "28.5.2"
    assert engine_of(scenario.topology([("cluster.engine", "26.1")])) == "26.1.5"
    assert engine_of(scenario.topology([("cluster.engine", "null"), ("cluster.provider", "vagrant")])) == ""


def test_a_run_on_machines_may_take_as_much_longer_as_they_boot() -> None:
    scenario = read_scenario(catalog()["encrypted-port"])
    on_containers, on_machines = scenario.topology(()), scenario.topology([("cluster.provider", "vagrant")])
    assert running.limit_of(scenario, on_containers) == scenario.header.limit_s
    assert running.limit_of(scenario, on_machines) == scenario.header.limit_s + running.MACHINES_S


def test_evidence_says_the_command_with_all_that_was_laid_over_the_scenario(tmp_path: Path) -> None:
    laid = (("checks.commands.env.PORT", "47 90"), ("cluster.provider", "vagrant"))
    trials = tuple(Trial("not-reproduced", "well", None, laid) for _ in range(2))
    told = Reproduction("encrypted-port", "not-reproduced", "well", trials, MISS)
    text = write_bundle(read_scenario(catalog()["encrypted-port"]), told, tmp_path).read_text()
    words = "--set 'checks.commands.env.PORT=47 90' --set cluster.provider=vagrant"
    assert f"`harness reproduce encrypted-port --repeat 2 {words}`" in text


def test_nodes_of_a_scenario_that_needs_what_containers_lack_share_no_directory() -> None:
    """Machines have a file system each: what stands in the containers' shared one, another would not see."""
    for name, path in catalog().items():
        scenario = read_scenario(path)
        if {"esp", "ipvs"} & set(scenario.header.needs):
            assert "/harness/shared" not in path.read_text(), name


def test_a_list_names_the_engine_that_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {row.scenario.id: row for row in listed()}
    [why] = [why for why in rows["fdb-aged"].misses if why.startswith("engine")]
    assert why.startswith("engine 29.1.3 to 29.8.0 (Debian has 20.10.24 (bookworm), ")
    monkeypatch.setattr("harness.providers.images.can_be_had", lambda _role, release: release.suite != "forky")
    rows = {row.scenario.id: row for row in listed()}
    assert any(why.startswith("engine 28.5.2 (no image") for why in rows["dns-after-blip"].misses)
    assert not any("engine" in why for why in rows["wrong-mount"].misses)


@pytest.mark.parametrize(
    ("engine", "inside"),
    [("28.3.3", True), ("28.10.0", True), ("29.6.2", True), ("28.3.2", False), ("30.0", False), ("?", True)],
)
def test_versions_are_compared_as_numbers(engine: str, inside: bool) -> None:
    assert (outside_of(Versions(first="28.3.3", last="29.6.2"), [engine]) == "") is inside


def test_every_scenario_can_be_read_and_has_a_control_that_fits_its_topology() -> None:
    for name, path in catalog().items():
        scenario = read_scenario(path)
        assert scenario.id == name
        control = [(key, json.dumps(value)) for key, value in scenario.header.control.set.items()]
        assert scenario.header.control.why, name
        assert scenario.header.healthy_when != scenario.header.reproduced_when, name
        assert scenario.topology(control) != scenario.topology(())
        assert scenario.topology(()).cluster.effective_heartbeat_s in (1, 5)
    assert len(catalog()) >= 15


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("healthy_when:", "healthy:", "healthy_when"),
        ("healthy_when: {steps", "healthy_when: {stepz", "unknown predicate 'stepz' (did you mean 'steps'?)"),
        ("ok: [runs, marker-n1, marker-n2]", "okay: [runs]", "unknown key 'okay'"),
        ("check: commands, ok: [runs, marker-n1]", "check: comands, ok: [runs]", "unknown check 'comands'"),
        ("driver", "driver", ""),
        ("topology:", "topologie:", "topology: is missing"),
        ("heartbeat_s", "heartbeats", "did you mean 'heartbeat_s'?"),
    ],
)
def test_mistakes_in_a_scenario_are_told_with_their_line(tmp_path: Path, old: str, new: str, told: str) -> None:
    text = catalog()["wrong-mount"].read_text()
    file = tmp_path / "mine.yaml"
    file.write_text(text.replace(old, new, 1))
    if not told:
        assert read_scenario(file).id == "wrong-mount"
        return
    with pytest.raises(TopologyError) as refused:
        read_scenario(file)
    assert told in str(refused.value)
    assert all(problem.line >= 1 for problem in refused.value.problems)


def test_codes_are_those_that_git_bisect_understands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise EnvironmentBroken("no engine")

    def defect(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    assert verb.CODES == {"not-reproduced": 0, "reproduced": 1, "inconclusive": 125}
    assert main(["reproduce", "nothing-of-that-name"]) == 129
    assert "there is no scenario 'nothing-of-that-name'" in capsys.readouterr().err
    assert main(["reproduce", "--wrong"]) == 129
    monkeypatch.setattr("harness.reproduce.reproduce", broken)
    assert main(["reproduce", "wrong-mount"]) == 125
    monkeypatch.setattr("harness.reproduce.reproduce", defect)
    assert main(["reproduce", "wrong-mount"]) == 129


def test_predicates_take_no_parameter_that_they_do_not_know() -> None:
    for predicate in PREDICATES.values():
        assert predicate.params.model_config["extra"] == "forbid"


def test_every_scenario_has_a_service_that_brings_the_image_of_its_commands() -> None:
    """Nodes are handed the images of a topology's services and no others."""
    for path in catalog().values():
        assert read_scenario(path).topology(()).services


def test_a_task_that_a_name_does_not_lead_to_is_missing_as_well() -> None:
    truth = row("truth", 9, "10.0.0.1,10.0.0.2", "after|app|web")
    rows = [truth, *names((10.5, "10.0.0.1"), (19, "10.0.0.1"), (20, "10.0.0.1,10.0.0.2"))]
    asked = {"check": "commands", "at_least_s": 8}
    assert ask("names-missing", asked, History.of(rows), verdict()).holds is True
    whole = [truth, *names((10.5, "10.0.0.1,10.0.0.2"))]
    assert ask("names-missing", asked, History.of(whole), verdict()).holds is False


@pytest.mark.parametrize("columns", ["60", "80", "200"])
def test_the_list_says_all_of_it_however_narrow_the_terminal(
    columns: str, scenario: Scenario, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [Listed(scenario, "26.1.5", ("esp (Requested AEAD algorithm not found.)",), ("an affected NIC",))]
    monkeypatch.setattr("harness.reproduce.listed", lambda: rows)
    monkeypatch.setenv("COLUMNS", columns)
    assert main(["reproduce", "--list"]) == 0
    told = capsys.readouterr().out
    assert max(map(len, told.splitlines())) <= int(columns)
    expected = f"{scenario.id} no 26.1.5 {scenario.header.title} misses {rows[0].misses[0]} wants an affected NIC"
    assert sorted(told.split()) == sorted(f"SCENARIO RUNS HERE ENGINE WHAT {expected}".split())
