"""The judge of names: races with one winner by its token, and files replaced by rename."""

from __future__ import annotations

import os
import random
from collections import Counter
from typing import Any

import pytest

from harness.checkers import judge
from harness.checkers.names import Race, Reserved
from harness.model.history import NEVER, History, Op
from harness.model.verdict import Verdict
from tests.checkers_scene import make_check, make_plan, row
from tests.volumes_scene import HOSTS, around, broken, promise, shared_volume

HISTORIES = int(os.environ.get("HARNESS_HISTORIES", "2000"))


def token(worker: int, sequence: int = 0) -> int:
    return worker << 32 | sequence


def claim(worker: int, outcome: str, kind: str = "create", number: int = 1, **fields: Any) -> Op:
    host = HOSTS[worker % 2]
    whole = {
        "process": f"w{worker}", "host": host, "at": f"edge.{host}", "key": f"data|{kind}|{number}",
        "value": str(token(worker)), "start_ns": 100 + worker, "outcome": outcome,
        "end_ns": NEVER if outcome == "info" else 200 + worker, "errno": 17 if outcome == "fail" else 0,
    }  # fmt: skip
    return row("claim", "names", **{**whole, **fields})


def owner(host: str, *tokens: int, kind: str = "create", number: int = 1, **fields: Any) -> Op:
    return row("owner", "names", process=f"reader-{host}", host=host, at=f"edge.{host}",
               key=f"data|{kind}|{number}", value=",".join(map(str, tokens)), **fields)  # fmt: skip


def listed() -> list[Op]:
    return [
        row("names", "names", process=f"reader-{host}", host=host, at=f"edge.{host}", key="data") for host in HOSTS
    ]


def everywhere(*tokens: int, kind: str = "create") -> list[Op]:
    return [*listed(), *(owner(host, *tokens, kind=kind) for host in HOSTS)]


def replace_(worker: int, start: int, end: int | None) -> Op:
    host = HOSTS[worker % 2]
    return row("replace", "names", process=f"w{worker}", host=host, at=f"edge.{host}", key="data",
               value=str(token(worker, 9)), start_ns=start, end_ns=NEVER if end is None else end,
               outcome="info" if end is None else "ok")  # fmt: skip


def peek(value: int | str, start: int, end: int, worker: int = 1, outcome: str = "ok") -> Op:
    host = HOSTS[worker % 2]
    return row("peek", "names", process=f"w{worker}", host=host, at=f"edge.{host}", key="data",
               value=str(value), start_ns=start, end_ns=end, outcome=outcome)  # fmt: skip


RENAMES = [
    replace_(1, 10, 20), peek(0, 5, 15, 2), peek(token(1, 9), 25, 35, 2), replace_(2, 30, 40),
    peek(token(2, 9), 32, 50, 1),
]  # fmt: skip
RACE = [claim(1, "ok"), claim(2, "fail")]


def verdict_on(rows: list[Op], expected: str = "holds") -> Verdict:
    plan = make_plan(volumes=(shared_volume(expected),), targets=())
    return judge(
        History.of([*around("names"), *rows]), plan, make_check("names", volume="data", workers_per_node=1)
    )


def test_one_winner_and_whole_files_pass() -> None:
    verdict = verdict_on([*RACE, *everywhere(token(1)), *RENAMES])
    assert verdict.verdict == "pass", verdict.reason
    assert {p.observed for p in verdict.promises} == {"kept"}
    assert (verdict.figures["create_races"], verdict.figures["create_contended"]) == (1, 1)
    assert promise(verdict, "rename-old-or-new").of == 3


BROKEN: dict[str, tuple[list[Op], str]] = {
    "two were told": ([claim(1, "ok"), claim(2, "ok"), *everywhere(token(1))], "were both told"),
    "two tokens": ([*RACE, *everywhere(token(1), token(2))], "finds 2 winners"),
    "another's token": ([*RACE, *everywhere(token(2))], "does not find its token"),
    "nobody's token": ([*RACE, *everywhere(token(7))], "what none of those left"),
    "no token": ([*RACE, *everywhere()], "does not find its token"),
    "no whole token": ([*RACE, *everywhere(-1)], "what none of those left"),
    "gone": ([*RACE, *listed()], "does not find the name"),
    "gone for one": ([*RACE, *listed(), owner("n1", token(1))], "n2 does not find the name"),
    "hosts disagree": (
        [claim(1, "info"), claim(2, "info"), *listed(), owner("n1", token(1)), owner("n2", token(2))],
        "different winners",
    ),
    "nobody's at all": ([claim(1, "fail"), claim(2, "fail"), *listed()], "told that it exists, and it does not"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_race_without_exactly_one_winner_is_found(what: str) -> None:
    rows, words = BROKEN[what]
    verdict = verdict_on([*rows, *RENAMES])
    assert verdict.verdict == "fail"
    assert broken(verdict) == ["exclusive-create"]
    witness = promise(verdict, "exclusive-create").witness
    assert words in witness
    assert witness.startswith("open with O_EXCL of create-1: ")


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param([claim(1, "fail"), claim(2, "fail")], id="told that its own name exists"),
        pytest.param([claim(1, "info"), claim(2, "fail")], id="never answered"),
    ],
)
def test_a_winner_that_was_not_told_so_is_still_the_one_winner(claims: list[Op]) -> None:
    verdict = verdict_on([*claims, *everywhere(token(1)), *RENAMES])
    assert broken(verdict) == []
    assert verdict.verdict == "pass", verdict.reason


def test_a_host_that_does_not_see_yet_what_the_winner_wrote_says_nothing_of_who_won() -> None:
    late = [*listed(), owner("n1", token(1)), owner("n2")]
    verdict = verdict_on([*RACE, *late, *RENAMES])
    assert verdict.verdict == "pass", verdict.reason
    assert verdict.figures["found_blank"] == 1
    both = verdict_on([claim(1, "ok"), claim(2, "ok"), *late, *RENAMES])
    assert broken(both) == ["exclusive-create"]


def test_a_token_that_was_reserved_and_never_told_of_is_no_phantom() -> None:
    reserve = row("reserve", "names", process="w7", host="n1", key="data", value=token(7), length=1)
    assert broken(verdict_on([claim(1, "fail"), claim(2, "fail"), reserve, *everywhere(token(7)), *RENAMES])) == []


def test_an_owner_that_could_not_be_read_says_nothing() -> None:
    rows = [*RACE, *listed(), owner("n1", token(1)), owner("n2", outcome="fail", errno=116)]
    assert broken(verdict_on([*rows, *RENAMES])) == []


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (peek(0, 22, 28, 2), "no file, though one had been there"),
        (peek(-1, 22, 28, 2), "a mix or a part (volume"),
        (peek("-1 #0:", 22, 28, 2), "but an empty one"),
        (peek("-1 #36:484c4f4700000003", 22, 28, 2), "a mix or a part: 36 bytes, 484c4f47 00000003"),
        (peek(token(9, 9), 22, 28, 2), "that nobody put there"),
    ],
)
def test_neither_the_old_nor_the_new_file_is_found(bad: Op, words: str) -> None:
    verdict = verdict_on([*RACE, *everywhere(token(1)), *RENAMES, bad])
    assert broken(verdict) == ["rename-old-or-new"]
    assert words in promise(verdict, "rename-old-or-new").witness
    assert "w2 in edge.n1 on n1" in promise(verdict, "rename-old-or-new").witness


def test_a_stale_handle_is_an_error_and_no_breach() -> None:
    verdict = verdict_on([*RACE, *everywhere(token(1)), *RENAMES, peek(0, 22, 28, 2, outcome="fail")])
    assert verdict.verdict == "pass", verdict.reason
    assert verdict.figures["peek_errors"] == 1


def test_one_file_seen_and_no_race_run_at_once_are_unknown() -> None:
    apart = [claim(1, "ok", start_ns=1, end_ns=2), claim(2, "fail", start_ns=5, end_ns=6)]
    verdict = verdict_on([*apart, *everywhere(token(1)), *RENAMES[:3]])
    assert verdict.verdict == "unknown"
    assert promise(verdict, "exclusive-create").observed == "unmeasured"
    assert "readers saw 1 different files" in verdict.reason


def test_a_host_that_did_not_list_in_the_end_leaves_it_unknown() -> None:
    verdict = verdict_on([*RACE, *everywhere(token(1))[1:], *RENAMES])
    assert (verdict.verdict, "on n1" in verdict.reason) == ("unknown", True)


# --- simulated races -------------------------------------------------------------------------------------------


def simulated(rng: random.Random) -> tuple[Race, bool]:
    """A race, and whether one and the same token is all that anybody could have seen of it.

    Some claims are never answered, and some winners are told that the name exists, as after a request sent twice.
    Some hosts do not see yet what the winner wrote.
    """
    workers = list(range(1, rng.randint(2, 4) + 1))
    bad = rng.random() < 0.4
    winners = rng.sample(workers, 2) if bad else [rng.choice(workers)]
    if not bad and rng.random() < 0.1:
        winners = []  # whoever had it never told, and never did
    claims = []
    for worker in workers:
        outcome = "ok" if worker in winners else "fail"
        if not winners or rng.random() < 0.2:
            outcome = "info"
        elif worker in winners and rng.random() < 0.2:
            outcome = "fail"
        claims.append(claim(worker, outcome))
    tokens = frozenset(token(worker) for worker in winners)
    owners = dict.fromkeys(HOSTS, tokens) if winners else {}
    if owners and rng.random() < 0.2:
        owners[rng.choice(HOSTS)] = frozenset()
    return Race("create", "1", claims, owners), not bad


def test_simulated_races_get_what_they_deserve() -> None:
    rng, seen = random.Random(8), Counter[str]()
    for number in range(HISTORIES):
        race, right = simulated(rng)
        fault = race.fault(set(HOSTS), Reserved(History.of([])))
        assert (not fault) == right, f"race {number}: {race} {fault}"
        seen.update(["right" if right else "wrong", "resent" if race.resent else "told"])
        seen.update(["blank" for _host in race.blank])
        seen.update(claim.outcome for claim in race.claims)
    assert (
        min(seen[name] for name in ("right", "wrong", "resent", "blank", "ok", "fail", "info")) * 50 > HISTORIES
    ), seen
