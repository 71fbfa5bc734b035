"""How fast the general search judges, by how many calls are under way at once on one key.

A history of a cas-register in which every process has a call under way all the time: a third reads, a third
writes, a third cas, of five values; once right, and once with one read near its end of what was never there.
"""

from __future__ import annotations

import random
from functools import partial

from harness.checkers import linearizable, make_model
from harness.model.calls import Call
from harness.ports import Progress
from tests.bench.rig import timed
from tests.bench.table import Row

CALLS, VALUES = 2_000, 5
CONCURRENT = (4, 8, 12)
TIMEOUT_S = 300.0


def judging(rounds: int, progress: Progress) -> list[Row]:
    rows = []
    for processes in CONCURRENT:
        right = calls(processes)
        for what, history, wanted in (("", right, "pass"), (", one read wrong", spoiled(right), "fail")):
            rates = [CALLS / timed(partial(_judged, history, wanted)) for _ in range(rounds)]
            rows.append(Row(f"search, {CALLS:,} calls, {processes} at once on a key{what}", rates, "/s"))
            progress(f"search, {processes} at once{what}: {rows[-1].median:,.0f}/s")
    return rows


def _judged(history: list[Call], wanted: str) -> None:
    found = linearizable(make_model("cas-register"), history, timeout_s=TIMEOUT_S)
    if found.verdict != wanted:
        raise AssertionError(f"{found.verdict}, not {wanted}: {found.witness}")


def calls(processes: int) -> list[Call]:
    """A linearizable history: each call takes effect at a moment within it, and the next one follows at once."""
    rng = random.Random(1)
    planned, free_at = [], [rng.randrange(100) for _ in range(processes)]
    for number in range(CALLS):
        process = number % processes
        start = free_at[process]
        free_at[process] = start + rng.randint(50, 150)
        planned.append((rng.randint(start, free_at[process]), start, free_at[process] - 1, process))
    held: int | None = None
    made = []
    for moment, start, end, process in sorted(planned):
        held, call = _call(held, rng, process, start, max(end, moment))
        made.append(call)
    return made


def _call(held: int | None, rng: random.Random, process: int, start: int, end: int) -> tuple[int | None, Call]:
    f, old, new = rng.choice(("read", "write", "cas")), rng.randrange(VALUES), rng.randrange(VALUES)
    if f == "read":
        return held, Call(f"p{process}", f, "", None, held, start, end)
    if f == "write":
        return new, Call(f"p{process}", f, "", new, None, start, end)
    done = held == old
    return new if done else held, Call(f"p{process}", f, "", (old, new), done, start, end)


def spoiled(history: list[Call]) -> list[Call]:
    where = next(n for n in range(len(history) * 9 // 10, len(history)) if history[n].f == "read")
    wrong = history[where]
    never = Call(wrong.process, "read", "", None, VALUES + 1, wrong.start, wrong.end)
    return [*history[:where], never, *history[where + 1 :]]
