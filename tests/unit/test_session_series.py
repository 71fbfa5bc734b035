"""Several topologies: a cluster goes from one to the next where it fits, and never stays behind."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from harness.model.errors import ChannelLost, DeadlineExceeded, EnvironmentBroken, TopologyError
from harness.session import Again, Paused, RunResult, Series
from tests.session_fakes import Lab, make_lab, write_topology

OTHER_SHAPE = {"cluster": {"heartbeat_s": 2}}


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    return make_lab(tmp_path, monkeypatch)


def files(lab: Lab, *changes: dict[str, Any]) -> list[Path]:
    found = []
    for number, change in enumerate(changes):
        folder = lab.folder / str(number)
        folder.mkdir()
        found.append(write_topology(folder, **{"name": f"t{number}", **change}))
    return found


def run_all(lab: Lab, *changes: dict[str, Any], **options: Any) -> list[RunResult]:
    series = Series(files(lab, *changes), lab.options(**options))
    with closing(series.results(lab.lines.append)) as results:
        return list(results)


def steps(lab: Lab) -> list[str]:
    return [event.split()[0] for event in lab.events if not event.startswith(("logs", "supply"))]


def test_topologies_of_one_shape_share_a_cluster_and_it_goes_down_at_the_end(lab: Lab) -> None:
    results = run_all(lab, {}, {}, {})
    assert [result.run.verdict for result in results] == ["pass"] * 3
    assert [result.run.topology for result in results] == ["t0", "t1", "t2"]
    assert len({result.folder for result in results}) == 3
    middle = ["join", "apply", "delete"]
    assert steps(lab) == ["up", *middle, *middle, "join", "apply", "down"]
    assert not lab.provider.made
    assert [line for line in lab.lines if line.startswith("topology")][1] == "topology t1, 2 of 3"


def test_another_shape_gets_another_cluster(lab: Lab) -> None:
    run_all(lab, {}, OTHER_SHAPE)
    assert steps(lab) == ["up", "join", "apply", "down"] * 2


def test_a_cluster_that_a_check_broke_is_not_handed_on(lab: Lab) -> None:
    lab.network.raises["unlisten"] = ChannelLost("the agent is gone")
    results = run_all(lab, {}, {}, only=("latency",))
    assert steps(lab) == ["up", "join", "apply", "down"] * 2
    assert not lab.provider.made
    assert len(results) == 2


def test_after_a_run_that_broke_the_next_one_starts_anew(lab: Lab) -> None:
    lab.orchestrator.raises["apply"] = EnvironmentBroken("no room")
    broken, whole = run_all(lab, {}, {})
    assert str(broken.error) == "no room"
    assert whole.run.verdict == "pass"
    assert steps(lab).count("up") == 2
    assert not lab.provider.made


@pytest.mark.parametrize("last", [{}, OTHER_SHAPE])
def test_a_cluster_on_which_the_next_one_cannot_be_set_up_goes_down(lab: Lab, last: dict[str, Any]) -> None:
    series = Series(files(lab, {}, {}, last), lab.options())
    with closing(series.results(lab.lines.append)) as results:
        next(results)
        lab.orchestrator.raises["apply"] = EnvironmentBroken("no room")
        assert str(next(results).error) == "no room"
        assert not lab.provider.made
        assert next(results).run.verdict == "pass"
    assert not lab.provider.made


def test_a_cluster_that_cannot_be_emptied_goes_down(lab: Lab) -> None:
    lab.orchestrator.raises["delete"] = EnvironmentBroken("a network has endpoints")
    results = run_all(lab, {}, {})
    assert [result.run.verdict for result in results] == ["pass"] * 2
    assert any("cannot be emptied: a network has endpoints" in line for line in lab.lines)
    assert steps(lab) == ["up", "join", "apply", "delete", "down", "up", "join", "apply", "down"]


def test_when_nobody_asks_for_the_next_one_the_cluster_goes_down(lab: Lab) -> None:
    series = Series(files(lab, {}, {}), lab.options())
    with closing(series.results(lab.lines.append)) as results:
        next(results)
        assert lab.provider.made
    assert not lab.provider.made


def test_a_mistake_in_the_last_file_is_told_before_the_first_one_starts(lab: Lab) -> None:
    with pytest.raises(TopologyError):
        run_all(lab, {}, {"networks": {"app": {"driver": "overlai"}}})
    assert lab.events == []


def test_kept_clusters_are_each_their_own(lab: Lab) -> None:
    results = run_all(lab, {}, {}, keep=True)
    assert len({result.cluster for result in results}) == 2


# --- again and again -------------------------------------------------------------------------------------


def run_again(lab: Lab, verdicts: str, again: Again, pause: Any = None) -> list[RunResult]:
    """The lab's runs, whose packets pass (p), are cut (f: mtu fails), or whose cluster breaks (b), in turn."""
    file = write_topology(lab.folder, checks=[{"mtu": None}])
    results = []
    lab.network.largest = 1450 if verdicts[0] != "f" else 1000
    if verdicts[0] == "b":
        lab.orchestrator.raises["apply"] = EnvironmentBroken("no room")
    with closing(Series([file], lab.options(), again, pause).results(lab.lines.append)) as found:
        for result in found:
            results.append(result)
            following = verdicts[len(results) : len(results) + 1]
            lab.network.largest = 1000 if following == "f" else 1450
            if following == "b":
                lab.orchestrator.raises["apply"] = EnvironmentBroken("no room")
    return results


def ends(results: list[RunResult]) -> str:
    return "".join("b" if r.error else {"pass": "p", "fail": "f", "unknown": "u"}[r.run.verdict] for r in results)


def test_repeated_runs_share_a_word_and_are_numbered(lab: Lab) -> None:
    results = run_again(lab, "pfp", Again(times=3))
    assert ends(results) == "pfp"
    assert [r.run.attempt for r in results] == [1, 2, 3]
    assert len({r.run.series for r in results}) == 1
    assert not any(r.run.tries for r in results)
    assert results[0].run.series
    assert not lab.provider.made


def test_until_fail_ends_at_the_first_that_does_not_pass(lab: Lab) -> None:
    assert ends(run_again(lab, "ppfp", Again(times=9, until_fail=True))) == "ppf"
    assert ends(run_again(lab, "pbp", Again(times=9, until_fail=True))) == "pb"
    assert ends(run_again(lab, "ppp", Again(times=3, until_fail=True))) == "ppp"
    assert not lab.provider.made


def test_what_did_not_pass_is_tried_again_until_it_does(lab: Lab) -> None:
    results = run_again(lab, "fbp", Again(retries=5))
    assert ends(results) == "fbp"
    assert results[-1].run.attempt == 3
    assert [tried.ended for tried in results[-1].run.tries] == ["fail", "broke"]
    assert [tried.run for tried in results[-1].run.tries] == [result.run.id for result in results[:2]]
    assert 'name="before" value="fail, broke"' in (results[-1].folder / "junit.xml").read_text()
    assert ends(run_again(lab, "p", Again(retries=5))) == "p"
    assert ends(run_again(lab, "ffff", Again(retries=2))) == "fff"
    assert not lab.provider.made


def test_a_time_out_is_no_pass_and_no_failure_of_what_is_checked(lab: Lab) -> None:
    lab.orchestrator.raises["join"] = DeadlineExceeded("n2 does not join within 60 s")
    results = run_again(lab, "pp", Again(retries=1))
    assert [r.run.verdict for r in results] == ["unknown", "pass"]
    assert isinstance(results[0].error, DeadlineExceeded)


def test_a_run_is_held_after_the_check_that_did_not_pass_while_its_cluster_is_there(lab: Lab) -> None:
    held: list[Paused] = []

    def pause(paused: Paused) -> None:
        held.append(paused)
        assert lab.provider.made

    assert ends(run_again(lab, "f", Again(), pause)) == "f"
    assert [(each.check, each.verdict) for each in held] == [("mtu", "fail")]
    run_again(lab, "p", Again(), pause)
    assert len(held) == 1
