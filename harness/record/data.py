"""A record as JSON (harness/schema/record.schema.json)."""

from __future__ import annotations

from typing import Any

from harness.record.summary import STATES, Moved, Record, Seen, Setup, Tested
from harness.report.text import finite

SCHEMA = 1


def to_json(record: Record) -> dict[str, Any]:
    nights = [{"night": night, **_counts(found)} for night, found in record.nights.items()]
    data: dict[str, Any] = finite(
        {
            "schema": SCHEMA,
            "verdict": record.verdict,
            "runs": len(record.runs),
            "nights": nights,
            "checks": [_tested(each) for each in record.checks],
            "new_failures": [_named(each) | _since(each) for each in record.failing],
            "never_passed": [_named(each) | _since(each) for each in record.never_passed],
            "flaky": [_named(each) | _flaky(each) for each in record.flaky],
            "drifts": [_moved(each) for each in record.moved],
            "comparisons": list(record.folder.comparisons),
            "left_out": [{"folder": each.folder, "why": each.why} for each in record.left_out],
        }
    )
    return data


def _counts(found: Any) -> dict[str, int]:
    return {state: found[state] for state in STATES}


def _setup(setup: Setup) -> dict[str, Any]:
    return {
        "topology": setup.topology,
        "provider": setup.provider,
        "orchestrator": setup.orchestrator,
        "settings": dict(setup.settings),
    }


def _named(tested: Tested) -> dict[str, Any]:
    return _setup(tested.setup) | {"check": tested.check}


def _tested(tested: Tested) -> dict[str, Any]:
    return {
        **_named(tested),
        "kind": tested.kind,
        **_counts(tested.counts),
        "latest": {**_run(tested.latest), "state": tested.latest.state, "reason": tested.latest.reason},
        "nights": {night: _counts(found) for night, found in tested.by_night().items()},
    }


def _run(seen: Seen) -> dict[str, str]:
    return {"run": seen.run, "folder": seen.folder}


def _since(tested: Tested) -> dict[str, Any]:
    bad, good = tested.bad_since, tested.last_good
    return {"since": _run(bad) if bad else None, "last_good": _run(good) if good else None}


def _flaky(tested: Tested) -> dict[str, Any]:
    found = tested.flaky
    if found is None:
        return {}
    return {
        "not_passed": found.not_passed,
        "of": found.of,
        "rate": found.rate,
        "interval": [found.low, found.high],
        "retried": list(found.retried),
    }


def _moved(moved: Moved) -> dict[str, Any]:
    return {
        **_named(moved.tested),
        "figure": moved.figure,
        "since": _run(moved.since),
        "before": moved.drift.before,
        "range_before": [moved.drift.low, moved.drift.high],
        "now": moved.drift.now,
        "worse": moved.worse,
    }
