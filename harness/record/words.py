"""The same words on a terminal, on the page and in JSON."""

from __future__ import annotations

from collections.abc import Iterator

from harness.record.summary import STATES, Flaky, Moved, Record, Tested
from harness.report.text import figure, labelled, listed, plural

SYMBOL = {"pass": "✓", "fail": "✕", "unknown": "?", "broke": "!", "skip": "–"}
#: For a terminal's log, where a strip of nights is one letter a night.
LETTER = {"pass": ".", "fail": "F", "unknown": "?", "broke": "!", "skip": "s"}
WORD = {"pass": "passed", "fail": "failed", "unknown": "unknown", "broke": "broke", "skip": "skipped"}


def title(tested: Tested) -> str:
    """`overlay / mtu`, and what sets it apart."""
    detail = tested.setup.detail
    return f"{tested.setup.topology} / {tested.check}{f' ({detail})' if detail else ''}"


def headline(record: Record) -> str:
    """One sentence on where things stand."""
    if not record.runs:
        return "No run could be read, so nothing is known."
    said = [
        *_some(record.failing, "fails", "fail", "newly"),
        *_some(record.never_passed, "has never passed", "have never passed"),
        *_some(record.unknown, "is unknown", "are unknown"),
        *_some(record.flaky, "is flaky", "are flaky"),
    ]
    if record.moved:
        said.append(f"{plural(len(record.moved), 'figure')} moved")
    if said:
        return f"{'; '.join(said)}."
    if record.verdict != "pass":
        return "No check fails, but the last run of some topology did not come to a verdict."
    return f"All {plural(len(record.checks), 'check')} pass, none is flaky, and no figure has moved."


def _some(found: list[Tested], one: str, many: str, how: str = "") -> Iterator[str]:
    if found:
        names = listed([f"{each.setup.topology} / {each.check}" for each in found], 3)
        said = f"{plural(len(found), 'check')} {one if len(found) == 1 else many}{f' {how}' if how else ''}"
        yield f"{said}: {names}"


def counted(record: Record) -> str:
    """`40 runs in 14 nights, 2026-11-13 to 2026-11-26`."""
    nights = list(record.nights)
    between = f", {nights[0]}{f' to {nights[-1]}' if len(nights) > 1 else ''}" if nights else ""
    return f"{plural(len(record.runs), 'run')} in {plural(len(nights), 'night')}{between}"


def since(tested: Tested) -> str:
    """Since when a check has not passed, and its last good run."""
    bad, good = tested.bad_since, tested.last_good
    if bad is None:
        return ""
    runs = sum(each.state != "pass" for each in tested.decided[tested.decided.index(bad) :])
    last = f"; last good {good.run} ({good.started})" if good else "; it never passed"
    return f"since {bad.run} ({bad.started}), {plural(runs, 'run')}{last}"


def flaky(found: Flaky) -> str:
    """`3 of 20 runs did not pass (15 %, 95 % interval 5 to 36 %)`."""
    share = f"{found.rate:.0%}, 95 % interval {found.low:.0%} to {found.high:.0%}".replace("%", " %").replace(
        "95  %", "95 %"
    )
    tries = f"; {listed(list(found.retried), 2)}" if found.retried else ""
    return f"{found.not_passed} of {plural(found.of, 'run')} did not pass ({share}){tries}"


def moved(found: Moved) -> tuple[str, str, str]:
    """The figure in words, before and now with unit, and how much it is."""
    name, before = labelled(found.figure, found.drift.before)
    _, now = labelled(found.figure, found.drift.now)
    ratio = found.drift.ratio
    if ratio is None or ratio <= 0:
        change = "moved"
    elif ratio >= 2:
        change = f"{figure(ratio)} times"
    else:
        change = f"{'+' if ratio >= 1 else '−'}{figure(abs(ratio - 1) * 100)} %"
    better = {True: ", worse", False: ", better", None: ""}[found.worse]
    return name, f"{before} → {now}", f"{change}{better}"


def tally(record: Record) -> list[tuple[str, int, str]]:
    """(word, number of runs, state), in the order of states."""
    runs = {state: sum(counts[state] for counts in record.nights.values()) for state in STATES}
    return [(WORD[state], runs[state], state) for state in STATES if state != "skip"]
