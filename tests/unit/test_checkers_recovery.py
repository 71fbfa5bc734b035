"""Recovery: stalls are figures, not coming back is a failure, not looking is unknown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from harness.checkers import judge
from harness.model.history import NEVER, History, Op
from harness.model.verdict import Verdict
from tests.checkers_scene import CONTAINERS, fault_rows, ip_key, look, make_check, make_plan, probe, row

KIND = "recovery"
S = 10**9
#: The fault holds from second 1 to 3.
FAULT = fault_rows(KIND)
AFTER = look(KIND, "after", at_ns=4 * S)
WEB = "10.1.0.1,10.1.0.2"


def beats(*ends_s: float, process: str = "c1", then: str = "") -> list[Op]:
    """Echoes that came back at these seconds; `then` is how one more, at second 5, ended."""
    key = ip_key("app", "db")
    rows = [(end_s, "ok db") for end_s in ends_s] + ([(5.0, then)] if then else [])
    return [
        probe(KIND, "beat", "web.1", key, value, process=process, start_ns=int(s * S) - 1000, end_ns=int(s * S))
        for s, value in rows
    ]


def asked(f: str, key: str, answers: Sequence[tuple[float, str]]) -> list[Op]:
    """Answers of web.1's probes or lookups, each with the second in which it ended."""
    return [
        probe(KIND, f, "web.1", key, value, start_ns=int(s * S) - 1000, end_ns=int(s * S)) for s, value in answers
    ]


SURVIVED = beats(0.5, 0.9, 3.2, 4.5)
RIGHT = [*asked("tcp", ip_key("app", "db"), [(5, "ok db")]), *asked("dns", "after|app|web", [(5.5, WEB)])]


def verdict_on(
    *groups: list[Op], scene: list[Op] | None = None, faults: Sequence[str] = ("partition",), **params: Any
) -> Verdict:
    rows = [*look(KIND), *(AFTER if scene is None else scene), *(op for group in groups for op in group)]
    return judge(History.of(rows), make_plan(), make_check(KIND, faults, **params))


def test_a_stall_is_a_figure_and_no_failure() -> None:
    verdict = verdict_on(FAULT, SURVIVED, RIGHT)
    assert verdict.verdict == "pass", verdict.reason
    wanted = {"stall_max_s": 2.3, "recovered_s": 2.5, "connections": 1, "connections_survived": 1}
    assert wanted.items() <= verdict.figures.items()


@pytest.mark.parametrize("how", ["reset", "unreachable"])
def test_a_broken_connection_is_a_figure_too(how: str) -> None:
    verdict = verdict_on(FAULT, SURVIVED, beats(0.5, process="c2", then=how), RIGHT)
    assert (verdict.verdict, verdict.ignored) == ("pass", 1)
    assert (verdict.figures["connections_died"], verdict.figures["connections_survived"]) == (1, 1)


def recover(end_s: float) -> list[Op]:
    """The runner waited until second `end_s`, and connections were kept until then."""
    return [replace(FAULT[2], value="recover", start_ns=3 * S, end_ns=int(end_s * S))]


@pytest.mark.parametrize(
    ("watch_end_s", "within_s", "outcome"), [(5.1, 30, "fail"), (5.0, 30, "unknown"), (4, 1, "fail")]
)
def test_a_connection_that_stays_silent_as_long_as_the_fault_did_fails(
    watch_end_s: float, within_s: float, outcome: str
) -> None:
    """Its last echo came back 2.1 s before healing, at second 3."""
    quick = [*asked("tcp", ip_key("app", "db"), [(3.5, "ok db")])]
    verdict = verdict_on(FAULT, recover(watch_end_s), beats(0.5, 0.9), quick, within_s=within_s)
    assert verdict.verdict == outcome
    if outcome == "fail":
        assert "web.1 -> db via ip (beat/ipv4): expected ok, got timeout: open, but silent" in verdict.reason
    else:
        assert "not watched long enough: 2.0 s after healing" in verdict.reason


def test_an_echo_that_was_under_way_at_the_end_is_no_watch() -> None:
    open_end = replace(beats(0.5, then="timeout")[-1], start_ns=3 * S - 10, end_ns=NEVER, outcome="info")
    verdict = verdict_on(FAULT, beats(0.5, 0.9), [open_end], RIGHT)
    assert verdict.verdict == "unknown"
    assert "not watched long enough" in verdict.reason


def late(*answers: tuple[float, str]) -> list[Op]:
    return asked("tcp", ip_key("app", "db"), answers)


@pytest.mark.parametrize("answers", [[(4, "timeout"), (5, "ok db")], [(4, "ok db"), (5, "refused"), (8, "ok db")]])
def test_what_is_right_again_in_time_passes(answers: list[tuple[float, str]]) -> None:
    verdict = verdict_on(FAULT, SURVIVED, late(*answers), within_s=6)
    assert verdict.verdict == "pass", verdict.reason
    assert verdict.figures["recovered_s"] == answers[-1][0] - 3


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([(4, "timeout"), (20, "ok db")], "right again only 17.0 s after healing, more than 6 s"),
        ([(4, "ok db"), (5, "timeout")], "not right again within 6 s"),
        ([(4, "ok web.2")], "got wrong-peer"),
    ],
)
def test_what_is_not_right_again_in_time_fails(answers: list[tuple[float, str]], words: str) -> None:
    verdict = verdict_on(FAULT, SURVIVED, late(*answers), within_s=6)
    assert verdict.verdict == "fail"
    assert words in verdict.reason


def test_a_name_that_stays_wrong_fails() -> None:
    verdict = verdict_on(FAULT, SURVIVED, asked("dns", "after|app|web", [(5, "10.1.0.1")]))
    assert (verdict.verdict, verdict.failures[0].target, verdict.failures[0].got) == ("fail", "web", "dns")


def test_a_task_that_is_gone_after_healing_fails() -> None:
    left = {name: place for name, place in CONTAINERS.items() if name != "web.2"}
    answers = asked("tcp", ip_key("app", "db"), [(5, "ok db")])
    verdict = verdict_on(FAULT, SURVIVED, answers, scene=look(KIND, "after", left, at_ns=4 * S))
    assert verdict.verdict == "fail"
    assert "web: 1 of 2 containers run after healing" in verdict.reason


def moved(phase: str, at_s: float, **places: tuple[str, str, dict[str, str]]) -> list[Op]:
    """A look at which some containers stand elsewhere."""
    return look(KIND, phase, {**CONTAINERS, **places}, at_ns=int(at_s * S))


GONE: dict[str, tuple[str, str, dict[str, str]]] = {"web.2": ("web", "n1", {"app": "10.1.0.22"})}
NEW_WEB = "10.1.0.1,10.1.0.22"


def after(phase: str, *answers: tuple[float, str]) -> list[Op]:
    return asked("dns", f"{phase}|app|web", answers)


def test_a_task_that_moves_after_healing_is_judged_where_it_came_to_rest() -> None:
    """Names that were wrong against the first scene count only until they are right against the last."""
    scene = [*moved("after-1", 4), *moved("after-2", 8, **GONE), *moved("after-3", 12, **GONE)]
    lookups = [*after("after-1", (5, WEB), (7, NEW_WEB)), *after("after-2", (9, NEW_WEB))]
    old_peer = asked("tcp", "ip|app|4|db|10.1.0.3", [(6, "timeout")])
    verdict = verdict_on(FAULT, SURVIVED, lookups, old_peer, scene=scene)
    assert verdict.verdict == "pass", verdict.reason
    assert verdict.figures["recovered_s"] == 6.0
    assert verdict.ignored == 1  # what was asked in the first scene alone


def test_a_name_that_is_wrong_in_the_last_scene_fails() -> None:
    scene = [*moved("after-1", 4), *moved("after-2", 8, **GONE), *moved("after-3", 12, **GONE)]
    verdict = verdict_on(FAULT, SURVIVED, after("after-1", (5, WEB)), after("after-2", (9, WEB)), scene=scene)
    assert verdict.verdict == "fail"
    assert f"expected {NEW_WEB}" in verdict.reason


def test_containers_that_move_to_the_end_are_unknown() -> None:
    scene = [*moved("after-1", 4), *moved("after-2", 8, **GONE)]
    verdict = verdict_on(FAULT, SURVIVED, after("after-1", (5, WEB)), scene=scene)
    assert verdict.verdict == "unknown"
    assert "containers still moved when the check ended" in verdict.reason


def test_what_was_asked_too_late_says_nothing_about_the_time() -> None:
    verdict = verdict_on(FAULT, SURVIVED, late((20, "ok db")), within_s=6)
    assert verdict.verdict == "unknown"
    assert "web.1 asked only 17.0 s after healing" in verdict.reason


UNKNOWN: dict[str, tuple[list[list[Op]], list[Op] | None, str]] = {
    "no fault": ([fault_rows(KIND)[3:], SURVIVED, RIGHT], None, "no fault was healed"),
    "no connection": ([FAULT, RIGHT], None, "no connection was kept open"),
    "a connection that never worked": ([FAULT, beats(then="timeout"), RIGHT], None, "c1 from web.1 to db never"),
    "a connection that was left too early": ([FAULT, beats(0.5, 0.9), RIGHT], None, "not watched long enough"),
    "nothing asked afterwards": ([FAULT, SURVIVED], None, "nothing was asked after healing"),
    "nobody looked afterwards": ([FAULT, SURVIVED, late((5, "ok db"))], [], "nobody looked which containers run"),
    "an unverified peer": ([FAULT, SURVIVED, late((5, "ok ?"))], None, "the peer is unverified"),
    "a fault that was not felt": ([fault_rows(KIND, felt=False), SURVIVED, RIGHT], None, "was not felt"),
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_what_was_not_seen_is_unknown(case: str) -> None:
    groups, scene, words = UNKNOWN[case]
    verdict = verdict_on(*groups, scene=scene)
    assert verdict.verdict == "unknown"
    assert words in verdict.reason


def test_a_connection_to_a_container_that_moved_has_ended_and_fails_nothing() -> None:
    """A drained node's task is elsewhere, with another address: nobody is there to answer the old one."""
    moved = {**CONTAINERS, "db": ("db", "n2", {"app": "10.1.0.9"})}
    quick = [*asked("tcp", "ip|app|4|db|10.1.0.9", [(3.5, "ok db")])]
    rows = [*beats(0.5, 0.9), *FAULT, *recover(60), *look(KIND, "after", moved, at_ns=int(3.4 * S)), *quick]
    verdict = judge(History.of([*look(KIND), *rows]), make_plan(), make_check(KIND, ["partition"], within_s=30))
    assert "silent" not in verdict.reason
    assert verdict.figures["connections_died"] == 1


def update(end_s: float, outcome: str = "ok") -> list[Op]:
    who = {"process": "nemesis", "host": "controller", "key": "update|db", "value": "1 stop-first"}
    return [row("act", KIND, **who, start_ns=S, end_ns=int(end_s * S), outcome=outcome)]


def test_an_update_may_end_the_connections_of_what_it_replaces() -> None:
    verdict = verdict_on(update(3), beats(0.5, 0.9, then="reset"), RIGHT, faults=())
    assert verdict.verdict == "pass", verdict.reason
    assert verdict.figures["connections_died"] == 1
    assert verdict.figures["recovered_s"] == 2.5


def test_an_update_that_ends_somebody_elses_connection_fails() -> None:
    other = [replace(op, key=ip_key("app", "web.2")) for op in beats(0.5, 0.9, then="reset")]
    verdict = verdict_on(update(3), other, RIGHT, faults=())
    assert verdict.verdict == "fail"
    assert (
        "web.1 -> web.2 via ip (beat/ipv4): expected ok, got reset: neither end of it was replaced"
        in verdict.reason
    )


def test_an_update_that_did_not_end_well_recovers_nothing() -> None:
    verdict = verdict_on(update(3, outcome="info"), beats(0.5, 0.9), RIGHT, faults=())
    assert verdict.verdict == "unknown"
    assert "nothing updated" in verdict.reason
