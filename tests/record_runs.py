"""Folders of runs over nights, as harness leaves them, with what a record must find in them.

`python -m tests.record_runs FOLDER [NIGHTS]` writes them: a check that begins to fail, a flaky one, one whose
figure moves, one that is skipped, a run that broke, one that passed on its second try, and folders that
are no runs.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

FIRST = datetime(2026, 10, 1, 2, 0, tzinfo=UTC)
PASSED = {"mtu": "pass", "latency": "pass", "register": "pass"}


def results(night: int, checks: dict[str, str], **changes: Any) -> dict[str, Any]:
    """results.json of a run `night` days after the first; `checks` maps ids to verdicts."""
    started = FIRST + timedelta(days=night) + timedelta(minutes=changes.pop("minute", 0))
    figures = changes.pop("figures", {})
    rows = [check(name, verdict, figures.get(name, {})) for name, verdict in checks.items()]
    merged = "fail" if "fail" in checks.values() else "unknown" if "unknown" in checks.values() else "pass"
    return {
        "schema": 1,
        "run": f"{started:%Y%m%d-%H%M%S}-{night:06x}",
        "topology": "overlay",
        "provider": "docker",
        "orchestrator": "swarm",
        "seed": night,
        "verdict": merged,
        "error": None,
        "started": f"{started:%Y-%m-%dT%H:%M:%SZ}",
        "duration_s": 31.5,
        "checks": rows,
        "skipped": [],
        "faults": [],
        **changes,
    }


def check(name: str, verdict: str, figures: dict[str, Any]) -> dict[str, Any]:
    reason = {"pass": "all 42 assertions hold", "fail": "2 of 42 reads are stale", "unknown": "no fault was felt"}
    return {
        "id": name,
        "name": name.partition("-")[0],
        "target": "",
        "verdict": verdict,
        "reason": reason.get(verdict, ""),
        "correct": 42,
        "wrong": 0,
        "no_value": 0,
        "ignored": 0,
        "operations": {f"n{n}": {"put": 1200, "get": 1180} for n in (1, 2, 3)},
        "promises": [
            {
                "name": promise,
                "expected": "holds",
                "observed": "kept",
                "count": 0,
                "of": 1200,
                "source": "POSIX.1-2017, write(): data that was written is seen by later reads",
                "witness": "",
            }
            for promise in ("shared", "read-after-write", "no-phantoms")
        ],
        "failures": [],
        "figures": figures,
        "duration_s": 2.5,
    }


def write(folder: Path, runs: Sequence[dict[str, Any]], *, reports: bool = True) -> Path:
    """A folder for each run, called as the run."""
    for run in runs:
        place = folder / str(run["run"])
        place.mkdir(parents=True)
        (place / "results.json").write_text(json.dumps(run, indent=1))
        if reports:
            (place / "report.html").write_text("<!doctype html><title>a report</title>")
    return folder


def nights(count: int, seed: int = 1) -> list[dict[str, Any]]:
    """`overlay` and `volume-nfs`, one run of each a night."""
    rng = random.Random(seed)
    return [run for night in range(count) for run in (_networks(night, count, rng), *_volumes(night, count, rng))]


def _networks(night: int, count: int, rng: random.Random) -> dict[str, Any]:
    slow = 1.6 if night >= count - 6 else 1.0
    trips = {"app_rtt_p50_us": round(rng.gauss(81, 3) * slow, 1), "app_rtt_p99_us": round(rng.gauss(400, 60), 1)}
    rates = {"app_median_gbit_s": round(rng.gauss(11.4, 0.5), 3), "app_ratio": round(rng.gauss(0.61, 0.02), 3)}
    flaky = "fail" if rng.random() < 0.15 and 3 < night < count - 3 else "pass"
    verdicts = {"connectivity": "pass", "dns": "pass", "latency": "pass", "throughput": "pass", "recovery": flaky}
    skipped = [{"check": "ingress", "part": "", "needs": "ipvs (n1: not in the kernel)"}]
    return results(night, verdicts, figures={"latency": trips, "throughput": rates}, skipped=skipped)


def _volumes(night: int, count: int, rng: random.Random) -> list[dict[str, Any]]:
    more = {"topology": "volume-nfs", "minute": 20, "settings": {"volumes.data.driver": "nfs"}}
    rates = {"stale": 0, "put_per_s": round(rng.gauss(5000, 200), 1)}
    if night == count // 2:
        error = "on n1: `docker node ls` ended with 1\nthe engine does not answer"
        return [results(night, {}, error=error, **more) | {"verdict": "unknown"}]
    register = "fail" if night >= count - 3 else "pass"
    verdicts = {"register": register, "names": "unknown" if night == count // 3 else "pass", "fio": "pass"}
    run = results(night, verdicts, figures={"register": rates}, **more)
    if night != count // 4:
        return [run]
    first = results(night, {**verdicts, "fio": "fail"}, series=run["run"], attempt=1, **more)
    again = {**more, "minute": 25}
    return [first, results(night, verdicts, series=first["run"], attempt=2, **again)]


def write_others(folder: Path) -> None:
    """Folders that are no runs, each in a way of its own."""
    good = results(0, PASSED)
    for name, text in {
        "cut-off": json.dumps(good)[:300],
        "later-version": json.dumps(good | {"schema": 2, "verdict": "sublime"}),
        "misspelt": json.dumps(good | {"checks": [{"id": "mtu"}]}),
        "no-object": "[1, 2]",
        "binary": "\x00\x01\x02",
    }.items():
        (folder / name).mkdir(parents=True)
        (folder / name / "results.json").write_text(text)
    (folder / "somebody-elses").mkdir()
    (folder / "half").mkdir()
    (folder / "half" / "plan.json").write_text("{}")
    (folder / "notes.txt").write_text("a file")


if __name__ == "__main__":
    target = Path(sys.argv[1])
    write(target, nights(int(sys.argv[2]) if len(sys.argv) > 2 else 21))
    write_others(target)
